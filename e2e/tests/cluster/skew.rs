//! A filter of another build beside the controller, and the way from one to the other.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use canary_localmesh::{Client, Protocol};
use sha2::{Digest as _, Sha256};

use crate::judge::{Rules, lane_pods_saw_only};
use crate::load::Load;
use crate::shop::{GRAY_SERVICES, INSTALL, Shop};

/// A custom section, which changes what a module's digest is and nothing that it does. Source: WebAssembly's binary
/// format, custom sections.
const SECTION: [u8; 7] = *b"\x00\x05\x04skew";

/// A build of the filter, and its address for `install`.
struct Module {
    path: String,
    bytes: Vec<u8>,
}

/// The filter that is in the cluster, as another build of it would be.
async fn other_builds(shop: &Shop) -> [Module; 2] {
    let builds = shop.cluster().canaryctl(&["filter", "inspect", "-o", "json"]).ok().json();
    let server = ["-n", "canaryctl-system", "svc", "canaryctl-filter"];
    let spec = &shop.cluster().get(&server)["spec"];
    let address = format!("{}:{}", spec["clusterIP"].as_str().expect("an address"), spec["ports"][0]["port"]);
    let client = Client::new(address.parse().expect("an address"), Protocol::Http1);
    let mut modules = Vec::new();
    for build in [0, 1] {
        let sha256 = builds[build]["module"]["sha256"].as_str().expect("a digest");
        let path = format!("/{sha256}.wasm");
        let reply = client.get::<&str, &str>("canaryctl-filter", &path, &[]).await.expect("a module");
        assert_eq!(reply.status.as_u16(), 200, "{path}");
        modules.push(Module { path, bytes: [reply.body.as_ref(), &SECTION].concat() });
    }
    modules.try_into().ok().expect("two builds")
}

/// Serves modules for as long as the process lives.
fn serve(listener: TcpListener, modules: [Module; 2]) {
    let modules = Arc::new(modules);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let modules = modules.clone();
            // Each on its own: agents open connections that they do not use. Who hangs up asks again.
            std::thread::spawn(move || answer(stream, modules.as_ref()));
        }
    });
}

fn answer(mut stream: TcpStream, modules: &[Module]) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    let asked = |module: &&Module| head.split(' ').nth(1) == Some(module.path.as_str());
    match modules.iter().find(asked) {
        Some(module) => {
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                module.bytes.len()
            )?;
            stream.write_all(&module.bytes)
        }
        None => stream.write_all(b"HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"),
    }
}

pub(crate) async fn upgraded(shop: &Shop) {
    shop.installed();
    let modules = other_builds(shop).await;
    let listener = TcpListener::bind((shop.cluster().node_address(), 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    let urls = modules.each_ref().map(|module| {
        let sha256: String = Sha256::digest(&module.bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("http://{address}{}#sha256={sha256}", module.path)
    });
    serve(listener, modules);
    shop.gray("gray", "gray", &GRAY_SERVICES);
    shop.cluster().canaryctl(&["enable", "--cookie", "gray=1"]).ok();
    let load = Load::start(shop, Rules::On);
    load.more(50).await;
    let other = [&INSTALL[..], &["--filter", &urls[0], "--sidecar-filter", &urls[1]]].concat();
    shop.cluster().canaryctl_beside(&other).await.ok();
    load.more(200).await;
    let check = shop.cluster().canaryctl_beside(&["check"]).await;
    assert!(check.stdout.contains("CC226"), "{check}");
    load.across(shop, &["disable"], Rules::Off, 50).await;
    load.across(shop, &["enable", "--cookie", "gray=1"], Rules::On, 200).await;
    // A pod that starts now has the other build from its start.
    shop.kubectl(&["rollout", "restart", "deploy", "cart-v1"]).ok();
    shop.rolled_out();
    load.more(100).await;
    shop.cluster().canaryctl_beside(&INSTALL).await.ok();
    load.more(200).await;
    let check = shop.cluster().canaryctl_beside(&["check"]).await;
    assert!(!check.stdout.contains("CC226"), "{check}");
    load.end().await.clean(800);
    lane_pods_saw_only(shop, "gray", "gray", 200);
    shop.cluster().canaryctl(&["disable"]).ok();
    shop.remove("gray");
}
