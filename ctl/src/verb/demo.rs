//! `canaryctl demo`: a gray flow end to end on real Envoys, on loopback, without a cluster.
//!
//! Starts the mesh, sends flows, judges what came back and tells it. A flow that is not where the rules
//! say makes the demo fail: what it prints is what happened.

mod chain;
mod crowd;
mod dashboard;
mod picture;
mod shop;
mod story;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use canary_localmesh::{Mesh, MeshError, Protocol};
use canary_rules::document::Documents;
use clap::ValueEnum;

use crate::dashboard::{Dashboard, PORT_DEFAULT};
use crate::failure::{Code, Failure};
use crate::{files, filter};
use chain::Chain;
use shop::{Builds, Shop};
use story::Story;

/// How many users are drawn to find one whom no percentage covers.
const DRAWS_MAX: u32 = 10;

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  canaryctl demo                            the built-in lanes
  canaryctl demo --dashboard                leave it running, to play with in a browser
  canaryctl demo --keep                     leave it running, to play with by curl
  canaryctl demo --lanes lanes.yaml         your own lanes; services: web, cart, stock, price")]
pub struct Args {
    /// Lane files to use instead of the built-in ones; may be repeated, `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    lanes: Vec<PathBuf>,
    /// Leave the mesh running after the flows, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Leave the mesh running and show it on a page of this machine, until Ctrl-C; 0 takes any free port.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = PORT_DEFAULT, value_name = "PORT")]
    dashboard: Option<u16>,
    /// The gateway's port; 0 takes any free one.
    #[arg(long, default_value_t = 8080, value_name = "PORT")]
    port: u16,
    /// The Envoy binary; default: `envoy` in PATH.
    #[arg(long, env = "CANARY_ENVOY", value_name = "PATH")]
    envoy: Option<PathBuf>,
    /// A filter to use instead of the one inside this binary; the sidecars' build lies beside it.
    #[arg(long, value_name = "WASM")]
    filter: Option<PathBuf>,
    /// How many users to send past the percentage.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    users: u32,
    /// How many requests to send with all lanes mixed.
    #[arg(long, default_value_t = 5000, value_name = "N")]
    requests: u32,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs: one JSON document at the end.
    Json,
}

/// Runs the demo.
///
/// # Errors
/// Lane files with faults, no Envoy, a taken port, or a flow that went where it should not.
pub fn run(args: &Args) -> Result<(), Failure> {
    let documents = match args.lanes.as_slice() {
        [] => shop::built_in_lanes()?,
        paths => files::read(paths)?,
    };
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::new(Code::Failed, format!("cannot start: {error}")))?;
    // Ctrl-C drops the demo wherever it is, and with it the mesh and all its processes.
    let playing = Cell::new(false);
    runtime.block_on(async {
        tokio::select! {
            done = demo(args, &documents, &playing) => done,
            _ = tokio::signal::ctrl_c() => match playing.get() {
                true => Ok(()),
                false => Err(Failure::new(Code::Interrupted, "stopped by Ctrl-C; every process is gone")),
            },
        }
    })
}

async fn demo(args: &Args, documents: &Documents, playing: &Cell<bool>) -> Result<(), Failure> {
    let envoy = envoy(args.envoy.as_deref())?;
    // A port that is taken is found out before there is anything to end.
    let dashboard = match args.dashboard {
        Some(port) => Some(Dashboard::bind(port).await?),
        None => None,
    };
    let mut story = Story::new(args.output == Output::Text);
    let read = |path: &Path| {
        std::fs::read(path)
            .map_err(|error| Failure::new(Code::Failed, format!("cannot read {}: {error}", path.display())))
    };
    let wasm = match &args.filter {
        Some(path) => Builds {
            gateway: read(path)?,
            sidecar: read(&path.with_file_name("canary-filter-sidecar.wasm"))?,
        },
        None => Builds {
            gateway: filter::bytes(filter::Build::Gateway)?.to_vec(),
            sidecar: filter::bytes(filter::Build::Sidecar)?.to_vec(),
        },
    };
    story.filter(&wasm);
    let stays = args.keep || dashboard.is_some();
    let shop = Shop::new(documents, stays)?;
    let started = Instant::now();
    let files = tempfile::tempdir().map_err(|error| Failure::from_error(Code::Failed, &error))?;
    let spec = shop.mesh(&envoy, &wasm, files.path(), args.port)?;
    let mesh = Mesh::start(spec).await.map_err(|error| mesh_failure(&error, args.port))?;
    story.mesh(&envoy_version(&envoy), &mesh, started.elapsed());
    story.lanes(documents, shop.edge());

    let told = tell(args, &shop, &mesh, &mut story).await;
    let announced = shop.demo_mesh(&mesh)?.map(|demo| demo.announce(mesh.gateway().port())).transpose()?;
    if told.is_ok() {
        let page = dashboard.as_ref().map(Dashboard::url);
        story.end(stays.then(|| mesh.gateway_url()).as_deref(), page.as_deref());
    }
    let shown = match (told, dashboard) {
        (Err(failure), _) => Err(failure),
        // Ctrl-C is the way out from here on, and no failure.
        (Ok(()), Some(dashboard)) => {
            playing.set(true);
            dashboard::show(dashboard, shop, &mesh, story.flows()).await
        }
        (Ok(()), None) if stays => {
            playing.set(true);
            std::future::pending().await
        }
        (Ok(()), None) => Ok(()),
    };
    drop(announced);
    mesh.shutdown().await;
    shown
}

async fn tell(args: &Args, shop: &Shop, mesh: &Mesh, story: &mut Story) -> Result<(), Failure> {
    let client = mesh.client(Protocol::Http1);
    for request in shop.requests() {
        // A user whom a percentage happens to cover is another story: the next one, then.
        let mut draws = 1;
        let mut chain = Chain::send(shop, mesh, &client, request.clone()).await?;
        while chain.by_chance && draws < DRAWS_MAX {
            chain.judge(shop)?;
            chain = Chain::send(shop, mesh, &client, request.clone()).await?;
            draws += 1;
        }
        story.chain(&chain);
        chain.judge(shop)?;
    }
    if let Some(users) = crowd::users(shop, &client, args.users).await? {
        story.users(&users);
        users.judge()?;
    }
    let mixed = crowd::mixed(shop, &client, args.requests).await?;
    story.mixed(&mixed);
    mixed.judge()
}

fn envoy(given: Option<&std::path::Path>) -> Result<PathBuf, Failure> {
    const GET_ONE: &str = "run `cargo xtask demo`, which gets one, or give its path: --envoy PATH";
    match given {
        Some(path) if path.is_file() => Ok(path.to_path_buf()),
        Some(path) => {
            Err(Failure::new(Code::Failed, format!("there is no Envoy at {}", path.display())).help(GET_ONE))
        }
        None => std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .map(|dir| dir.join("envoy"))
            .find(|path| path.is_file())
            .ok_or_else(|| Failure::new(Code::Failed, "there is no `envoy` in PATH").help(GET_ONE)),
    }
}

/// What `envoy --version` says, cut to the number.
fn envoy_version(envoy: &std::path::Path) -> String {
    let said = Command::new(envoy).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    let said = String::from_utf8_lossy(&said).into_owned();
    let version = said.split("version:").nth(1).and_then(|build| build.split('/').nth(1));
    version.unwrap_or("of unknown version").to_string()
}

fn mesh_failure(error: &MeshError, port: u16) -> Failure {
    let failure = Failure::from_error(Code::Failed, error);
    match error {
        MeshError::PortTaken { .. } => {
            failure.help(format!("stop what uses port {port}, or choose another: --port 0"))
        }
        MeshError::Inotify(shortage) => failure.help(format!(
            "sudo sysctl fs.inotify.max_user_instances={}",
            (shortage.taken + shortage.needed).next_power_of_two().max(512)
        )),
        _ => failure,
    }
}
