//! What an app prints of a request that it answered.

use std::collections::BTreeMap;
use std::io::Write;

use hyper::{Request, StatusCode};
use serde::{Deserialize, Serialize};

use crate::app::AppConfig;

/// A line of an app's access log, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The service.
    pub service: String,
    /// Its version.
    pub version: String,
    /// Which instance of it.
    pub instance: String,
    /// Path and query.
    pub target: String,
    /// The headers that the app was told to log, as far as the request has them.
    pub headers: BTreeMap<String, String>,
    /// What it was answered with.
    pub status: u16,
}

impl Access {
    /// What there is to say of a request before its answer, if the app says anything.
    pub(crate) fn begin<B>(config: &AppConfig, request: &Request<B>) -> Option<Self> {
        let names = config.behaviour.access_log.as_ref()?;
        let header = |name: &String| {
            let value = request.headers().get(name)?;
            Some((name.clone(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        };
        let target = request.uri().path_and_query();
        Some(Self {
            service: config.service.to_string(),
            version: config.version.clone(),
            instance: config.instance.clone(),
            target: target.map_or_else(String::new, ToString::to_string),
            headers: names.iter().filter_map(header).collect(),
            status: 0,
        })
    }

    /// Prints the line.
    pub(crate) fn print(mut self, status: StatusCode) {
        self.status = status.as_u16();
        let Ok(mut line) = serde_json::to_string(&self) else { return };
        line.push('\n');
        // In one piece, so that lines stay whole; nobody listening is no reason to stop serving.
        let _ = std::io::stdout().lock().write_all(line.as_bytes());
    }
}
