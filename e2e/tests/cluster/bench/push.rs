//! What istiod sends more to each proxy, as proxies have it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Section;
use crate::shop::{GRAY_SERVICES, Shop};

/// What a proxy is sent, by the names of its dump.
const KINDS: [(&str, &str); 4] = [
    ("ListenersConfigDump", "listeners"),
    ("RoutesConfigDump", "routes"),
    ("ClustersConfigDump", "clusters"),
    ("EcdsConfigDump", "plugins"),
];

/// Bytes by kind.
type Sizes = BTreeMap<&'static str, usize>;

pub(super) fn measure(shop: &Shop) -> Section {
    let proxies = [(shop.namespace(), "deploy/cart-v1"), ("istio-system", "deploy/istio-ingressgateway")];
    let look = || proxies.map(|(namespace, proxy)| sizes(shop, namespace, proxy));
    let none = look();
    super::install(shop);
    let installed = look();
    shop.gray("gray", "gray", &GRAY_SERVICES);
    let pods = look();
    shop.cluster().canaryctl(&["enable", "--cookie", "gray=1"]).ok();
    let lane = look();
    shop.cluster().canaryctl(&["disable"]).ok();
    shop.remove("gray");
    let states = [
        ("no canaryctl", none),
        ("canaryctl, no lane", installed),
        ("the lane's pods are there", pods),
        ("the lane is on", lane),
    ];
    Section { title: "What istiod sends to each proxy", text: table(&states) }
}

fn sizes(shop: &Shop, namespace: &str, proxy: &str) -> Sizes {
    let asked = ["-n", namespace, "exec", proxy, "-c", "istio-proxy", "--"];
    let dump = ["pilot-agent", "request", "GET", "config_dump"];
    let dump = shop.cluster().kubectl(&[asked.as_slice(), &dump].concat()).ok().json();
    let mut sizes = Sizes::new();
    for part in dump["configs"].as_array().expect("a dump") {
        let is_it =
            |(name, _): &&(&str, &str)| part["@type"].as_str().is_some_and(|kind| kind.ends_with(name));
        if let Some((_, kind)) = KINDS.iter().find(is_it) {
            *sizes.entry(kind).or_default() += part.to_string().len();
        }
    }
    sizes
}

fn table(states: &[(&str, [Sizes; 2])]) -> String {
    let mut text = String::from(
        "Bytes of a proxy's configuration as JSON (`config_dump`). The lane has three members; the mesh has four services \
         of its own\nbeside Istio's and Kubernetes'.\n\n| proxy | state | listeners | routes | clusters | plugins | all | more |\n\
         |---|---|---:|---:|---:|---:|---:|---:|\n",
    );
    for (at, proxy) in ["sidecar", "gateway"].iter().enumerate() {
        let all = |sizes: &Sizes| sizes.values().sum::<usize>();
        let first = states.first().map_or(0, |(_, sizes)| all(&sizes[at]));
        for (state, sizes) in states {
            let _ = write!(text, "| {proxy} | {state} |");
            for (_, kind) in KINDS {
                let _ = write!(text, " {} |", sizes[at].get(kind).copied().unwrap_or_default());
            }
            let all = all(&sizes[at]);
            let _ = writeln!(text, " {all} | {:+} |", all.cast_signed() - first.cast_signed());
        }
    }
    text
}
