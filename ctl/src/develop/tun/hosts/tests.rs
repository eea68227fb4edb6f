use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn entry(address: &str, names: &[&str]) -> Entry {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Entry { address: address.parse().expect("an address"), names }
}

const OWN: &str = "127.0.0.1 localhost\n10.0.0.5 db # cart\n";

#[test]
fn a_block_is_put_at_the_end_and_replaced_and_removed() {
    let cart = entry("10.96.0.7", &["cart", "cart.shop", "cart.shop.svc", "cart.shop.svc.cluster.local"]);
    let once = with(OWN.as_bytes(), &[cart]);
    let want = format!(
        "{OWN}# BEGIN canaryctl connect --tun\n10.96.0.7 cart cart.shop cart.shop.svc\n\
         10.96.0.7 cart.shop.svc.cluster.local\n# END canaryctl connect --tun\n"
    );
    assert_eq!(String::from_utf8_lossy(&once), want);
    let twice = with(&without(&once), &[entry("10.96.0.8", &["stock"])]);
    assert!(!String::from_utf8_lossy(&twice).contains("cart.shop"));
    assert_eq!(without(&twice), OWN.as_bytes());
}

#[test]
fn the_file_is_byte_for_byte_what_it_was() {
    for text in ["", "\n", OWN, "127.0.0.1 localhost", "a\r\nb\r\n", "\n\n127.0.0.1 x\n\n"] {
        let with = with(text.as_bytes(), &[entry("10.96.0.7", &["cart"])]);
        assert_eq!(without(&with), text.as_bytes(), "{text:?}");
    }
    assert_eq!(without(b"\xff\xfe 1\n"), b"\xff\xfe 1\n");
}

#[test]
fn lines_that_somebody_adds_behind_the_block_stay() {
    let mut text = with(OWN.as_bytes(), &[entry("10.96.0.7", &["cart"])]);
    text.extend_from_slice(b"10.0.0.6 later\n");
    assert_eq!(String::from_utf8_lossy(&without(&text)), format!("{OWN}10.0.0.6 later\n"));
}

#[test]
fn names_that_the_file_has_are_its_own() {
    let given = [entry("10.96.0.7", &["db", "localhost", "a b", "x\n0.0.0.0 y"])];
    assert_eq!(with(OWN.as_bytes(), &given), OWN.as_bytes());
}

#[test]
fn the_files_mode_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("hosts");
    fs::write(&file, OWN).expect("written");
    fs::set_permissions(&file, Permissions::from_mode(0o640)).expect("set");
    put(&file, &[entry("10.96.0.7", &["cart"])]).expect("written");
    assert!(fs::read_to_string(&file).expect("read").contains("10.96.0.7 cart\n"));
    assert_eq!(fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o640);
    put(&file, &[]).expect("written");
    assert_eq!(fs::read_to_string(&file).expect("read"), OWN);
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
}

#[test]
fn what_follows_a_block_without_an_end_stays() {
    for (text, want) in [
        (
            "127.0.0.1 localhost\n# BEGIN canaryctl connect --tun\n10.96.0.9 cart\n10.0.0.1 mine\n",
            "127.0.0.1 localhost\n10.96.0.9 cart\n10.0.0.1 mine\n",
        ),
        (
            "# BEGIN canaryctl connect --tun\n10.0.0.1 mine\n# BEGIN canaryctl connect --tun\n10.96.0.9 cart\n\
             # END canaryctl connect --tun\n10.0.0.2 theirs\n",
            "10.0.0.1 mine\n10.0.0.2 theirs\n",
        ),
    ] {
        assert_eq!(String::from_utf8_lossy(&without(text.as_bytes())), want);
    }
}
