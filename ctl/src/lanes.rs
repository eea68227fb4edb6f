//! Lanes in a cluster, as verbs use them: apply, delete, and wait for what the controller says.

use std::time::Duration;

use canary_rules::lane::{API_VERSION, KIND};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use serde_json::Value;

use crate::cluster::api_failure;
use crate::failure::{Code, Failure};
use crate::names::FIELD_MANAGER;
use crate::world;

/// The reason of a condition `Programmed` that is false since the Lane was changed into what cannot be, and is on as it
/// was before.
pub const KEPT: &str = "Kept";

/// The Lanes of a cluster.
#[derive(Clone)]
pub struct Lanes {
    api: Api<DynamicObject>,
}

/// A Lane's condition, as its status says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    /// `True`, `False` or `Unknown`; empty where the controller has said nothing of this generation.
    pub status: String,
    /// One word.
    pub reason: String,
    /// For people.
    pub message: String,
}

impl Lanes {
    /// Of this cluster.
    #[must_use]
    pub fn new(client: &Client) -> Self {
        Self { api: Api::all_with(client.clone(), &world::resource(API_VERSION, KIND)) }
    }

    /// All of them, by name.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn list(&self) -> Result<Vec<Value>, Failure> {
        let found =
            self.api.list(&ListParams::default()).await.map_err(|error| failed("list lanes", &error))?;
        let mut lanes: Vec<Value> = found.items.iter().map(value).collect();
        lanes.sort_by(|a, b| a["metadata"]["name"].as_str().cmp(&b["metadata"]["name"].as_str()));
        Ok(lanes)
    }

    /// One; none where there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn get(&self, name: &str) -> Result<Option<Value>, Failure> {
        let found =
            self.api.get_opt(name).await.map_err(|error| failed(&format!("read lane {name}"), &error))?;
        Ok(found.as_ref().map(value))
    }

    /// Creates or changes a Lane; `dry_run` has the API server judge it only.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn apply(&self, lane: &Value, dry_run: bool) -> Result<Value, Failure> {
        let name = lane["metadata"]["name"].as_str().unwrap_or_default();
        let params = PatchParams { dry_run, ..PatchParams::apply(FIELD_MANAGER).force() };
        let applied = self.api.patch(name, &params, &Patch::Apply(lane)).await;
        applied.as_ref().map(value).map_err(|error| failed(&format!("apply lane {name}"), error))
    }

    /// Deletes a Lane; false where there is none.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn delete(&self, name: &str, dry_run: bool) -> Result<bool, Failure> {
        let params = DeleteParams { dry_run, ..DeleteParams::default() };
        match self.api.delete(name, &params).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status))
                if status.code == 404 && !status.message.contains("page not found") =>
            {
                Ok(false)
            }
            Err(error) => Err(failed(&format!("delete lane {name}"), &error)),
        }
    }

    /// Waits until every proxy has the Lane as it is now.
    ///
    /// # Errors
    /// When the Lane is refused, or not through in time; the failure says what it waits for.
    pub async fn programmed(&self, name: &str, timeout: Duration) -> Result<Value, Failure> {
        let settled = |lane: Option<&DynamicObject>| {
            lane.map(value).is_none_or(|lane| {
                condition(&lane, "Programmed").status == "True"
                    || condition(&lane, "Accepted").status == "False"
            })
        };
        let waited = tokio::time::timeout(timeout, await_condition(self.api.clone(), name, settled)).await;
        let lane = self.get(name).await?;
        let Some(lane) = lane else {
            return Err(Failure::new(Code::Conflict, format!("lane {name} was deleted meanwhile")));
        };
        let (accepted, programmed) = (condition(&lane, "Accepted"), condition(&lane, "Programmed"));
        match waited {
            _ if accepted.status == "False" => {
                let stays = Some(&programmed).filter(|programmed| programmed.reason == KEPT);
                let stays = stays.map_or_else(String::new, |programmed| format!("; {}", programmed.message));
                let message = format!("lane {name} is refused: {}{stays}", accepted.message);
                Err(Failure::new(Code::Documents, message).help("correct it and run the same command again"))
            }
            _ if programmed.status == "True" => Ok(lane),
            Ok(Ok(_)) => Ok(lane),
            Ok(Err(error)) => Err(Failure::from_error(Code::Failed, &error)),
            Err(_) => Err(late(&format!("lane {name} is not on after {} s", timeout.as_secs()), &programmed)),
        }
    }

    /// Waits until no proxy routes by the Lane any more and it is gone.
    ///
    /// # Errors
    /// When that takes too long; the failure says what it waits for.
    pub async fn gone(&self, name: &str, timeout: Duration) -> Result<(), Failure> {
        let gone = |lane: Option<&DynamicObject>| lane.is_none();
        match tokio::time::timeout(timeout, await_condition(self.api.clone(), name, gone)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Failure::from_error(Code::Failed, &error)),
            Err(_) => {
                let lane = self.get(name).await?.unwrap_or_default();
                let said = condition(&lane, "Programmed");
                Err(late(&format!("lane {name} is not off after {} s", timeout.as_secs()), &said))
            }
        }
    }
}

fn late(what: &str, programmed: &Condition) -> Failure {
    let why = match (programmed.reason.as_str(), programmed.message.as_str()) {
        ("Stuck", message) => message,
        ("", _) => "the controller has said nothing of it",
        (_, message) => message,
    };
    let help = match programmed.reason.as_str() {
        "" => format!("is it running? kubectl -n {} get pods", crate::names::NAMESPACE),
        _ => "canaryctl status shows what it waits for; it goes on by itself once that is there".to_owned(),
    };
    Failure::new(Code::Timeout, format!("{what}: {why}")).help(help)
}

/// What the controller says of a Lane's present generation.
#[must_use]
pub fn condition(lane: &Value, kind: &str) -> Condition {
    let all = lane["status"]["conditions"].as_array().into_iter().flatten();
    let found = all.into_iter().find(|condition| condition["type"] == kind);
    let current = found.filter(|found| found["observedGeneration"] == lane["metadata"]["generation"]);
    let text = |key: &str| current.map_or(String::new(), |c| c[key].as_str().unwrap_or_default().to_owned());
    Condition { status: text("status"), reason: text("reason"), message: text("message") }
}

fn value(object: &DynamicObject) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    value["apiVersion"] = API_VERSION.into();
    value["kind"] = KIND.into();
    value
}

fn failed(tried: &str, error: &kube::Error) -> Failure {
    match error {
        kube::Error::Api(status) if status.code == 404 => {
            Failure::new(Code::Failed, format!("cannot {tried}: the cluster knows no Lanes"))
                .help("canaryctl install")
        }
        other => api_failure(tried, other),
    }
}
