//! `canaryctl filter`: the Wasm filter that this binary carries, and its images.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::registry::RegistryArgs;
use crate::cluster::block_on;
use crate::failure::{Code, Failure};
use crate::filter::{self, Build};
use crate::filter_server;
use crate::oci::{Image, Target};
use crate::output::{self, Format};
use crate::signals;

/// The verb's arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Push both builds of the filter to a registry, as images that Istio's agents pull.
    ///
    /// They get the tags TAG-gateway and TAG-sidecar. The last line printed installs them by digest.
    Push {
        /// Where to: [oci://]HOST/REPOSITORY[:TAG].
        #[arg(value_name = "IMAGE", value_parser = Target::to_push)]
        target: Target,
        #[command(flatten)]
        registry: RegistryArgs,
    },
    /// Pull a filter from a registry into a file.
    Pull {
        /// Which: [oci://]HOST/REPOSITORY[:TAG][@sha256:DIGEST].
        #[arg(value_name = "IMAGE")]
        target: Target,
        /// The file.
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        #[command(flatten)]
        registry: RegistryArgs,
    },
    /// Show what an image of a filter is, or what this binary carries.
    Inspect {
        /// Which; default what this binary carries.
        #[arg(value_name = "IMAGE")]
        target: Option<Target>,
        #[command(flatten)]
        registry: RegistryArgs,
        /// How to print it.
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// Serve the filter to proxies; runs in the cluster, started by `install`.
    Serve {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
        listen: SocketAddr,
    },
}

/// Runs the verb.
///
/// # Errors
/// When the registry refuses, the port is taken, or this binary carries no filter.
pub fn run(args: &Args) -> Result<(), Failure> {
    match &args.verb {
        Verb::Push { target, registry } => push(target, registry),
        Verb::Pull { target, output, registry } => pull(target, output, registry),
        Verb::Inspect { target, registry, output } => inspect(target.as_ref(), registry, *output),
        Verb::Serve { listen } => serve(*listen),
    }
}

/// The builds, by the names that users see.
pub(crate) const BUILDS: [(&str, Build); 2] = [("gateway", Build::Gateway), ("sidecar", Build::Sidecar)];

fn push(target: &Target, args: &RegistryArgs) -> Result<(), Failure> {
    block_on(async {
        let registry = args.registry(target)?;
        let mut pushed = Vec::new();
        for (name, build) in BUILDS {
            let wasm = filter::bytes(build)?;
            let image = Image::of_filter(wasm).map_err(|error| Failure::new(Code::Failed, error))?;
            let to = target.with_suffix(name);
            let at = registry.push(&to, &image).await.map_err(|error| super::registry::failure(&error))?;
            anstream::println!("{to}  {} KB  sha256:{}", wasm.len().div_ceil(1024), filter::sha256(wasm));
            pushed.push(at);
        }
        if let [gateway, sidecar] = pushed.as_slice() {
            anstream::println!("Next: canaryctl install --filter {gateway} --sidecar-filter {sidecar}");
        }
        Ok(())
    })
}

fn pull(target: &Target, file: &PathBuf, args: &RegistryArgs) -> Result<(), Failure> {
    block_on(async {
        let pulled = args.registry(target)?.pull(target).await;
        let pulled = pulled.map_err(|error| super::registry::failure(&error))?;
        std::fs::write(file, &pulled.wasm).map_err(|error| {
            Failure::new(Code::Failed, format!("cannot write {}: {error}", file.display()))
        })?;
        anstream::println!("{}  sha256:{}", file.display(), filter::sha256(&pulled.wasm));
        Ok(())
    })
}

fn inspect(target: Option<&Target>, args: &RegistryArgs, format: Format) -> Result<(), Failure> {
    let found = match target {
        None => BUILDS
            .iter()
            .map(|(name, build)| Ok(json!({"build": name, "module": module(filter::bytes(*build)?)})))
            .collect::<Result<Vec<Value>, Failure>>()?,
        Some(target) => block_on(async {
            let pulled = args.registry(target)?.pull(target).await;
            let pulled = pulled.map_err(|error| super::registry::failure(&error))?;
            Ok(vec![json!({
                "image": target.to_string(),
                "digest": pulled.digest,
                "index": pulled.index,
                "manifest": pulled.manifest,
                "module": module(&pulled.wasm),
            })])
        })?,
    };
    if !format.is_text() {
        return output::value(&Value::Array(found), format);
    }
    for found in &found {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = if found["build"].is_null() { text(&found["image"]) } else { text(&found["build"]) };
        let of = BUILDS.iter().find(|(_, build)| {
            filter::bytes(*build).is_ok_and(|bytes| found["module"]["sha256"] == filter::sha256(bytes))
        });
        anstream::println!(
            "{name}  {} bytes  sha256:{}",
            found["module"]["size"],
            text(&found["module"]["sha256"])
        );
        if let Some(digest) = found["digest"].as_str() {
            if let Some(index) = found["index"].as_str() {
                anstream::println!("  index    {index}, of several images; this is the one for this machine");
            }
            anstream::println!("  image    {digest}");
            match of {
                Some((build, _)) => anstream::println!("  the same as the {build} build of this canaryctl"),
                None => anstream::println!("  another one than this canaryctl carries"),
            }
        }
    }
    Ok(())
}

fn module(wasm: &[u8]) -> Value {
    json!({"size": wasm.len(), "sha256": filter::sha256(wasm)})
}

fn serve(listen: SocketAddr) -> Result<(), Failure> {
    let router = filter_server::router()?;
    block_on(async {
        let listener = tokio::net::TcpListener::bind(listen)
            .await
            .map_err(|error| Failure::new(Code::Failed, format!("cannot listen on {listen}: {error}")))?;
        let served = axum::serve(listener, router).with_graceful_shutdown(signals::stopped()).await;
        served.map_err(|error| Failure::new(Code::Failed, format!("stopped serving: {error}")))
    })
}
