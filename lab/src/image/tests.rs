use std::collections::BTreeMap;
use std::io::Read;

use super::*;

/// The files of an archive that are no layer.
fn texts_and_layers(archive: &Path) -> (BTreeMap<String, serde_json::Value>, Vec<String>) {
    let mut texts = BTreeMap::new();
    let mut layers = Vec::new();
    let mut tar = tar::Archive::new(File::open(archive).expect("an archive"));
    for entry in tar.entries().expect("entries") {
        let mut entry = entry.expect("an entry");
        let name = entry.path().expect("a path").display().to_string();
        if name.ends_with(".tar") {
            layers.push(name);
            continue;
        }
        let mut text = String::new();
        entry.read_to_string(&mut text).expect("text");
        texts.insert(name, serde_json::from_str(&text).expect("JSON"));
    }
    (texts, layers)
}

#[test]
fn images_that_share_their_layers_hold_them_once() {
    let dir = tempfile::tempdir().expect("dir");
    let (program, base) = (dir.path().join("program"), dir.path().join("base.tar"));
    std::fs::write(&program, "#!/bin/sh\n").expect("written");
    write_tar(&base, |tar| append_text(tar, "etc/motd", "hello")).expect("a base");
    let image = |name: &str| ImageSpec::new(name, "/bin/program").on(&base).file(&program, "/bin/program");
    let archive = dir.path().join("images.tar");
    write_archive(&[image("a.test/x:1"), image("a.test/y:1").user("7:7")], &archive).expect("an archive");

    let (texts, layers) = texts_and_layers(&archive);
    assert_eq!(layers.len(), 2, "{layers:?}");
    let images = texts["manifest.json"].as_array().expect("a list");
    assert_eq!(images[0]["Layers"], images[1]["Layers"]);
    assert_eq!(images[1]["RepoTags"], json!(["a.test/y:1"]));
    let config = &texts[images[1]["Config"].as_str().expect("a name")];
    assert_eq!(config["config"]["User"], "7:7");
    // The base comes first: layers are unpacked in this order.
    let base_digest = sha256(&base).expect("a digest");
    assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{base_digest}"));
    assert_eq!(images[0]["Layers"][0], format!("{base_digest}/layer.tar"));
}

#[test]
fn the_same_files_make_the_same_layer() {
    let dir = tempfile::tempdir().expect("dir");
    let digest_of = |name: &str| {
        let program = dir.path().join(name);
        std::fs::write(&program, "the same").expect("written");
        let layer = dir.path().join(format!("{name}.tar"));
        let files = [ImageFile { from: program, to: "/bin/program".into(), mode: 0o755 }];
        write_tar(&layer, |tar| append_files(tar, &files)).expect("a layer");
        sha256(&layer).expect("a digest")
    };
    assert_eq!(digest_of("a"), digest_of("b"));
}
