//! What the documents tell people to type, typed.

use crate::develop::Beside;
use crate::manifests::NEXT_IMAGE;
use crate::shop::Shop;

/// The commands of a document's `sh` blocks, in order.
fn commands(document: &str) -> Vec<&str> {
    let blocks = document.split("```sh\n").skip(1);
    blocks.filter_map(|block| block.split("```").next()).flat_map(str::lines).collect()
}

fn read(name: &str) -> String {
    let file = format!("{}/../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"))
}

pub(crate) async fn releases(shop: &Shop) {
    shop.installed();
    let document = read("releases.md");
    let commands = commands(&document);
    assert!(commands.len() > 5, "{commands:?}");
    for command in commands {
        let ours = command
            .replace("-n shop", &format!("-n {}", shop.namespace()))
            .replace("registry.example/cart:2.4", NEXT_IMAGE)
            .replace("registry.example/stock:5.1", NEXT_IMAGE);
        let words: Vec<&str> = ours.split(' ').skip(1).collect();
        shop.cluster().canaryctl_beside(&words).await.ok();
    }
    shop.cluster().kubectl(&["delete", "releases", "--all", "--timeout=60s"]).ok();
}

pub(crate) async fn takeovers(shop: &Shop) {
    shop.installed();
    let document = read("mesh-to-laptop.md");
    let commands = commands(&document);
    assert!(commands.len() > 1, "{commands:?}");
    let yaml =
        document.split("```yaml\n").nth(1).and_then(|block| block.split("```").next()).expect("a document");
    let yaml = yaml.replace("namespace: shop", &format!("namespace: {}", shop.namespace()));
    let as_alice = ["create", "--as", "alice", "--as-group", "system:masters", "-f", "-"];
    shop.cluster().run("kubectl", &as_alice, Some(&yaml)).ok();
    for command in commands {
        let ours = command.replace("-n shop", &format!("-n {}", shop.namespace()));
        let as_alice = ours.split(' ').skip(1).chain(["--as", "alice", "--as-group", "system:masters"]);
        shop.cluster().canaryctl(&as_alice.collect::<Vec<_>>()).ok();
    }
    let left = shop.kubectl(&["get", "takeovers", "-o", "name"]).ok().stdout;
    assert_eq!(left, "", "what was made is ended");
}

pub(crate) async fn cluster(shop: &Shop) {
    let document = read("cluster.md");
    shop.gray("gray", "gray", &["stock"]);
    let commands = commands(&document);
    assert!(commands.len() > 6, "{commands:?}");
    for command in commands {
        let asks = ["canaryctl install", "canaryctl uninstall"].contains(&command);
        let line = if asks { format!("{command} --yes") } else { command.to_owned() };
        let mut words = line.split(' ');
        let program = words.next().expect("a program");
        shop.cluster().run(program, &words.collect::<Vec<_>>(), None).ok();
    }
    shop.remove("gray");
}

/// Verbs that go on until Ctrl-C do so beside what follows them.
pub(crate) async fn develop(shop: &Shop) {
    shop.installed();
    let document = read("develop.md");
    let commands = commands(&document);
    assert!(commands.len() > 4, "{commands:?}");
    let mut beside = Vec::new();
    for command in commands {
        let ours = command
            .replace("-n shop", &format!("-n {}", shop.namespace()))
            .replace(".shop.", &format!(".{}.", shop.namespace()));
        let words: Vec<&str> = ours.split(' ').collect();
        match words[0] {
            "canaryctl" => beside.push(Beside::new(shop, &[&words[1..], &["-o", "json"]].concat())),
            program => {
                let ran = shop.cluster().run(program, &words[1..], None).ok();
                assert!(ran.stdout.contains("cart."), "{ran}");
            }
        }
    }
    for mut one in beside {
        assert_eq!(one.interrupt().code(), Some(0));
    }
}
