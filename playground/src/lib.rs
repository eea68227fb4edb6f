//! The rules for a page: text in, text out. What decides is [`canary_rules::inquiry`], as in `canaryctl explain`.
//!
//! Lanes come as the configuration of an edge, as the proxies' filter gets them: reading YAML takes more code than
//! deciding, and whoever serves the page has it.

use canary_rules::edge::Edge;
use canary_rules::inquiry::{self, Report, Request};
use canary_rules::wire::FilterConfig;
use serde::Serialize;
use wasm_bindgen::prelude::wasm_bindgen;

/// What came of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    /// What `canaryctl explain -o json` prints.
    Report(Box<Report>),
    /// The request is none.
    Request(String),
    /// The configuration is none.
    Config(String),
}

/// Which lane a request gets of the lanes of an edge's configuration, and why.
///
/// `headers` are lines as `name: value`; `client` is the address that the edge sees the request come from, empty where it
/// sees none; `now_unix_s` is when it comes, in seconds. The answer is JSON with one key: `report` holds what `canaryctl
/// explain -o json` prints; `request` or `config` say what is wrong with either.
// Arguments, not JSON: reading that would be a tenth of the module.
#[must_use]
#[wasm_bindgen]
pub fn explain(
    config: &str,
    method: &str,
    url: &str,
    headers: &str,
    client: &str,
    now_unix_s: u32,
) -> String {
    let answer = edge(config).and_then(|edge| {
        let request =
            Request::new(method, url, headers.lines()).map_err(|error| Answer::Request(error.to_string()))?;
        let client = Some(client).filter(|client| !client.is_empty());
        let explanation = inquiry::ask(&edge, &request, client, now_unix_s.into());
        Ok(Answer::Report(Box::new(Report::new(&explanation))))
    });
    // An answer is strings, numbers and lists of those.
    serde_json::to_string(&answer.unwrap_or_else(|wrong| wrong)).unwrap_or_default()
}

fn edge(config: &str) -> Result<Edge, Answer> {
    let config = FilterConfig::parse(config.as_bytes()).map_err(|error| Answer::Config(error.to_string()))?;
    inquiry::edge(config).map_err(|error| Answer::Config(error.to_string()))
}

#[cfg(test)]
mod tests {
    use canary_rules::document::{self, Source};
    use serde_json::Value;

    use super::*;

    const LANES: &str = "apiVersion: canaryctl.io/v1alpha1\nkind: Lane\nmetadata: {name: gray}\nspec:\n  rules:\n    \
                         - when: {cookie: {name: gray, exact: \"1\"}}\n";

    fn config() -> String {
        let source = Source { name: "lanes.yaml".into(), text: LANES.into() };
        let documents = document::read(&[source]).expect("sound lanes");
        inquiry::config(&documents, 0).expect("a configuration").to_json()
    }

    fn ask(url: &str, headers: &[&str]) -> Value {
        let told = explain(&config(), "GET", url, &headers.join("\n"), "", 1_800_000_000);
        serde_json::from_str(&told).expect("JSON")
    }

    #[test]
    fn a_request_is_decided_on_with_the_reason() {
        let told = ask("http://shop.test/", &["cookie: gray=1"]);
        assert_eq!(told["report"]["lane"], "gray");
        assert_eq!(told["report"]["reason"], "rule 1: cookie gray = 1");
        let told = ask("http://shop.test/", &[]);
        assert_eq!(told["report"]["lane"], Value::Null);
        assert_eq!(told["report"]["close"][0]["lane"], "gray");
    }

    #[test]
    fn what_is_none_is_said_to_be_none() {
        let said =
            |told: &Value, key: &str, part: &str| told[key].as_str().is_some_and(|text| text.contains(part));
        assert!(said(&ask("/cart", &[]), "request", "no scheme or no host"));
        assert!(said(&ask("http://a/", &["cookie"]), "request", "there is no `:`"));
        let told = explain("{}", "GET", "http://a/", "", "", 0);
        let told: Value = serde_json::from_str(&told).expect("JSON");
        assert!(said(&told, "config", ""), "{told}");
    }
}
