//! `dev.yaml`: what a developer has at once.

use std::path::Path;

use canary_rules::lane::Rule;
use canary_rules::name::LaneName;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::failure::{Code, Failure};
use crate::files;
use crate::verb::mesh::serve::Local;

/// Services whose requests come to processes of one machine, and which requests.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DevFile {
    /// The services' namespace; default that of the kubeconfig's context. `-n` wins over it.
    pub(super) namespace: Option<String>,
    /// The lane that carries the requests of `mesh`; default dev-YOU.
    pub(super) lane: Option<String>,
    /// Which requests `mesh` has, as a Lane says it; default those with the header `x-dev: YOU`.
    #[serde(default)]
    pub(super) rules: Vec<Rule>,
    /// Services of which the requests that `rules` match come here.
    #[serde(default)]
    pub(super) mesh: Vec<Meshed>,
    /// Services of which all requests come here.
    #[serde(default)]
    pub(super) exchange: Vec<Exchanged>,
    /// Services of which copies of requests come here.
    #[serde(default)]
    pub(super) mirror: Vec<Mirrored>,
}

/// A service of which some requests come here.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Meshed {
    /// The Service.
    pub(super) service: String,
    /// Its port; needed where it has several.
    pub(super) port: Option<u16>,
    /// Where the process listens.
    pub(super) to: To,
}

/// A service of which all requests come here.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Exchanged {
    /// The Service.
    pub(super) service: String,
    /// Its ports; default all.
    #[serde(default)]
    pub(super) ports: Vec<u16>,
    /// Where the process listens.
    pub(super) to: To,
}

/// A service of which copies of requests come here.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Mirrored {
    /// The Service.
    pub(super) service: String,
    /// Its ports; default all that speak HTTP.
    #[serde(default)]
    pub(super) ports: Vec<u16>,
    /// Of how many requests, in percent, in steps of 0.01; default of all.
    pub(super) percent: Option<f64>,
    /// Where the process listens.
    pub(super) to: To,
}

/// A port of this machine, or `HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum To {
    /// On localhost.
    Port(u16),
    /// `127.0.0.1:8080`.
    Address(String),
}

impl To {
    fn local(&self) -> Result<Local, String> {
        match self {
            Self::Port(port) => port.to_string().parse(),
            Self::Address(address) => address.parse(),
        }
    }
}

/// A file that makes sense.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) namespace: Option<String>,
    pub(super) lane: Option<LaneName>,
    pub(super) rules: Vec<Value>,
    /// Service, port, and where to.
    pub(super) mesh: Vec<(String, Option<u16>, Local)>,
    /// Service, ports, and where to.
    pub(super) exchange: Vec<(String, Vec<u16>, Local)>,
    /// The service with its ports and percentage, and where to.
    pub(super) mirror: Vec<(Mirrored, Local)>,
}

impl Wanted {
    /// The services that are named.
    pub(super) fn services(&self) -> Vec<&str> {
        let meshed = self.mesh.iter().map(|(service, ..)| service.as_str());
        let exchanged = self.exchange.iter().map(|(service, ..)| service.as_str());
        meshed.chain(exchanged).chain(self.mirror.iter().map(|(one, _)| one.service.as_str())).collect()
    }
}

/// Reads a file; `-` is standard input.
///
/// # Errors
/// When it cannot be read or makes no sense, and where.
pub(super) fn read(path: &Path) -> Result<Wanted, Failure> {
    let (name, bytes) = files::bytes(path).map_err(|failure| {
        failure.help("canaryctl dev up --help shows what it says; -f names another file")
    })?;
    parse(&String::from_utf8_lossy(&bytes))
        .map_err(|why| Failure::new(Code::Documents, format!("{name}{why}")))
}

/// Errors begin with `:LINE:COLUMN: `, or with `: ` where no one place is wrong.
fn parse(text: &str) -> Result<Wanted, String> {
    let file: DevFile = serde_saphyr::from_str(text).map_err(|error| match error.location() {
        Some(place) => format!(":{}:{}: {}", place.line(), place.column(), error.without_snippet()),
        None => format!(": {}", error.without_snippet()),
    })?;
    let local = |service: &str, to: &To| to.local().map_err(|why| format!(": to of {service}: {why}"));
    let mut services: Vec<&str> = file.mesh.iter().map(|one| one.service.as_str()).collect();
    services.extend(file.exchange.iter().map(|one| one.service.as_str()));
    services.extend(file.mirror.iter().map(|one| one.service.as_str()));
    if services.is_empty() {
        return Err(": it names no service, neither in mesh nor in exchange nor in mirror".into());
    }
    services.sort_unstable();
    if let Some(twice) = services.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!(": it names {} twice", twice[0]));
    }
    let lane = file.lane.as_deref().map(LaneName::new).transpose();
    let rules = file.rules.iter().map(serde_json::to_value).collect::<Result<_, _>>();
    let mesh = file.mesh.iter().map(|one| Ok((one.service.clone(), one.port, local(&one.service, &one.to)?)));
    let exchange = file
        .exchange
        .iter()
        .map(|one| Ok((one.service.clone(), one.ports.clone(), local(&one.service, &one.to)?)));
    let mirror = file.mirror.iter().map(|one| Ok((one.clone(), local(&one.service, &one.to)?)));
    Ok(Wanted {
        namespace: file.namespace.clone(),
        lane: lane.map_err(|error| format!(": lane: {error}"))?,
        rules: rules.map_err(|error| format!(": rules: {error}"))?,
        mesh: mesh.collect::<Result<_, String>>()?,
        exchange: exchange.collect::<Result<_, String>>()?,
        mirror: mirror.collect::<Result<_, String>>()?,
    })
}

/// The JSON Schema of such files, 2020-12.
pub(super) fn schema() -> Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12();
    settings.into_generator().into_root_schema_for::<DevFile>().into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FILE: &str = "\
namespace: shop
lane: dev-checkout
rules:
  - when: {cookie: {name: dev, exact: alice}}
mesh:
  - {service: cart, to: 8080}
  - {service: stock, port: 80, to: '127.0.0.1:9000'}
exchange:
  - {service: price, ports: [80, 81], to: 8082}
mirror:
  - {service: notes, percent: 5, to: 8083}
";

    #[test]
    fn a_file_says_what_comes_where() {
        let wanted = parse(FILE).expect("a file");
        assert_eq!(wanted.namespace.as_deref(), Some("shop"));
        assert_eq!(wanted.lane.as_ref().map(LaneName::as_str), Some("dev-checkout"));
        assert_eq!(wanted.rules, [json!({"when": {"cookie": {"name": "dev", "exact": "alice"}}})]);
        let to = |text: &str| text.parse::<Local>().expect("a place");
        assert_eq!(
            wanted.mesh,
            [("cart".into(), None, to("localhost:8080")), ("stock".into(), Some(80), to("127.0.0.1:9000"))]
        );
        assert_eq!(wanted.exchange, [("price".into(), vec![80, 81], to("8082"))]);
        let [(notes, here)] = wanted.mirror.as_slice() else { panic!("one") };
        assert_eq!((notes.percent, notes.ports.is_empty(), here), (Some(5.0), true, &to("8083")));
        assert_eq!(wanted.services(), ["cart", "stock", "price", "notes"]);
    }

    #[test]
    fn a_file_that_makes_no_sense_says_where() {
        for (text, want) in [
            ("mesh:\n  - {service: cart, to: 8080, prot: 1}\n", ":2:"),
            ("meshes: []\n", "unknown field"),
            ("namespace: shop\n", ": it names no service"),
            ("mesh: [{service: cart, to: 1}]\nexchange: [{service: cart, to: 2}]\n", ": it names cart twice"),
            ("mesh: [{service: cart, to: nowhere}]\n", ": to of cart: `nowhere` is no port"),
            ("lane: Dev!\nmesh: [{service: cart, to: 1}]\n", ": lane: "),
            ("mesh: [{service: cart, to: 1}]\nrules: [{when: {cooky: {name: dev}}}]\n", ":2:"),
        ] {
            let why = parse(text).expect_err(text);
            assert!(why.contains(want), "{text}: {why}");
        }
    }

    #[test]
    fn the_schema_knows_every_field() {
        let schema = schema();
        let fields = schema["properties"].as_object().expect("fields");
        let names: Vec<&str> = fields.keys().map(String::as_str).collect();
        assert_eq!(names, ["namespace", "lane", "rules", "mesh", "exchange", "mirror"]);
        assert_eq!(schema["additionalProperties"], false);
    }
}
