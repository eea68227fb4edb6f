//! Each strategy by its name, under load, while a Deployment of some pods is restarted beside it.

use canary_localmesh::Protocol;

use crate::flows::Caller;
use crate::judge::Rules;
use crate::load::Load;
use crate::manifests::NEXT_IMAGE;
use crate::releases::{LANE, forget, is_over, release, start};
use crate::shop::Shop;

/// How many flows each strategy is to stand.
const FLOWS_ENV: &str = "CANARY_RELEASE_FLOWS";
/// Flows of the strategy that is tried at full length, each a request to four services: 50,000.
const FLOWS: usize = 12_500;
/// Fewest flows of each of the others while nothing moves: 2,400 requests, beside those of some minutes in which pods do.
const FLOWS_OF_OTHERS: usize = 600;
/// Pods that are restarted beside it, and beside each of the others.
const PODS: u32 = 3;
const PODS_OF_OTHERS: u32 = 2;
/// Flows of one user, half of which go each way: that none goes one of them is not to be thought of.
const DRAWN: usize = 60;

/// A strategy, and where flows must go at each step that is held.
struct Strategy {
    args: &'static [&'static str],
    held: &'static [Rules],
}

const BY_REQUESTS: Strategy = Strategy {
    args: &["--strategy", "percentage", "--by", "requests", "--steps", "0.5,50"],
    held: &[Rules::Shared, Rules::Shared],
};
const OTHERS: [Strategy; 5] = [
    Strategy {
        args: &["--strategy", "full-link", "--steps", "20,60"],
        held: &[Rules::Shared, Rules::Shared],
    },
    Strategy {
        args: &["--strategy", "percentage", "--steps", "5,100"],
        held: &[Rules::Shared, Rules::Everybody],
    },
    Strategy { args: &["--strategy", "cookie"], held: &[Rules::On] },
    Strategy { args: &["--strategy", "blue-green"], held: &[Rules::On, Rules::Everybody] },
    Strategy { args: &["--strategy", "rolling"], held: &[] },
];

pub(crate) async fn at_full_length(shop: &Shop) {
    all(shop, &[BY_REQUESTS], FLOWS, PODS).await;
}

pub(crate) async fn each(shop: &Shop) {
    all(shop, &OTHERS, FLOWS_OF_OTHERS, PODS_OF_OTHERS).await;
}

async fn all(shop: &Shop, strategies: &[Strategy], flows: usize, pods: u32) {
    shop.installed();
    shop.kubectl(&["scale", "deploy", "stock-v1", &format!("--replicas={pods}")]).ok();
    shop.rolled_out();
    let wanted = std::env::var(FLOWS_ENV).ok().map(|flows| flows.parse().expect("a number of flows"));
    for strategy in strategies {
        stands(shop, strategy, wanted.unwrap_or(flows)).await;
    }
    shop.kubectl(&["scale", "deploy", "stock-v1", "--replicas=1"]).ok();
    shop.rolled_out();
}

async fn stands(shop: &Shop, strategy: &Strategy, flows: usize) {
    let load = Load::of_many(shop, LANE, Rules::Spreading, flows);
    let places = strategy.held.len() + 1;
    let restart = || shop.kubectl(&["rollout", "restart", "deploy", "stock-v1"]).ok();
    if strategy.held.is_empty() {
        restart();
    }
    start(shop, strategy.args).await.ok();
    for (at, rules) in strategy.held.iter().enumerate() {
        load.rules(*rules);
        if at == 0 {
            restart();
        }
        load.more(flows / places).await;
        shop.rolled_out();
        load.rules(Rules::Spreading);
        release(shop, &["promote"]).await.ok();
    }
    load.rules(Rules::Off);
    load.more(flows / places).await;
    // What is kept warm takes everybody back by the lane.
    load.rules(Rules::Spreading);
    release(shop, &["undo"]).await.ok();
    load.rules(Rules::Off);
    load.more(50).await;
    let tally = load.end().await;
    eprintln!("{}: {} flows", strategy.args.join(" "), tally.sent);
    tally.clean(flows / places * places);
    is_over(shop, "");
    forget(shop);
}

pub(crate) async fn by_requests(shop: &Shop) {
    shop.installed();
    let image = format!("stock={NEXT_IMAGE}");
    let given = ["start", "r", "--image", &image, "--steps", "50,100"];
    // A user with an id, by which shares of users would know them.
    let caller = Caller::new(shop, Protocol::Http1);
    let gone_to_lane = async || {
        let mut to_lane = 0;
        for _ in 0..DRAWN {
            let answer = caller.send(&[("cookie", "canary-uid=0123456789abcdef")]).await;
            assert_eq!(answer.failure, None);
            assert!(!answer.headers.contains_key("set-cookie"), "{:?}", answer.headers);
            to_lane += answer.served_by(&["stock"], "-r");
        }
        to_lane
    };
    release(shop, &[&given[..], &["--by", "requests"]].concat()).await.ok();
    let drawn = gone_to_lane().await;
    assert!(0 < drawn && drawn < DRAWN, "{drawn} of {DRAWN} went to the lane");
    let shown = release(shop, &["status", "r"]).await.ok();
    assert!(shown.stdout.contains("50 % of requests"), "{shown}");
    // What is still to change, and then no more.
    let left = release(shop, &["diff", "r"]).await;
    assert_eq!(left.code, 1, "{left}");
    assert!(left.stdout.contains("Lane r   50 → 100 % of requests, then deleted"), "{left}");
    assert!(left.stdout.contains(&format!("→ {NEXT_IMAGE}")), "{left}");
    release(shop, &["promote"]).await.ok();
    assert_eq!(gone_to_lane().await, DRAWN);
    release(shop, &["promote"]).await.ok();
    let none = release(shop, &["diff", "r"]).await.ok();
    assert_eq!(none.stdout, "");
    release(shop, &["undo"]).await.ok();
    is_over(shop, "");
    forget(shop);
    // What render prints is what start makes.
    let rendered = release(shop, &[&["render"], &given[1..]].concat()).await.ok();
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    std::io::Write::write_all(&mut file, rendered.stdout.as_bytes()).expect("written");
    let path = file.path().to_str().expect("a path");
    shop.cluster().kubectl(&["apply", "-f", path]).ok();
    let made = shop.cluster().get(&["release", "r"])["spec"].clone();
    assert_eq!(made["steps"], serde_json::json!([{"share": 50}, {"share": 100}]));
    release(shop, &["abort", "r"]).await.ok();
    forget(shop);
}
