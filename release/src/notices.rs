//! Whom a release tells of what happens to it: each entry of its history, by a number of its own.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::document::Release;
use crate::errand;

/// How long after it happened something is worth telling, in seconds: nobody is told of a history that is over.
const NEWS_S: i64 = 3600;

/// An address that is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Notify {
    /// Its address as the controller reaches it.
    pub url: String,
}

/// What is to be told now.
#[derive(Debug, Clone, PartialEq)]
pub struct Notices {
    /// One after the other.
    pub list: Vec<Notice>,
    /// How many entries of the history are told of then.
    pub told: u32,
}

/// Something to tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// What it is known by: the same however often it is sent.
    pub id: String,
    /// What is sent.
    pub body: Value,
}

/// What of a release's history is to be told at this time (Unix, in seconds), if anything is.
#[must_use]
pub fn notices(release: &Release, now: i64) -> Option<Notices> {
    let status = release.status.as_ref()?;
    let forgotten = usize::try_from(status.forgotten).unwrap_or(usize::MAX);
    let told = usize::try_from(status.told).unwrap_or(usize::MAX);
    let uid = release.metadata.uid.as_deref().unwrap_or(release.metadata.name.as_str());
    let numbered = status.history.iter().zip(forgotten.saturating_add(1)..);
    let news = numbered.filter(|(entry, number)| *number > told && now.saturating_sub(entry.at) < NEWS_S);
    let list: Vec<Notice> = news
        .map(|(entry, number)| {
            let id = format!("{uid}-h{number}");
            let mut body = errand::describe(release);
            body["id"] = id.as_str().into();
            body["at"] = entry.at.into();
            body["what"] = entry.what.as_str().into();
            body["text"] = format!("release {}: {}", release.metadata.name, entry.what).into();
            Notice { id, body }
        })
        .collect();
    let all = u32::try_from(forgotten.saturating_add(status.history.len())).unwrap_or(u32::MAX);
    (!list.is_empty()).then_some(Notices { list, told: all })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn release(status: Value) -> Release {
        serde_json::from_value(json!({
            "apiVersion": "", "kind": "", "metadata": {"name": "r-1", "uid": "u-1"},
            "spec": {"workloads": [], "steps": [{"share": 10}], "notify": [{"url": "http://chat"}]},
            "status": status,
        }))
        .expect("a release")
    }

    fn ids(release: &Release, now: i64) -> Vec<String> {
        notices(release, now).into_iter().flat_map(|news| news.list).map(|notice| notice.id).collect()
    }

    #[test]
    fn each_entry_is_told_by_its_number_until_it_is_told_of() {
        let entries = json!([{"at": 100, "what": "begins"}, {"at": 200, "what": "step 1"}]);
        let mut release = release(json!({"phase": "Stepping", "history": entries, "forgotten": 7}));
        assert_eq!(ids(&release, 300), ["u-1-h8", "u-1-h9"]);
        let news = notices(&release, 300).expect("news");
        assert_eq!(news.told, 9);
        assert_eq!(news.list[1].body["text"], "release r-1: step 1");
        assert_eq!(
            (&news.list[1].body["at"], &news.list[1].body["phase"]),
            (&200.into(), &"Stepping".into())
        );
        let status = release.status.as_mut().expect("a status");
        status.told = 8;
        assert_eq!(ids(&release, 300), ["u-1-h9"]);
        release.status.as_mut().expect("a status").told = 9;
        assert_eq!(notices(&release, 300), None);
    }

    #[test]
    fn what_is_long_over_is_not_told_any_more() {
        let entries = json!([{"at": 100, "what": "begins"}, {"at": 3600, "what": "step 1"}]);
        let release = release(json!({"history": entries}));
        assert_eq!(ids(&release, 3701), ["u-1-h2"]);
        assert_eq!(notices(&release, 10_000), None);
    }
}
