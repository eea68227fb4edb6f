use super::*;

fn list(text: &[u8], key: &str) -> Result<Users, Failure> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, text).expect("written");
    let args = UserArgs {
        user_list: vec![file.path().into()],
        user_key: Some(key.parse().expect("a key")),
        ..UserArgs::default()
    };
    args.read().map(|users| users.expect("users"))
}

#[track_caller]
fn check_list(text: &[u8], want: &[(&str, usize)]) {
    let users = list(text, "header:x-user-id").expect("a list");
    let line = |place: &str| place.rsplit_once(':').and_then(|(_, line)| line.parse().ok()).unwrap_or(0);
    let got: Vec<(&str, usize)> =
        users.named.iter().map(|(name, place)| (name.as_str(), line(place))).collect();
    assert_eq!(got, want, "{}", String::from_utf8_lossy(text));
}

#[track_caller]
fn check_fault(text: &[u8], key: &str, want: &str) {
    let failure = list(text, key).expect_err("a fault").to_string();
    assert!(failure.contains(want), "`{want}` is not in `{failure}`");
}

#[test]
fn a_list_has_a_user_on_each_line() {
    check_list(b"alice\nbob", &[("alice", 1), ("bob", 2)]);
    check_list(
        b"\xef\xbb\xbf# testers\r\n\r\n  alice  # from QA\r\nbob#2\r\n",
        &[("alice", 3), ("bob#2", 4)],
    );
    check_list(b"Ann Lee\nalice\nalice\n", &[("Ann Lee", 1), ("alice", 2)]);
    check_list("żółw\n".as_bytes(), &[("żółw", 1)]);
}

#[test]
fn what_no_request_can_name_is_refused_with_its_line() {
    check_fault(b"a\nb\x07\n", "header:u", r":2: `b\u{7}` holds a control character");
    check_fault(b"a\n\xff\n", "header:u", ":2: the line is no UTF-8");
    check_fault(b"a;b\n", "cookie:u", ":1: `a;b` holds a `;`");
    check_fault(
        format!("{}\n", "a".repeat(257)).as_bytes(),
        "header:u",
        ":1: the name is longer than 256 bytes",
    );
    check_fault(b"# nobody\n", "header:u", "names no user");
    let many: String = (0..=10_000).map(|user| format!("{user}\n")).collect();
    check_fault(many.as_bytes(), "header:u", ":10001: more than 10000 users");
    let long: String = (0..3000).map(|user| format!("{user:0200}\n")).collect();
    check_fault(long.as_bytes(), "header:u", ":2622: the names so far have more than 524288 bytes");
}

#[test]
fn many_faults_are_counted_not_all_printed() {
    let failure = list("\x07a\n".repeat(30).as_bytes(), "header:u").expect_err("faults").to_string();
    assert!(failure.ends_with("; and 10 more"), "{failure}");
}

#[track_caller]
fn check_key(text: &str, want: Option<(&str, &str)>) {
    let got = text.parse::<UserKey>().ok();
    assert_eq!(got.as_ref().map(|key| (key.kind, key.name.as_str())), want, "{text}");
}

#[test]
fn a_key_has_a_kind_and_a_name() {
    check_key("header:x-user-id", Some(("header", "x-user-id")));
    check_key("claim:realm.user", Some(("claim", "realm.user")));
    check_key("cookie:uid", Some(("cookie", "uid")));
    for text in ["", "sub", "claim:", "query:user"] {
        check_key(text, None);
    }
}
