//! Releases in a cluster, as verbs use them: make, change, and wait for how far they come.

mod turn;

use std::time::Duration;

use canary_release::{ErrandStatus, KIND, Phase, Release, Status};
use canary_rules::lane::API_VERSION;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use serde::Deserialize as _;
use serde_json::Value;

use futures_util::StreamExt as _;

use crate::cluster::api_failure;
use crate::failure::{Code, Failure};
use crate::names::FIELD_MANAGER;
use crate::world;

pub use turn::Turn;

/// Versions of a release that may come between before asking is given up.
const ASK_ATTEMPTS: usize = 20;

/// The Releases of a cluster.
#[derive(Clone)]
pub struct Releases {
    api: Api<DynamicObject>,
}

impl Releases {
    /// Of this cluster.
    #[must_use]
    pub fn new(client: &Client) -> Self {
        Self { api: Api::all_with(client.clone(), &world::resource(API_VERSION, KIND)) }
    }

    /// All of them, the oldest first; none where they are not known at all.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn list(&self) -> Result<Vec<Release>, Failure> {
        let found = match self.api.list(&ListParams::default()).await {
            Ok(found) => found,
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Vec::new()),
            Err(error) => return Err(api_failure("list releases", &error)),
        };
        let mut releases = Vec::with_capacity(found.items.len());
        for object in &found.items {
            match read(object) {
                Ok(release) => releases.push(release),
                // One of them is not to keep people from the others.
                Err(unreadable) => anstream::eprintln!("warning: {unreadable}"),
            }
        }
        releases.sort_by_key(|release| {
            (release.metadata.creation_timestamp.clone(), release.metadata.name.to_string())
        });
        Ok(releases)
    }

    /// One.
    ///
    /// # Errors
    /// When there is none of this name, or it cannot be read.
    pub async fn get(&self, name: &str) -> Result<Release, Failure> {
        match self.api.get_opt(name).await {
            Ok(Some(found)) => read(&found),
            Ok(None) => Err(Failure::new(Code::Failed, format!("there is no release {name}"))
                .help("canaryctl release list shows those that there are")),
            Err(error) => Err(api_failure(&format!("read release {name}"), &error)),
        }
    }

    /// Makes one; `dry_run` has the API server judge it only.
    ///
    /// # Errors
    /// When the API server refuses it, or there is one of this name.
    pub async fn create(&self, release: &Value, dry_run: bool) -> Result<Release, Failure> {
        let name = release["metadata"]["name"].as_str().unwrap_or_default();
        let failed = |error: &kube::Error| api_failure(&format!("make release {name}"), error);
        let params = PostParams { dry_run, field_manager: Some(FIELD_MANAGER.into()) };
        let object: DynamicObject = serde_json::from_value(release.clone())
            .map_err(|error| failed(&kube::Error::SerdeError(error)))?;
        match self.api.create(&params, &object).await {
            Ok(made) => read(&made),
            Err(kube::Error::Api(status)) if status.code == 404 => {
                Err(Failure::new(Code::Failed, "this cluster knows no releases").help("canaryctl install"))
            }
            Err(error) => Err(failed(&error)),
        }
    }

    /// Asks something of one, as it was read; `step` is where it was when somebody decided on that. Returns it as it
    /// was asked.
    ///
    /// The controller writes a release's status all the time: what is asked is judged again by each version
    /// that comes between, and is refused only where it is no longer what was meant.
    ///
    /// # Errors
    /// When the release is not where this can be asked of it, or, to be promoted, left that step; when the API
    /// server refuses it.
    pub async fn ask(
        &self,
        mut release: Release,
        turn: Turn,
        step: Option<usize>,
    ) -> Result<Release, Failure> {
        for _ in 0..ASK_ATTEMPTS {
            let patch = turn.patch(&release, step)?;
            if self.change(&release, &patch).await? {
                return Ok(release);
            }
            release = self.get(release.metadata.name.as_str()).await?;
        }
        let name = &release.metadata.name;
        Err(Failure::new(Code::Conflict, format!("release {name} changes faster than it can be asked"))
            .help("run the same command again"))
    }

    /// Changes its `spec` by a merge patch; false when it is no longer as it was read.
    async fn change(&self, release: &Release, spec: &Value) -> Result<bool, Failure> {
        let name = release.metadata.name.as_str();
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        let version = &release.metadata.resource_version;
        let patch = serde_json::json!({"metadata": {"resourceVersion": version}, "spec": spec});
        match self.api.patch(name, &params, &Patch::Merge(&patch)).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(api_failure(&format!("change release {name}"), &error)),
        }
    }

    /// Follows one until it is as wanted, and tells of each change.
    ///
    /// # Errors
    /// When it is not so in time, with what it waits for; when it is deleted; when `until` gives up.
    pub async fn follow(
        &self,
        name: &str,
        timeout: Duration,
        mut tell: impl FnMut(&Release),
        mut until: impl FnMut(&Release) -> Result<bool, Failure>,
    ) -> Result<Release, Failure> {
        let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let mut changes = Box::pin(watcher(self.api.clone(), only).default_backoff().applied_objects());
        let mut last: Option<Release> = None;
        let followed = async {
            while let Some(change) = changes.next().await {
                // A watch that breaks is taken up again.
                let Ok(object) = change else { continue };
                let release = read(&object)?;
                if release.metadata.deletion_timestamp.is_some() {
                    return Err(Failure::new(Code::Conflict, format!("somebody deleted release {name}"))
                        .help("that takes everybody back to the old versions"));
                }
                tell(&release);
                if until(&release)? {
                    return Ok(release);
                }
                last = Some(release);
            }
            Err(Failure::new(Code::Failed, format!("release {name} can no longer be watched")))
        };
        match tokio::time::timeout(timeout, followed).await {
            Ok(done) => done,
            Err(_) => {
                let what =
                    last.as_ref().map_or_else(String::new, |release| format!(": {}", waits_for(release)));
                let message = format!("release {name} is not there after {} s{what}", timeout.as_secs());
                Err(Failure::new(Code::Timeout, message).help(format!("canaryctl release status {name}")))
            }
        }
    }
}

fn read(object: &DynamicObject) -> Result<Release, Failure> {
    let mut value = serde_json::to_value(object).map_err(|error| Failure::new(Code::Failed, error))?;
    value["apiVersion"] = API_VERSION.into();
    value["kind"] = KIND.into();
    parse(&value)
}

/// A Release from the object as JSON.
///
/// # Errors
/// When it is none.
pub fn parse(value: &Value) -> Result<Release, Failure> {
    Release::deserialize(value).map_err(|error| {
        Failure::new(Code::Documents, format!("release {}: {error}", value["metadata"]["name"]))
    })
}

/// A release's journal; an empty one before the controller has seen it.
#[must_use]
pub fn journal(release: &Release) -> Status {
    release.status.clone().unwrap_or_default()
}

/// Whether a step has stopped it.
#[must_use]
pub fn is_stopped(status: &Status) -> bool {
    let is_measured_bad = status.analysis.as_ref().is_some_and(|analysis| analysis.failed);
    is_measured_bad || status.errand.as_ref().is_some_and(ErrandStatus::has_failed)
}

/// A phase in a word.
#[must_use]
pub fn phase_word(phase: Phase) -> String {
    format!("{phase:?}").to_lowercase()
}

/// What a release waits for, in words.
#[must_use]
pub fn waits_for(release: &Release) -> String {
    let status = journal(release);
    match (status.trouble, status.phase) {
        (Some(trouble), _) => trouble.message,
        (None, Phase::Pending) => "the controller has not seen it yet".into(),
        (None, phase) => format!("it is {}", phase_word(phase)),
    }
}
