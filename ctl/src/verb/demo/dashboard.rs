//! The demo's mesh on a page: its lanes on and off, and flows through it.
//!
//! One thing is done at a time: what the filters count of a flow tells where it found its tag, and lanes that
//! change under a flow would make a riddle of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use canary_localmesh::{Client, Mesh, Protocol, Role};
use canary_rules::lane::Lane;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};

use super::chain::Chain;
use super::picture::picture;
use super::shop::{Request, Shop};
use crate::dashboard::service_graph::id;
use crate::dashboard::traffic::{self, GATEWAY, History, LOOK_EVERY, Proxy, Traffic};
use crate::dashboard::{Action, Dashboard, FlowRequest, Picture, Source};
use crate::failure::{Code, Failure};

/// Most flows that are kept.
const FLOWS_MAX: usize = 50;
/// Most things that wait to be done.
const QUEUE_MAX: usize = 8;
/// Headers that are about the connection, which is the sender's own affair.
const CONNECTION_HEADERS: [&str; 6] =
    ["connection", "content-length", "host", "te", "transfer-encoding", "upgrade"];

/// Something to do, and who wants to hear of it.
type Asked = (Action, oneshot::Sender<Result<String, Failure>>);

/// The mesh as the page sees it.
struct LocalMesh {
    asked: mpsc::Sender<Asked>,
    pictures: watch::Receiver<Arc<Picture>>,
}

impl Source for LocalMesh {
    fn pictures(&self) -> watch::Receiver<Arc<Picture>> {
        self.pictures.clone()
    }

    fn act(&self, action: Action) -> BoxFuture<'_, Result<String, Failure>> {
        async move {
            let (answer, answered) = oneshot::channel();
            let busy =
                |_| Failure::new(Code::Conflict, "too much is asked for at once: try again in a second");
            self.asked.try_send((action, answer)).map_err(busy)?;
            let gone = |_| Failure::new(Code::Failed, "the demo has ended");
            answered.await.map_err(gone)?
        }
        .boxed()
    }
}

/// Shows the mesh until the page can no longer be served.
pub(super) async fn show(
    dashboard: Dashboard,
    shop: Shop,
    mesh: &Mesh,
    flows: Vec<Value>,
) -> Result<(), Failure> {
    let (asked, queue) = mpsc::channel(QUEUE_MAX);
    let mut stage = Stage::new(shop, mesh);
    flows.into_iter().for_each(|flow| stage.keep(flow));
    let (shown, pictures) = watch::channel(Arc::new(stage.picture().await));
    let source = Arc::new(LocalMesh { asked, pictures });
    tokio::select! {
        served = dashboard.serve(source, false) => served,
        () = stage.work(queue, &shown) => Ok(()),
    }
}

/// The mesh and what happened on it.
struct Stage<'m> {
    mesh: &'m Mesh,
    client: Client,
    /// All lanes there are, on or off.
    lanes: Vec<Lane>,
    /// The shop with the lanes that are on.
    shop: Shop,
    flows: VecDeque<Value>,
    count: u64,
    /// What proxies counted.
    history: History,
}

impl<'m> Stage<'m> {
    fn new(shop: Shop, mesh: &'m Mesh) -> Self {
        let client = mesh.client(Protocol::Http1);
        let (lanes, history) = (shop.lanes().to_vec(), History::default());
        Self { mesh, client, lanes, shop, flows: VecDeque::new(), count: 0, history }
    }

    async fn work(&mut self, mut queue: mpsc::Receiver<Asked>, shown: &watch::Sender<Arc<Picture>>) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            let asked = tokio::select! {
                asked = queue.recv() => asked,
                _ = looks.tick() => {
                    self.look().await;
                    shown.send_replace(Arc::new(self.picture().await));
                    continue;
                }
            };
            let Some((action, answer)) = asked else { return };
            let done = match action {
                Action::Flow(request) => self.send(&request).await,
                Action::Lane { name, on } => self.turn(&name, on).await,
                Action::Watch { .. } => {
                    Err(Failure::new(Code::Usage, "flows of the demo are sent, not watched")
                        .help("canaryctl trace http://localhost:8080 --watch --lane gray"))
                }
                Action::Release { .. } => Err(Failure::new(Code::Usage, "the demo has no releases")),
            };
            shown.send_replace(Arc::new(self.picture().await));
            // Who has gone does not want to hear of it.
            let _ = answer.send(done);
        }
    }

    async fn picture(&self) -> Picture {
        let mut picture = picture(&self.lanes, &self.shop, self.mesh).await;
        picture.flows = self.flows.iter().cloned().collect();
        picture.traffic = Traffic { edges: self.history.edges(), lacks: None };
        picture
    }

    /// Looks at what the proxies count. One that does not answer is a trouble that the picture tells of anyway.
    async fn look(&mut self) {
        let mut proxies = BTreeMap::new();
        for name in self.mesh.proxies() {
            let app = self.mesh.apps().iter().find(|app| app.name == name);
            let from = app.map_or_else(|| GATEWAY.to_owned(), |app| id(&app.service));
            let Ok(admin) = self.mesh.admin(name) else { continue };
            if let Ok(reply) = admin.get(traffic::PATH).await {
                proxies.insert(name.to_owned(), Proxy::read(&from, &reply.text()));
            }
        }
        self.history.add(Instant::now(), proxies);
    }

    async fn send(&mut self, request: &FlowRequest) -> Result<String, Failure> {
        let request = checked(request)?;
        let chain = Chain::send(&self.shop, self.mesh, &self.client, request).await?;
        let mut flow = serde_json::to_value(&chain).map_err(|error| Failure::new(Code::Failed, error))?;
        flow["wrong"] = chain.judge(&self.shop).err().map(|failure| failure.to_string()).into();
        self.keep(flow);
        Ok(format!("sent: it went to {}", chain.lane.as_deref().unwrap_or("the baseline")))
    }

    fn keep(&mut self, mut flow: Value) {
        self.count += 1;
        flow["id"] = self.count.into();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        flow["at_unix_s"] = json!(now.as_secs());
        self.flows.push_front(flow);
        self.flows.truncate(FLOWS_MAX);
    }

    /// Makes before it breaks: routes before rules on the way up, rules before routes on the way down.
    async fn turn(&mut self, name: &str, on: bool) -> Result<String, Failure> {
        let is_on = |lane: &Lane| self.shop.lanes().iter().any(|one| one.metadata.name == lane.metadata.name);
        if !self.lanes.iter().any(|lane| lane.metadata.name.as_str() == name) {
            return Err(Failure::new(Code::Usage, format!("the demo has no lane {name}")));
        }
        let stays = |lane: &&Lane| if lane.metadata.name.as_str() == name { on } else { is_on(lane) };
        let lanes: Vec<Lane> = self.lanes.iter().filter(stays).cloned().collect();
        let shop = self.shop.with_lanes(lanes)?;
        let failed = |error| Failure::from_error(Code::Failed, &error);
        let mut roles = [Role::Inbound, Role::Outbound, Role::EdgeGuard, Role::Edge];
        if on {
            self.mesh.set_lanes(&shop.routing()?).await.map_err(failed)?;
        } else {
            roles.reverse();
        }
        for role in roles {
            self.mesh.set_filter_config(role, shop.config(role)).await.map_err(failed)?;
        }
        if !on {
            self.mesh.set_lanes(&shop.routing()?).await.map_err(failed)?;
        }
        self.shop = shop;
        Ok(format!("lane {name} is {}", if on { "on" } else { "off" }))
    }
}

/// A request that can be sent.
fn checked(request: &FlowRequest) -> Result<Request, Failure> {
    let wrong = |what: &str, why: String| Failure::new(Code::Usage, format!("`{what}`: {why}"));
    let path = &request.path;
    if !path.starts_with('/') {
        return Err(wrong(path, "a path starts with `/`, as in /cart?x=1".into()));
    }
    http::uri::PathAndQuery::try_from(path.as_str()).map_err(|error| wrong(path, error.to_string()))?;
    for (name, value) in &request.headers {
        let parsed = http::HeaderName::try_from(name).map_err(|error| wrong(name, error.to_string()))?;
        if CONNECTION_HEADERS.contains(&parsed.as_str()) {
            return Err(wrong(name, "this header is about the connection, and not sent from here".into()));
        }
        http::HeaderValue::try_from(value).map_err(|error| wrong(value, error.to_string()))?;
    }
    Ok(Request { path: path.clone(), headers: request.headers.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, headers: &[(&str, &str)], refused: Option<&str>) {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let said = checked(&FlowRequest { path: path.into(), headers }).err().map(|error| error.to_string());
        match refused {
            None => assert_eq!(said, None),
            Some(part) => assert!(said.as_deref().is_some_and(|said| said.contains(part)), "{said:?}"),
        }
    }

    #[test]
    fn only_requests_that_can_be_sent_are_sent() {
        check("/cart?x=1", &[("cookie", "gray=1"), ("X-Dev", "alice")], None);
        check("cart", &[], Some("starts with `/`"));
        check("/a b", &[], Some("`/a b`"));
        check("/", &[("a b", "1")], Some("`a b`"));
        check("/", &[("x", "1\r\ny: 2")], Some("`1\r\ny: 2`"));
        check("/", &[("Host", "elsewhere")], Some("not sent from here"));
    }
}
