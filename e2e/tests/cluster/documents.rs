//! What the documents tell people to type, typed.

use crate::develop::Beside;
use crate::manifests::NEXT_IMAGE;
use crate::shop::Shop;

/// The commands of a document's `sh` blocks, in order.
fn commands(document: &str) -> Vec<&str> {
    let blocks = document.split("```sh\n").skip(1);
    blocks.filter_map(|block| block.split("```").next()).flat_map(str::lines).collect()
}

/// What a section shows first, line by line.
pub(crate) fn shown_first(name: &str, section: &str) -> Vec<String> {
    let document = read(name);
    let (_, rest) = document.split_once(&format!("\n## {section}\n")).expect("a section");
    let block = rest.split("```").nth(1).and_then(|block| block.split_once('\n')).expect("a block");
    block.1.lines().map(str::to_owned).collect()
}

fn read(name: &str) -> String {
    let file = file(&format!("docs/{name}"));
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"))
}

pub(crate) fn file(name: &str) -> String {
    format!("{}/../{name}", env!("CARGO_MANIFEST_DIR"))
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
        match (words[0], words[1]) {
            ("canaryctl", "-n") => drop(shop.cluster().canaryctl(&words[1..]).ok()),
            ("canaryctl", "run") => {
                let ran = shop.cluster().canaryctl(&words[1..]).ok();
                assert!(ran.stdout.contains("cart."), "{ran}");
            }
            ("canaryctl", _) => {
                let goes_on = Beside::new(shop, &[&words[1..], &["-o", "json"]].concat());
                beside.push((command.to_owned(), goes_on));
            }
            (program, _) => {
                let ran = shop.cluster().run(program, &words[1..], None).ok();
                assert!(ran.stdout.contains("cart."), "{ran}");
            }
        }
    }
    // One that is dropped takes the Jobs of all with it.
    for (command, one) in &mut beside {
        assert_eq!(one.interrupt().code(), Some(0), "{command}");
    }
}

/// What the READMEs show of a cluster is what a run says; with `CANARY_UPDATE=1` it is written into them.
pub(crate) async fn readme(shop: &Shop) {
    shop.cluster().canaryctl(&["uninstall", "--purge", "--yes"]).ok();
    shop.gray("gray", "v2", &["web", "stock"]);
    let readmes = ["README.md", "README.zh-CN.md"].map(file);
    let [english, _] = &readmes;
    let text = std::fs::read_to_string(english).unwrap_or_else(|error| panic!("{english}: {error}"));
    let shown = transcript(&text);
    let said: Vec<String> = shown
        .lines()
        .filter_map(|line| line.strip_prefix("$ canaryctl "))
        .map(|args| {
            let ours = args.replace("shop.test", &shop.host());
            let output = shop.cluster().canaryctl_as_shown(&ours.split(' ').collect::<Vec<_>>());
            if args.starts_with("install") {
                shop.drained();
            }
            format!("$ canaryctl {args}\n{}", output.replace(shop.namespace(), "shop"))
        })
        .collect();
    shop.cluster().canaryctl(&["uninstall", "--purge", "--yes"]).ok();
    shop.remove("v2");
    let said = said.join("\n");
    if std::env::var_os("CANARY_UPDATE").is_some() {
        for readme in readmes {
            let text = std::fs::read_to_string(&readme).unwrap_or_else(|error| panic!("{readme}: {error}"));
            std::fs::write(&readme, text.replace(shown, &said))
                .unwrap_or_else(|error| panic!("{readme}: {error}"));
        }
    } else {
        assert_eq!(lasting(shown), lasting(&said));
    }
}

/// What the README shows of a cluster.
fn transcript(readme: &str) -> &str {
    let blocks = readme.split("```text\n").skip(1).filter_map(|block| block.split("```").next());
    blocks.into_iter().find(|block| block.starts_with("$ canaryctl check --pre")).expect("a transcript")
}

/// A transcript without what is another in each cluster and run: versions, times, pods' names, how many proxies there are,
/// what nobody guesses.
pub(crate) fn lasting(transcript: &str) -> Vec<String> {
    transcript.lines().map(|line| lasting_of(&line.split_whitespace().collect::<Vec<_>>())).collect()
}

fn lasting_of(words: &[&str]) -> String {
    let mut left = words.to_vec();
    for at in 0..words.len() {
        let next = words.get(at + 1).copied();
        match (words[at], next, words.get(at + 2)) {
            (of, Some("of"), Some(all)) if of == *all => (left[at], left[at + 2]) = ("all", "all"),
            (time, Some("s" | "ms"), _) if time.parse::<f64>().is_ok() => left[at] = "some",
            ("Kubernetes" | "Istio", Some(_), _) => left[at + 1] = "some version",
            ("since" | "for", Some(time), _) if time.starts_with(|char: char| char.is_ascii_digit()) => {
                left[at + 1] = "some time";
            }
            (link, ..) if link.contains("?dev-link=") => left[at] = "a link",
            // What an earlier word said of this one stays.
            (pod, ..) => left[at] = workload(pod).unwrap_or(left[at]),
        }
    }
    left.join(" ")
}

/// Whose pod this names, if it is a Deployment's: after it come its ReplicaSet's hash and five drawn letters.
fn workload(word: &str) -> Option<&str> {
    let (rest, drawn) = word.rsplit_once('-')?;
    let (workload, hash) = rest.rsplit_once('-')?;
    let is_drawn = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
    (drawn.len() == 5 && (8..=10).contains(&hash.len()) && is_drawn(drawn) && is_drawn(hash))
        .then_some(workload)
}
