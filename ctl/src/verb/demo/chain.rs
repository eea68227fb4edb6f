//! One request through the whole shop: sent, looked at from every side, judged.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use canary_localmesh::app::Tree;
use canary_localmesh::{Client, GATEWAY, Mesh, Reply};
use canary_rules::edge::Reason;
use canary_rules::request::Headers;
use serde::Serialize;

use super::shop::{Request, Shop};
use crate::failure::{Code, Failure};

/// The page that the demo asks for by itself.
pub(super) const PATH: &str = "/cart";
/// The host that it is asked of.
pub(super) const HOST: &str = "shop.test";
/// How long the filters may take to hand on what they counted, in milliseconds: they do so every second.
const COUNTERS_MS_MAX: u64 = 5_000;
/// What the outbound filters' counters of tag origins are called in Envoy's statistics.
const ORIGIN_PREFIX: &str = "wasmcustom.canaryctl.outbound.";

/// A request and all that came of it.
#[derive(Debug, Serialize)]
pub(super) struct Chain {
    /// As one would type it.
    pub(super) request: String,
    /// The lane that the gateway put it in; null for the baseline.
    pub(super) lane: Option<String>,
    /// Why, by the same rules that decided it.
    pub(super) reason: String,
    /// The lane that those rules name.
    pub(super) expected: Option<String>,
    /// Whether the request came with a tag of its own making.
    pub(super) forged: bool,
    /// Whether a percentage put it there: the user whom the gateway drew happens to be covered.
    #[serde(skip)]
    pub(super) by_chance: bool,
    /// Cookies that the gateway set: name and life in seconds.
    pub(super) cookies: Vec<(String, Option<u64>)>,
    /// Status of the answer.
    pub(super) status: u16,
    /// One per service that answered, first to last.
    pub(super) hops: Vec<Hop>,
}

/// One service on the way.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Hop {
    pub(super) service: String,
    pub(super) version: String,
    pub(super) instance: String,
    /// The tag as the application saw it; null for the baseline.
    pub(super) tag: Option<String>,
    /// Whether the lane has this instance as its own; else a parent's or the baseline's serves.
    pub(super) member: bool,
    /// Where the proxy before it found the tag.
    pub(super) origin: String,
    pub(super) ms: f64,
}

impl Chain {
    pub(super) async fn send(
        shop: &Shop,
        mesh: &Mesh,
        client: &Client,
        request: Request,
    ) -> Result<Self, Failure> {
        let before = origins(mesh).await?;
        let (status, tree, reply) = get(client, &request).await?;
        let calls = tree.walk().filter(|tree| !tree.instance.is_empty()).count().saturating_sub(1);
        let counted = new_origins(mesh, &before, calls).await?;

        let told = Told::by_the_rules(shop, &request, &reply);
        let mut hops: Vec<Hop> = Vec::new();
        for tree in tree.walk().filter(|tree| !tree.instance.is_empty()) {
            let caller = hops.last().map(|hop| hop.instance.as_str());
            let origin = match caller {
                None => "gateway".into(),
                Some(caller) => in_words(counted.get(caller).map_or("none", String::as_str), tree),
            };
            let service = tree.service.split('.').next().unwrap_or_default();
            let tag = tree.received(shop.tag_header());
            hops.push(Hop {
                member: tag.is_some_and(|lane| shop.has_member(service, lane)),
                service: service.into(),
                version: tree.version.clone(),
                instance: tree.instance.clone(),
                tag: tag.map(Into::into),
                origin,
                ms: tree.ms,
            });
        }
        Ok(Self {
            request: typed(&request),
            lane: hops.first().and_then(|hop| hop.tag.clone()),
            reason: told.reason,
            expected: told.lane,
            forged: told.forged,
            by_chance: told.by_chance,
            cookies: cookies(shop, &reply),
            status,
            hops,
        })
    }

    /// Whether the request went exactly where the rules say.
    pub(super) fn judge(&self, shop: &Shop) -> Result<(), Failure> {
        let wanted = shop.path(self.expected.as_deref());
        let went: Vec<&str> = self.hops.iter().map(|hop| hop.instance.as_str()).collect();
        if self.lane != self.expected {
            let name = |lane: &Option<String>| lane.clone().unwrap_or_else(|| "baseline".into());
            return Err(wrong(format!(
                "`{}` came out in {}, but the rules say {}",
                self.request,
                name(&self.lane),
                name(&self.expected)
            )));
        }
        if went != wanted {
            let message =
                format!("`{}` took {}, wanted {}", self.request, went.join(" → "), wanted.join(" → "));
            return Err(wrong(message));
        }
        Ok(())
    }
}

/// What the rules say of a request, by the same code that runs in the gateway.
struct Told {
    lane: Option<String>,
    reason: String,
    forged: bool,
    by_chance: bool,
}

impl Told {
    fn by_the_rules(shop: &Shop, request: &Request, reply: &Reply) -> Self {
        let mut lines: Vec<(&[u8], &[u8])> = vec![
            (b":authority", HOST.as_bytes()),
            (b":path", request.path.as_bytes()),
            (b":method", b"GET"),
            (b":scheme", b"http"),
        ];
        lines.extend(request.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        // The id that the gateway drew for the user decides percentages: told with that one.
        let drawn = cookie_pair(shop.cookie_names()[1], reply);
        lines.extend(drawn.as_ref().map(|pair| (&b"cookie"[..], pair.as_bytes())));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let explanation = shop.edge().explain(&Headers::new(&lines), Some(b"127.0.0.1"), now, || [0; 16]);
        Self {
            lane: explanation.decision.lane.map(ToString::to_string),
            reason: explanation.reason,
            forged: explanation.decision.forged,
            by_chance: matches!(explanation.decision.reason, Reason::Share { .. }),
        }
    }
}

/// One request to the gateway: status, the answers' tree and the whole reply.
pub(super) async fn get(client: &Client, request: &Request) -> Result<(u16, Tree, Reply), Failure> {
    let headers: Vec<(&str, &str)> =
        request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let reply = client.get(HOST, &request.path, &headers).await;
    let reply = reply.map_err(|error| Failure::from_error(Code::Failed, &error))?;
    let tree = serde_json::from_slice(&reply.body).unwrap_or_else(|_| Tree {
        status: reply.status.as_u16(),
        error: Some(reply.text()),
        ..Tree::default()
    });
    Ok((reply.status.as_u16(), tree, reply))
}

/// A failure of the demo's own claims.
pub(super) fn wrong(message: String) -> Failure {
    Failure::new(Code::Failed, message).help("run it again with --keep and look at the request by curl")
}

/// Per sidecar and origin, how many requests it passed out.
type Origins = BTreeMap<String, BTreeMap<String, u64>>;

async fn origins(mesh: &Mesh) -> Result<Origins, Failure> {
    let mut origins = Origins::new();
    for proxy in mesh.proxies().filter(|proxy| *proxy != GATEWAY) {
        let stats = mesh.stats(proxy, ORIGIN_PREFIX).await;
        let stats = stats.map_err(|error| Failure::from_error(Code::Failed, &error))?;
        let named = stats
            .into_iter()
            .filter_map(|(name, count)| Some((name.strip_prefix(ORIGIN_PREFIX)?.to_string(), count)));
        origins.insert(proxy.to_string(), named.collect());
    }
    Ok(origins)
}

/// Per sidecar the origin that its filter counted since `before`, once all calls are counted.
async fn new_origins(
    mesh: &Mesh,
    before: &Origins,
    calls: usize,
) -> Result<BTreeMap<String, String>, Failure> {
    let deadline = Instant::now() + Duration::from_millis(COUNTERS_MS_MAX);
    loop {
        let mut counted = BTreeMap::new();
        for (proxy, origins) in origins(mesh).await? {
            let known = before.get(&proxy);
            let grown = |origin: &String, count: u64| {
                count > known.and_then(|known| known.get(origin)).copied().unwrap_or(0)
            };
            if let Some((origin, _)) = origins.iter().find(|(origin, count)| grown(origin, **count)) {
                counted.insert(proxy, origin.clone());
            }
        }
        if counted.len() >= calls {
            return Ok(counted);
        }
        if Instant::now() > deadline {
            let message =
                format!("of {calls} calls the filters counted {} within {COUNTERS_MS_MAX} ms", counted.len());
            return Err(Failure::new(Code::Failed, message));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// An origin as people call it; of correlation ids the one that the call carried.
fn in_words(origin: &str, tree: &Tree) -> String {
    const IDS: [&str; 5] = ["traceparent", "b3", "x-b3-traceid", "sw8", "uber-trace-id"];
    match origin {
        "request_id" => "x-request-id".into(),
        "correlation" => {
            IDS.into_iter().find(|id| tree.received(id).is_some()).unwrap_or("correlation id").into()
        }
        "colour" => "the pod's colour".into(),
        other => other.into(),
    }
}

/// The cookie of this name that a reply sets, as the next request would send it.
fn cookie_pair(name: &str, reply: &Reply) -> Option<String> {
    let lines = reply.headers.get_all("set-cookie").iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.filter_map(|line| line.split(';').next());
    pairs.find(|pair| pair.split('=').next() == Some(name)).map(str::to_string)
}

/// The cookies of ours in a reply, with their life.
fn cookies(shop: &Shop, reply: &Reply) -> Vec<(String, Option<u64>)> {
    let ours = shop.cookie_names();
    let lines = reply.headers.get_all("set-cookie").iter().filter_map(|line| line.to_str().ok());
    lines
        .filter_map(|line| {
            let name = line.split('=').next().filter(|name| ours.contains(name))?;
            let max_age = line.split(';').find_map(|part| part.trim().strip_prefix("Max-Age=")?.parse().ok());
            Some((name.to_string(), max_age))
        })
        .collect()
}

fn typed(request: &Request) -> String {
    let headers = request.headers.iter().map(|(name, value)| format!("  -H '{name}: {value}'"));
    format!("curl {}{}", request.path, headers.collect::<String>())
}
