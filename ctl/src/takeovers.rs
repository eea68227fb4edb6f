//! Takeovers in a cluster, as verbs use them: make, delete, and wait for what the controller says.

use std::time::Duration;

use canary_rules::lane::API_VERSION;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{DeleteParams, DynamicObject, ListParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use serde::Serialize;
use serde_json::Value;

use crate::cluster::api_failure;
use crate::failure::{Code, Failure};
use crate::lanes::condition;
use crate::names::FIELD_MANAGER;
use crate::takeover::selected::is_asked_by;
use crate::takeover::{KIND, copies, everything};
use crate::verb::enable::document::who_of_rules;
use crate::world;

/// How long before a watch that broke is begun anew.
const WATCH_PAUSE: Duration = Duration::from_secs(1);

/// The Takeovers of a cluster.
#[derive(Clone)]
pub struct Takeovers {
    client: Client,
}

/// Where a Takeover is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Place {
    /// That of an object.
    #[must_use]
    pub fn of(object: &Value) -> Self {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        Self { namespace: text("namespace"), name: text("name") }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A Takeover as people are told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InWords {
    /// Its name.
    pub name: String,
    /// The service as `namespace/name`.
    pub service: String,
    /// Whose it is, and on which machine.
    pub owner: String,
    /// Which requests it has.
    pub what: String,
    /// In a word: new, working, on, away, noagent, refused or going.
    pub state: String,
    /// What there is to say of its state; mostly nothing.
    pub message: String,
    /// When it began, Unix, in seconds.
    pub since_unix_s: Option<i64>,
}

/// What is so once a Takeover is over.
#[must_use]
pub fn once_over(takeover: &Value) -> &'static str {
    match is_asked_by(takeover) {
        true => "the Service leads to its pods again",
        false => "no proxy routes by it",
    }
}

impl InWords {
    /// Of an object.
    #[must_use]
    pub fn of(takeover: &Value) -> Self {
        let text =
            |pointer: &str| takeover.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let owner = match text("/spec/owner/machine") {
            machine if machine.is_empty() => text("/spec/owner/user"),
            machine => format!("{} on {machine}", text("/spec/owner/user")),
        };
        let state = match takeover["metadata"]["deletionTimestamp"].is_null() {
            true => match text("/status/state") {
                state if state.is_empty() => "new".into(),
                state => state.to_lowercase(),
            },
            false => "going".into(),
        };
        let what = match takeover["spec"]["rules"].as_array() {
            Some(rules) if !rules.is_empty() => who_of_rules(rules),
            _ if takeover["spec"]["mode"] == "mirror" => copies(takeover["spec"]["percent"].as_f64()),
            _ => {
                let ports = |field: &str| takeover["spec"][field].as_array().map_or(&[][..], Vec::as_slice);
                everything(ports("ports"), ports("connections")).into()
            }
        };
        let since = text("/metadata/creationTimestamp").parse::<Timestamp>();
        Self {
            name: text("/metadata/name"),
            service: format!("{}/{}", text("/metadata/namespace"), text("/spec/service")),
            owner,
            what,
            state,
            message: text("/status/message"),
            since_unix_s: since.ok().map(Timestamp::as_second),
        }
    }
}

impl Takeovers {
    /// Of this cluster.
    #[must_use]
    pub fn new(client: &Client) -> Self {
        Self { client: client.clone() }
    }

    fn of(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &world::resource(API_VERSION, KIND))
    }

    /// Those of a namespace, or of all, the oldest first; none where they are not known at all.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn list(&self, namespace: Option<&str>) -> Result<Vec<Value>, Failure> {
        let api = match namespace {
            Some(namespace) => self.of(namespace),
            None => Api::all_with(self.client.clone(), &world::resource(API_VERSION, KIND)),
        };
        let mut found: Vec<Value> = match api.list(&ListParams::default()).await {
            Ok(found) => found.items.iter().map(value).collect(),
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Vec::new()),
            Err(error) => return Err(api_failure("list takeovers", &error)),
        };
        let age = |takeover: &Value| {
            let text = |field: &str| takeover["metadata"][field].as_str().unwrap_or_default().to_owned();
            (text("creationTimestamp"), text("namespace"), text("name"))
        };
        found.sort_by_key(age);
        Ok(found)
    }

    /// Makes one; `dry_run` has the API server judge it only.
    ///
    /// # Errors
    /// When the API server refuses it, or there is one of this name.
    pub async fn create(&self, takeover: &Value, dry_run: bool) -> Result<Value, Failure> {
        let place = Place::of(takeover);
        let tried = format!("take over {}", takeover["spec"]["service"].as_str().unwrap_or_default());
        let failed = |error: &kube::Error| api_failure(&tried, error);
        let object: DynamicObject = serde_json::from_value(takeover.clone())
            .map_err(|error| failed(&kube::Error::SerdeError(error)))?;
        let params = PostParams { dry_run, field_manager: Some(FIELD_MANAGER.into()) };
        match self.of(&place.namespace).create(&params, &object).await {
            Ok(made) => Ok(value(&made)),
            Err(kube::Error::Api(status)) if status.code == 404 => {
                Err(Failure::new(Code::Failed, "this cluster knows no takeovers").help("canaryctl install"))
            }
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let there = self.of(&place.namespace).get_opt(&place.name).await.ok().flatten();
                let there = there.as_ref().map(value).unwrap_or_default();
                let text = |value: &Value| value.as_str().unwrap_or("somebody").to_owned();
                let (owner, since) =
                    (text(&there["spec"]["owner"]["user"]), text(&there["metadata"]["creationTimestamp"]));
                Err(Failure::new(Code::Conflict, format!("{owner} has takeover {place} since {since}"))
                    .help(format!("canaryctl -n {} dev stop {} ends it", place.namespace, place.name)))
            }
            Err(error) => Err(failed(&error)),
        }
    }

    /// Deletes one; false where there is none.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn delete(&self, place: &Place) -> Result<bool, Failure> {
        match self.of(&place.namespace).delete(&place.name, &DeleteParams::background()).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            Err(error) => Err(api_failure(&format!("end takeover {place}"), &error)),
        }
    }

    /// Waits until every proxy has it.
    ///
    /// # Errors
    /// When it is refused, ended by somebody, or not through in time.
    pub async fn programmed(&self, place: &Place, timeout: Duration) -> Result<Value, Failure> {
        let settled = |found: Option<&DynamicObject>| {
            found.map(value).is_none_or(|takeover| {
                condition(&takeover, "Programmed").status == "True"
                    || condition(&takeover, "Accepted").status == "False"
            })
        };
        let waited =
            tokio::time::timeout(timeout, until(&self.of(&place.namespace), &place.name, settled)).await;
        let found = self.of(&place.namespace).get_opt(&place.name).await;
        let found = found.map_err(|error| api_failure(&format!("read takeover {place}"), &error))?;
        let Some(takeover) = found.as_ref().map(value) else {
            return Err(Failure::new(Code::Conflict, format!("somebody ended takeover {place}")));
        };
        let (accepted, programmed) = (condition(&takeover, "Accepted"), condition(&takeover, "Programmed"));
        if accepted.status == "False" {
            return Err(refused(&takeover, &accepted.reason, &accepted.message));
        }
        match waited {
            Ok(()) => Ok(takeover),
            Err(_) => {
                let why = match programmed.message.as_str() {
                    "" => "the controller has said nothing of it",
                    message => message,
                };
                let what = format!("not every proxy has the lane after {} s: {why}", timeout.as_secs());
                Err(Failure::new(Code::Timeout, what).help("canaryctl status shows what it waits for"))
            }
        }
    }

    /// Waits until every proxy, or every node, is told of this pod of its agent.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn arrived(&self, place: &Place, pod: &str, timeout: Duration) -> Result<(), Failure> {
        let api = self.of(&place.namespace);
        let is_known = |found: Option<&DynamicObject>| {
            found.map(value).is_some_and(|takeover| {
                takeover["status"]["agent"] == *pod && condition(&takeover, "Arrived").status == "True"
            })
        };
        if tokio::time::timeout(timeout, until(&api, &place.name, is_known)).await.is_ok() {
            return Ok(());
        }
        let found = api.get_opt(&place.name).await.ok().flatten();
        let why = found.map(|found| condition(&value(&found), "Arrived").message).unwrap_or_default();
        let why = if why.is_empty() { "the controller has said nothing of it".into() } else { why };
        let what =
            format!("requests do not come by the agent's pod {pod} after {} s: {why}", timeout.as_secs());
        let help = format!(
            "kubectl -n {0} describe pod {pod}; kubectl -n {0} describe takeover {1}",
            place.namespace, place.name
        );
        Err(Failure::new(Code::Timeout, what).help(help))
    }

    /// Waits until no proxy routes by it any more and it is gone.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn gone(&self, place: &Place, timeout: Duration) -> Result<(), Failure> {
        let api = self.of(&place.namespace);
        let gone = until(&api, &place.name, |found: Option<&DynamicObject>| found.is_none());
        tokio::time::timeout(timeout, gone).await.map_err(|_| {
            let what = format!("takeover {place} is not over after {} s", timeout.as_secs());
            Failure::new(Code::Timeout, what)
                .help("it ends once no proxy routes by it: canaryctl status shows what it waits for")
        })
    }

    /// Waits until it is not what it was: gone, or refused after all. Says which.
    pub async fn lost(&self, place: &Place) -> Failure {
        let is_refused = |found: Option<&DynamicObject>| {
            found.is_none_or(|found| condition(&value(found), "Accepted").status == "False")
        };
        until(&self.of(&place.namespace), &place.name, is_refused).await;
        match self.of(&place.namespace).get_opt(&place.name).await {
            Ok(Some(found)) => {
                let takeover = value(&found);
                let accepted = condition(&takeover, "Accepted");
                refused(&takeover, &accepted.reason, &accepted.message)
            }
            Ok(None) | Err(_) => Failure::new(Code::Conflict, format!("somebody ended takeover {place}")),
        }
    }
}

/// Waits for as long as it takes. A watch that breaks, as when a machine sleeps, is begun anew.
pub(crate) async fn until<K>(api: &Api<K>, name: &str, is_so: impl Fn(Option<&K>) -> bool + Copy)
where
    K: Clone + std::fmt::Debug + Send + serde::de::DeserializeOwned + kube::Resource + 'static,
{
    while await_condition(api.clone(), name, is_so).await.is_err() {
        tokio::time::sleep(WATCH_PAUSE).await;
    }
}

/// Who the API server takes one for.
///
/// # Errors
/// When it does not say.
pub async fn who_am_i(client: &Client) -> Result<String, Failure> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = api.create(&PostParams::default(), &SelfSubjectReview::default()).await;
    let review = review.map_err(|error| api_failure("ask who you are", &error))?;
    let user = review.status.and_then(|status| status.user_info).and_then(|user| user.username);
    user.ok_or_else(|| Failure::new(Code::Failed, "the API server does not say who you are"))
}

/// Why a takeover cannot be, and what to do about it.
fn refused(takeover: &Value, reason: &str, message: &str) -> Failure {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (namespace, service) = (text(&takeover["metadata"]["namespace"]), text(&takeover["spec"]["service"]));
    let failure = Failure::new(Code::Conflict, format!("cannot take {namespace}/{service}: {message}"));
    match reason {
        "Taken" => failure.help(format!(
            "choose another rule (--cookie dev=NAME), or ask them: canaryctl -n {namespace} dev list"
        )),
        "Exchanged" => failure.help(format!(
            "take your own requests of it: canaryctl -n {namespace} mesh {service} --to PORT; or ask them: canaryctl -n \
             {namespace} dev list"
        )),
        "LaneTaken" => failure.help("choose another lane: --lane NAME"),
        _ => Failure::new(Code::Documents, format!("cannot take {namespace}/{service}: {message}")),
    }
}

fn value(object: &DynamicObject) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    value["apiVersion"] = API_VERSION.into();
    value["kind"] = KIND.into();
    value
}
