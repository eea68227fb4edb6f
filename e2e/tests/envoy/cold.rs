//! Proxies that start with a configuration that cannot be read: they serve, and do nothing else.

use canary_localmesh::{GATEWAY, Role};

use crate::pair::{BASELINE, GRAY, lanes, spec};
use crate::stage::{Stage, until};

pub(crate) async fn bad_configuration() {
    let lanes = lanes();
    let mut spec = spec(&lanes);
    // As few proxies as show it.
    spec.apps.retain(|app| !["stock-blue", "web-red"].contains(&app.name.as_str()));
    let bad =
        [(Role::Edge, "{"), (Role::Inbound, r#"{"version":99,"role":"inbound"}"#), (Role::Outbound, "")];
    let wasm = spec.wasm.as_mut().expect("a filter");
    wasm.configs = bad.map(|(role, config)| (role, config.to_owned())).into();
    let stage = Stage::start(spec, lanes).await;
    for (cookie, forged) in [("none=1", "x"), ("gray=1", "x")] {
        let answer = stage.get(&stage.client(), "/", &[("cookie", cookie), ("x-other", forged)]).await;
        assert_eq!((answer.reply.status.as_u16(), answer.path()), (200, BASELINE.to_vec()));
    }
    for (proxy, roles) in [(GATEWAY, 1), ("web-v1", 2)] {
        let counters = stage.flushed(proxy).await;
        // Two workers and the main thread, each in each role; and once where the module is tried at first.
        let rejected = counters.get("config.rejected");
        assert!((3 * roles..=4 * roles).contains(&rejected), "{proxy}: {rejected}");
        assert_eq!(counters.get("config.ok"), 0, "{proxy}");
    }
    for role in [Role::Inbound, Role::Outbound, Role::Edge] {
        stage.mesh.set_filter_config(role, &stage.lanes.config(role)).await.expect("accepted");
    }
    until("the good configuration is in force", async || {
        for _ in 0..8 {
            if stage.get(&stage.client(), "/", &[("cookie", "gray=1")]).await.path() != GRAY {
                return None;
            }
        }
        Some(())
    })
    .await;
}
