//! `canaryctl lanes describe`: everything that is known of one lane.

use canary_istio::lane::LANE_LABEL;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};

use crate::cluster::{Cluster, ClusterArgs, block_on};
use crate::failure::{Code, Failure};
use crate::lanes::Lanes;
use crate::output::{self, Format};
use text::{LanePod, Pods};

pub(crate) mod text;

/// The verb's arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The lane.
    #[arg(value_name = "LANE")]
    name: String,
    /// How to print it: as people read it, or the object whole.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs the verb.
///
/// # Errors
/// When the lane does not exist, or cannot be read.
pub fn run(args: &Args, cluster: &ClusterArgs) -> Result<(), Failure> {
    block_on(async {
        let client = Cluster::connect(cluster).await?.client;
        let lane = Lanes::new(&client).get(&args.name).await?;
        let lane = lane.ok_or_else(|| super::missing(&args.name))?;
        if !args.output.is_text() {
            return output::objects(&[lane], args.output);
        }
        let pods = pods(&client, &args.name).await;
        anstream::print!("{}", text::text(&lane, &pods, Timestamp::now()));
        Ok(())
    })
}

/// The pods that carry the lane's label. Who may read Lanes may not read pods everywhere.
async fn pods(client: &Client, lane: &str) -> Pods {
    let api: Api<Pod> = Api::all(client.clone());
    let selector = format!("{LANE_LABEL}={lane}");
    match api.list(&ListParams::default().labels(&selector)).await {
        Ok(found) => Pods::Seen(found.items.into_iter().map(LanePod::from).collect()),
        Err(error) => Pods::Unknown(Failure::from_error(Code::Failed, &error).to_string()),
    }
}
