//! What a developer is told, and what they are called.

use std::time::Duration;

use canary_istio::observed::Speaks;
use kube::Client;
use serde_json::{Value, json};

use super::hold::Together;
use super::plan::Taken;
use super::serve::Local;
use crate::develop::report::{self, Format};
use crate::progress::seconds;
use crate::takeover::{By, Mode, Takeover};
use crate::world::list_named;

/// Longest name, in bytes: with what stands before it, it names a lane.
const NAME_BYTES_MAX: usize = 40;

/// A user's name as a lane and a header can have it: `alice` of `alice@corp.example`.
pub(super) fn short_name(user: &str) -> String {
    let last = user.rsplit(':').next().unwrap_or(user);
    let own = last.split('@').next().unwrap_or(last).to_ascii_lowercase();
    let fits = |char: char| if char.is_ascii_lowercase() || char.is_ascii_digit() { char } else { '-' };
    let mut name: String = own.chars().map(fits).collect();
    name.truncate(NAME_BYTES_MAX);
    name.trim_matches('-').to_owned()
}

/// What becomes of requests where nobody listens.
pub(super) fn otherwise(takeover: &Takeover) -> &'static str {
    match takeover.spec.mode {
        Mode::Mesh | Mode::Exchange => "the service's own pods answer",
        Mode::Mirror => "copies are dropped",
    }
}

/// Says what goes where, and, once that is so of all that one command holds, how to try it.
pub(super) async fn ready(
    format: Format,
    (taken, to): (&Taken, &Local),
    takeover: &Takeover,
    client: &Client,
    took: Duration,
    together: &Together,
) {
    let entry = entry(client, &takeover.metadata.namespace).await;
    let shop = format!("http://{}/", entry.as_deref().unwrap_or("YOUR-SHOP"));
    let curl = match takeover.spec.by {
        By::Routes if taken.has_requests() => Some(curl(takeover, &shop)),
        By::Routes => None,
        By::Selector => curl_inside(taken),
    };
    let link = takeover.link().map(|query| format!("{shop}?{query}"));
    if format == Format::Json {
        return report::line(&json!({
            "event": "ready", "service": takeover.service(), "lane": takeover.spec.lane, "to": to.to_string(),
            "rules": takeover.rules(), "takeover": takeover.metadata.name, "curl": curl,
            "link": link,
        }));
    }
    let (service, what, own) = (takeover.service(), takeover.what(), &takeover.spec.service);
    let whose = takeover.spec.lane.as_ref().map_or(service.clone(), |lane| format!("lane {lane}"));
    let of = takeover.spec.lane.as_ref().map_or(String::new(), |_| format!("{service}, "));
    anstream::println!("{whose} → {to}   {of}{what}  {}", seconds(took));
    if let Some(note) = guessed(taken, takeover) {
        anstream::println!("note: {note}");
    }
    let Some(all) = together.has_come() else { return };
    let others = match takeover.spec.mode {
        _ if all > 1 => {
            format!("the pods of these {all} services run on, and what comes here returns by itself")
        }
        Mode::Mesh => format!("everyone else keeps {own} as it is; it returns by itself"),
        Mode::Exchange if takeover.spec.by == By::Selector => {
            format!(
                "the pods of {own} run on and keep connections that are open; new ones return by themselves"
            )
        }
        Mode::Exchange => format!("the pods of {own} run on, and its requests return by themselves"),
        Mode::Mirror => {
            format!("the pods of {own} answer everybody; your answers are dropped, and copies end")
        }
    };
    anstream::println!("{others} within 15 s after you vanish");
    anstream::println!("try:  {}", curl.unwrap_or_else(|| client_inside(taken)));
    if let Some(link) = link {
        anstream::println!("link: {link}   keeps a browser there while this lasts");
    }
    anstream::println!("Ctrl-C ends it.");
}

/// A host by which users reach the namespace's services, if one can be seen.
async fn entry(client: &Client, namespace: &str) -> Option<String> {
    let routes = list_named(client, "VirtualService").await.ok()?;
    let is_entry = |route: &&Value| {
        let gateways = route["spec"]["gateways"].as_array();
        route["metadata"]["namespace"] == *namespace
            && gateways.is_some_and(|gateways| gateways.iter().any(|gateway| gateway != "mesh"))
    };
    let hosts = routes.iter().filter(is_entry).filter_map(|route| route["spec"]["hosts"][0].as_str());
    hosts.filter(|host| !host.contains('*')).map(str::to_owned).next()
}

/// A command that makes such a request.
fn curl(takeover: &Takeover, shop: &str) -> String {
    let rules = takeover.rules();
    let when = rules.first().map_or(&Value::Null, |rule| &rule["when"]);
    let said = |subject: &str| {
        let test = &when[subject];
        Some((
            test["name"].as_str()?.to_owned(),
            test["exact"].as_str().or(test["in"][0].as_str())?.to_owned(),
        ))
    };
    let mut url = shop.to_owned();
    if let Some((name, value)) = said("query") {
        url = format!("{url}?{name}={value}");
    }
    let header = said("header").map(|(name, value)| format!(" -H '{name}: {value}'"));
    let cookie = said("cookie").map(|(name, value)| format!(" -H 'cookie: {name}={value}'"));
    format!("curl {url}{}{}", header.unwrap_or_default(), cookie.unwrap_or_default())
}

/// A command that makes one where no gateway leads; none where no port that is taken has requests. Of those that do not
/// say so the first one has, if any.
fn curl_inside(taken: &Taken) -> Option<String> {
    let mut ports = taken.taken();
    let said = ports.clone().find(|port| port.speaks == Speaks::Http);
    let port = said.or_else(|| ports.next().filter(|port| port.speaks == Speaks::Guessed))?;
    Some(format!("canaryctl -n {} run -- curl http://{}:{}/", taken.namespace, taken.name, port.number))
}

/// What does not come of all that is asked for: the mesh looks for requests at a port that does not say what it speaks, and
/// leads nothing else.
fn guessed(taken: &Taken, takeover: &Takeover) -> Option<String> {
    let (mode, by) = (takeover.spec.mode, takeover.spec.by);
    let port = taken.taken().find(|port| port.speaks == Speaks::Guessed)?.number;
    (mode == Mode::Exchange && by == By::Routes).then(|| {
        format!(
            "port {port} does not say what it speaks: its HTTP comes here, and other connections stay with the pods; \
             appProtocol: tcp has them come"
        )
    })
}

/// A command that opens a connection instead, by a client of whatever is spoken there.
fn client_inside(taken: &Taken) -> String {
    let port = taken.taken().next().map_or(String::new(), |port| format!(":{}", port.number));
    format!("canaryctl -n {} run -- YOUR-CLIENT {}{port}", taken.namespace, taken.name)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;

    use super::*;
    use crate::verb::mesh::plan::{Ports, What};

    #[test]
    fn a_user_is_called_by_their_own_name() {
        for (user, want) in [
            ("alice", "alice"),
            ("Alice.Doe@corp.example", "alice-doe"),
            ("system:serviceaccount:shop:ci-bot", "ci-bot"),
            ("oidc:bob", "bob"),
            ("@", ""),
        ] {
            assert_eq!(short_name(user), want, "{user}");
        }
    }

    #[test]
    fn a_command_makes_a_request_that_the_rule_matches() {
        let takeover = |when: Value| {
            let document = json!({
                "apiVersion": "canaryctl.io/v1alpha1", "kind": "Takeover",
                "metadata": {"name": "a", "namespace": "shop"},
                "spec": {
                    "service": "cart", "ports": [80], "lane": "dev-alice", "rules": [{"when": when}],
                    "owner": {"user": "alice"},
                },
            });
            Takeover::deserialize(&document).expect("a takeover")
        };
        let by_header = takeover(json!({"header": {"name": "x-dev", "exact": "alice"}}));
        assert_eq!(curl(&by_header, "http://shop.test/"), "curl http://shop.test/ -H 'x-dev: alice'");
        let by_cookie = takeover(json!({"cookie": {"name": "dev", "exact": "1"}}));
        assert_eq!(curl(&by_cookie, "http://shop.test/"), "curl http://shop.test/ -H 'cookie: dev=1'");
        let by_query = takeover(json!({"query": {"name": "dev", "exact": "1"}}));
        assert_eq!(curl(&by_query, "http://shop.test/"), "curl http://shop.test/?dev=1");
    }

    #[test]
    fn who_exchanges_a_port_that_says_nothing_is_told_what_stays() {
        let note = |ports: Value, wanted: Ports<'_>| {
            let service = json!({
                "metadata": {"name": "db", "namespace": "shop"}, "spec": {"selector": {"app": "db"}, "ports": ports},
            });
            let taken = Taken::read(&service, wanted).expect("it can be taken");
            let takeover = taken.takeover(What::Everything, "alice", "laptop");
            guessed(&taken, &Takeover::deserialize(&takeover).expect("a takeover"))
        };
        let unsaid = json!({"name": "postgres", "port": 5432});
        let said = json!({"name": "tcp-postgres", "port": 5432});
        let told = note(json!([unsaid]), Ports::Several(&[])).expect("a note");
        assert!(told.starts_with("port 5432 does not say what it speaks"), "{told}");
        assert_eq!(note(json!([said]), Ports::Several(&[])), None);
        assert_eq!(note(json!([unsaid]), Ports::Whole(&[])), None, "all of it comes");
    }

    #[test]
    fn outside_the_mesh_a_command_fits_what_is_spoken() {
        let taken = |ports: Value| {
            let service = json!({
                "metadata": {"name": "db", "namespace": "shop"}, "spec": {"selector": {"app": "db"}, "ports": ports},
            });
            Taken::read(&service, Ports::Whole(&[])).expect("it can be taken")
        };
        let database = json!({"name": "tcp-postgres", "port": 5432});
        let metrics = json!({"name": "http-metrics", "port": 9187});
        let unsaid = json!({"port": 8080});
        for (ports, want) in [
            (json!([database]), None),
            (json!([database, unsaid]), None),
            (json!([database, metrics]), Some("canaryctl -n shop run -- curl http://db:9187/")),
            (json!([unsaid]), Some("canaryctl -n shop run -- curl http://db:8080/")),
        ] {
            assert_eq!(curl_inside(&taken(ports)).as_deref(), want);
        }
        let client = client_inside(&taken(json!([database])));
        assert_eq!(client, "canaryctl -n shop run -- YOUR-CLIENT db:5432");
    }
}
