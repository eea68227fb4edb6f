//! What the documents tell people to type, typed.

use crate::shop::Shop;

/// The commands of a document's `sh` blocks, in order.
fn commands(document: &str) -> Vec<&str> {
    let blocks = document.split("```sh\n").skip(1);
    blocks.filter_map(|block| block.split("```").next()).flat_map(str::lines).collect()
}

pub(crate) async fn cluster(shop: &Shop) {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cluster.md");
    let document = std::fs::read_to_string(document).expect("docs/cluster.md");
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
