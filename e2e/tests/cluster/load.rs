//! Flows that keep coming while something else happens: several clients, kept and new connections, both HTTPs.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use canary_localmesh::Protocol;
use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::flows::Caller;
use crate::judge::{Lane, Rules, Tally, User};
use crate::shop::Shop;

/// Longest time that a load goes on, whatever happens beside it.
const GOES_ON_MAX: Duration = Duration::from_secs(240);
/// Fewest flows a second that a load of very many may come to.
const FLOWS_PER_S_MIN: usize = 20;

/// How long a client thinks before its next flow: what happens beside a load needs the processors, too.
const THINKS: Duration = Duration::from_millis(50);
/// From how many flows on clients do not think, for it is the flows that take the time.
const VERY_MANY: usize = 5_000;

/// A load that runs until it is ended or dropped.
pub(crate) struct Load {
    shared: Arc<Mutex<Shared>>,
    clients: JoinSet<()>,
    goes_on: Duration,
}

/// How long clients go on at the most, and how long they think before each flow.
#[derive(Clone, Copy)]
struct Pace {
    goes_on: Duration,
    thinks: Duration,
}

impl Pace {
    const USUAL: Self = Self { goes_on: GOES_ON_MAX, thinks: THINKS };
}

struct Shared {
    lane: Lane,
    rules: Rules,
    tally: Tally,
    ends: bool,
    /// Where the proxies are that are asked once a flow goes wrong.
    cluster: Cluster,
    namespace: String,
}

impl Load {
    /// Starts it; these rules hold for now.
    pub(crate) fn start(shop: &Shop, rules: Rules) -> Self {
        Self::of_lane(shop, Lane::GRAY, rules)
    }

    /// The same for another lane than gray.
    pub(crate) fn of_lane(shop: &Shop, lane: Lane, rules: Rules) -> Self {
        Self::of(shop, &shop.host(), lane, rules, Pace::USUAL)
    }

    /// The same by another of the gateway's hosts.
    pub(crate) fn of_host(shop: &Shop, host: &str, lane: Lane, rules: Rules) -> Self {
        Self::of(shop, host, lane, rules, Pace::USUAL)
    }

    /// The same, for as long as this many flows may take beside all else.
    pub(crate) fn of_many(shop: &Shop, lane: Lane, rules: Rules, flows: usize) -> Self {
        let many = Duration::from_secs(u64::try_from(flows / FLOWS_PER_S_MIN).expect("not that long"));
        let thinks = if flows < VERY_MANY { THINKS } else { Duration::ZERO };
        Self::of(shop, &shop.host(), lane, rules, Pace { goes_on: GOES_ON_MAX + many, thinks })
    }

    fn of(shop: &Shop, host: &str, lane: Lane, rules: Rules, pace: Pace) -> Self {
        let shared = Arc::new(Mutex::new(Shared {
            lane,
            rules,
            tally: Tally::default(),
            ends: false,
            cluster: shop.cluster().clone(),
            namespace: shop.namespace().to_owned(),
        }));
        let clients = [
            (Protocol::Http1, false),
            (Protocol::Http1, false),
            (Protocol::Http1, true),
            (Protocol::H2c, false),
        ];
        let clients = clients.into_iter().enumerate().map(|(at, (protocol, new_connections))| {
            let caller = Caller::of_host(shop, host, protocol);
            client(shared.clone(), caller, new_connections, at, pace)
        });
        Self { clients: clients.collect(), shared, goes_on: pace.goes_on }
    }

    /// From now on these rules hold; flows under way are judged by those before.
    pub(crate) fn rules(&self, rules: Rules) {
        self.shared.lock().expect("no client panics").rules = rules;
    }

    /// Lets it go on for so many flows more.
    pub(crate) async fn more(&self, flows: usize) {
        let sent = || self.shared.lock().expect("no client panics").tally.sent;
        let wanted = sent() + flows;
        let deadline = Instant::now() + self.goes_on;
        while sent() < wanted {
            assert!(Instant::now() < deadline, "flows no longer come");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Has a command done beside it, and lets so many flows go on under the rules that hold once it is done.
    pub(crate) async fn across(&self, shop: &Shop, command: &[&str], after: Rules, flows: usize) {
        self.rules(Rules::Moving);
        shop.cluster().canaryctl_beside(command).await.ok();
        self.rules(after);
        self.more(flows).await;
    }

    /// Has the lane come and go twice beside it.
    pub(crate) async fn beside_a_lane_that_comes_and_goes(&self, shop: &Shop) {
        for _ in 0..2 {
            self.across(shop, &["enable", "--cookie", "gray=1"], Rules::On, 200).await;
            self.across(shop, &["disable"], Rules::Off, 50).await;
        }
    }

    /// Ends it once every flow is answered.
    pub(crate) async fn end(mut self) -> Tally {
        self.shared.lock().expect("no client panics").ends = true;
        while let Some(done) = self.clients.join_next().await {
            done.expect("no client panics");
        }
        std::mem::take(&mut self.shared.lock().expect("no client panics").tally)
    }
}

async fn client(shared: Arc<Mutex<Shared>>, caller: Caller, new_connections: bool, at: usize, pace: Pace) {
    let started = Instant::now();
    for number in at.. {
        tokio::time::sleep(pace.thinks).await;
        let (lane, rules) = {
            let shared = shared.lock().expect("no client panics");
            if shared.ends || started.elapsed() > pace.goes_on {
                return;
            }
            (shared.lane, shared.rules)
        };
        let (user, headers): (_, &[(&str, &str)]) = match number % 3 {
            0 => (User::Gray, &[("cookie", "a=1; gray=1")]),
            1 => (User::Plain, &[]),
            _ => (User::Forger, &[("x-canary-lane", "gray"), ("baggage", "canary-lane=gray")]),
        };
        let answer = match new_connections {
            true => caller.anew().send_to(&user.path(), headers).await,
            false => caller.send_to(&user.path(), headers).await,
        };
        let mut shared = shared.lock().expect("no client panics");
        if shared.tally.judge(lane, user, rules, &answer) {
            let (cluster, namespace) = (shared.cluster.clone(), shared.namespace.clone());
            // Long before the test is over they have forgotten.
            std::thread::spawn(move || eprintln!("{}", cluster.proxies_said(&namespace)));
        }
    }
}
