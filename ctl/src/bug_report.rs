//! What helps somebody else to find a fault, collected from a cluster without what is nobody's business.

mod redact;

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

use canary_istio::Object;
use canary_istio::plugins::{API_VERSION, ROLE_LABEL};
use flate2::Compression;
use flate2::write::GzEncoder;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Pod};
use kube::api::{DynamicObject, ListParams, LogParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::check;
use crate::cluster::api_failure;
use crate::failure::Failure;
use crate::names;
use crate::world;
use redact::Redactor;

/// How much of each controller's log is taken.
const LOG_LINES_MAX: i64 = 5000;
const LOG_BYTES_MAX: i64 = 1024 * 1024;
/// Label of the controllers' pods.
const CONTROLLERS: &str = "app.kubernetes.io/name=canaryctl-controller";
/// Kinds of ours, each in a file of its own.
const OWN_KINDS: [(&str, &str); 3] =
    [("Lane", "lanes.json"), ("Release", "releases.json"), ("Takeover", "takeovers.json")];

/// A file of the bundle.
#[derive(Debug)]
pub struct File {
    /// What it is called.
    pub name: String,
    /// What is in it.
    pub content: String,
}

/// Everything, and what could not be had said in its place. Secrets are not read for it.
pub async fn collect(client: &Client, versions: Value, status: Result<Value, Failure>) -> Vec<File> {
    let mut redactor = Redactor::default();
    let mut files = Vec::new();
    for (kind, name) in OWN_KINDS {
        files.push(objects(name, listed(client, kind).await, &mut redactor));
    }
    files.push(objects("istio.json", istio(client).await, &mut redactor));
    files.push(objects("plugins.json", plugins(client).await, &mut redactor));
    let status = status.map(|mut status| {
        status["lanes"].as_array_mut().into_iter().flatten().for_each(|lane| redactor.object(lane));
        status
    });
    let checked = check::look(client, false).await.map(|report| json!(report));
    files.push(value("versions.json", Ok(versions)));
    files.push(value("settings.json", settings(client).await));
    files.push(value("status.json", status));
    files.push(value("check.json", checked));
    files.push(value("events.json", events(client).await));
    files.extend(logs(client).await);
    for file in &mut files {
        file.content = redactor.text(&file.content);
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files
}

/// Writes the bundle where nothing is yet, for its owner alone.
///
/// # Errors
/// When it cannot be written whole.
pub fn write(path: &Path, files: &[File]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let mut archive = tar::Builder::new(GzEncoder::new(out, Compression::default()));
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(file.content.len() as u64);
        header.set_mode(0o600);
        archive.append_data(
            &mut header,
            Path::new("canaryctl-bug-report").join(&file.name),
            file.content.as_bytes(),
        )?;
    }
    archive.into_inner()?.finish()?.sync_all()
}

fn objects(name: &str, found: Result<Vec<Value>, Failure>, redactor: &mut Redactor) -> File {
    let found = found.map(|mut objects| {
        objects.iter_mut().for_each(|object| redactor.object(object));
        Value::from(objects)
    });
    value(name, found)
}

/// What was found, or why nothing was.
fn value(name: &str, found: Result<Value, Failure>) -> File {
    let found = found.unwrap_or_else(|failure| json!({"notRead": failure.to_string()}));
    File { name: name.to_owned(), content: format!("{found:#}\n") }
}

async fn listed(client: &Client, kind: &str) -> Result<Vec<Value>, Failure> {
    let found = world::list_named(client, kind).await;
    found.map_err(|error| api_failure(&format!("list {kind}s"), &error))
}

/// The VirtualServices and DestinationRules that are ours, or have something of ours in them.
async fn istio(client: &Client) -> Result<Vec<Value>, Failure> {
    let mut objects = Vec::new();
    for kind in ["VirtualService", "DestinationRule"] {
        let found = listed(client, kind).await?.into_iter().filter_map(|value| Object::new(value).ok());
        objects.extend(found.filter(|object| object.is_ours() || object.is_edited()).map(Object::into_value));
    }
    Ok(objects)
}

async fn plugins(client: &Client) -> Result<Vec<Value>, Failure> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &world::resource(API_VERSION, "WasmPlugin"));
    let found = api.list(&ListParams::default().labels(ROLE_LABEL)).await;
    let found = found.map_err(|error| api_failure("list WasmPlugins", &error))?;
    let plugin = |plugin: &DynamicObject| {
        let mut value = json!(plugin);
        value["kind"] = "WasmPlugin".into();
        value
    };
    Ok(found.items.iter().map(plugin).collect())
}

async fn settings(client: &Client) -> Result<Value, Failure> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), names::NAMESPACE);
    let found = api.get_opt(names::SETTINGS).await;
    let found = found.map_err(|error| api_failure(&format!("read ConfigMap {}", names::SETTINGS), &error))?;
    Ok(json!(found.and_then(|found| found.data)))
}

async fn events(client: &Client) -> Result<Value, Failure> {
    let api: Api<Event> = Api::namespaced(client.clone(), names::NAMESPACE);
    let found = api.list(&ListParams::default()).await;
    let found =
        found.map_err(|error| api_failure(&format!("list events in {}", names::NAMESPACE), &error))?;
    let event = |event: &Event| {
        json!({
            "about": {"kind": event.involved_object.kind, "name": event.involved_object.name},
            "type": event.type_, "reason": event.reason, "message": event.message, "count": event.count,
            "last": event.last_timestamp, "created": event.metadata.creation_timestamp,
        })
    };
    Ok(found.items.iter().map(event).collect())
}

/// The ends of the controllers' logs.
async fn logs(client: &Client) -> Vec<File> {
    let api: Api<Pod> = Api::namespaced(client.clone(), names::NAMESPACE);
    let found = match api.list(&ListParams::default().labels(CONTROLLERS)).await {
        Ok(found) => found.items,
        Err(error) => {
            return vec![value("controllers.json", Err(api_failure("list the controllers", &error)))];
        }
    };
    let params = LogParams {
        tail_lines: Some(LOG_LINES_MAX),
        limit_bytes: Some(LOG_BYTES_MAX),
        timestamps: true,
        ..LogParams::default()
    };
    let mut files = Vec::new();
    for pod in found {
        let name = pod.metadata.name.unwrap_or_default();
        let log = api.logs(&name, &params).await;
        let log = log.unwrap_or_else(|error| format!("{}\n", api_failure("read the log", &error)));
        files.push(File { name: format!("{name}.log"), content: log });
    }
    files
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn a_bundle_is_an_archive_of_its_files_and_replaces_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("report.tar.gz");
        let file = |name: &str, content: &str| File { name: name.into(), content: content.into() };
        write(&path, &[file("a.json", "{}\n"), file("b.log", "one\n")]).expect("written");
        let archive = std::fs::File::open(&path).expect("a file");
        let mut archive = tar::Archive::new(GzDecoder::new(archive));
        let read = archive.entries().expect("entries").map(|entry| {
            let mut entry = entry.expect("an entry");
            let mut content = String::new();
            entry.read_to_string(&mut content).expect("text");
            (entry.path().expect("a path").display().to_string(), content)
        });
        let want = [("canaryctl-bug-report/a.json", "{}\n"), ("canaryctl-bug-report/b.log", "one\n")];
        let want = want.map(|(name, content)| (name.to_owned(), content.to_owned()));
        assert_eq!(read.collect::<Vec<_>>(), want);
        let again = write(&path, &[]).expect_err("it is there");
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    }
}
