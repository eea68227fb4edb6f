use super::{BaggageLimit, member, saying, values, with_member, without_member};
use crate::name::BaggageKey;

fn key() -> BaggageKey {
    BaggageKey::new("canary-lane").expect("a baggage key")
}

fn bytes<'a>(lines: &'a [&'a str]) -> impl Iterator<Item = &'a [u8]> + Clone {
    lines.iter().map(|line| line.as_bytes())
}

fn text(line: Vec<u8>) -> String {
    String::from_utf8(line).expect("text in, text out")
}

#[track_caller]
fn check_member(lines: &[&str], expected: Option<&str>) {
    assert_eq!(member(bytes(lines), &key()), expected.map(str::as_bytes));
}

#[track_caller]
fn check_with(lines: &[&str], value: &str, expected: &str) {
    assert_eq!(with_member(bytes(lines), &key(), value).map(text).as_deref(), Ok(expected));
}

#[track_caller]
fn check_without(lines: &[&str], expected: Option<&str>) {
    assert_eq!(without_member(bytes(lines), &key()).map(text).as_deref(), expected);
}

#[test]
fn a_member_is_found_in_any_place_and_line() {
    check_member(&["canary-lane=gray"], Some("gray"));
    check_member(&["a=1,canary-lane=gray,b=2"], Some("gray"));
    check_member(&["a=1", "b=2 , canary-lane=gray"], Some("gray"));
    check_member(&["a=1", "b=2"], None);
    check_member(&[], None);
}

#[test]
fn white_space_and_properties_are_not_part_of_the_value() {
    check_member(&["\t canary-lane \t=\t gray ; p ; q=1 ,a=1"], Some("gray"));
    check_member(&["canary-lane=;p=gray"], Some(""));
}

#[test]
fn the_first_member_counts() {
    check_member(&["canary-lane=gray,canary-lane=blue", "canary-lane=red"], Some("gray"));
}

#[test]
fn only_the_very_key_is_the_key() {
    check_member(&["xcanary-lane=1,canary-lanex=2,Canary-Lane=3,canary-lane;=4,canary-lane"], None);
    check_member(&["a=canary-lane=1,b=1;canary-lane=2"], None);
}

#[test]
fn a_value_may_hold_equal_signs() {
    check_member(&["canary-lane=a=b==;c=d"], Some("a=b=="));
}

#[test]
fn a_new_member_goes_to_the_end() {
    check_with(&[], "gray", "canary-lane=gray");
    check_with(&[""], "gray", "canary-lane=gray");
    check_with(&["a=1;p=q; r,b=%20"], "gray", "a=1;p=q; r,b=%20,canary-lane=gray");
}

#[test]
fn an_old_member_is_replaced_in_place_and_its_copies_dropped() {
    check_with(
        &["a=1,canary-lane=blue;p,b=2,canary-lane=red", "canary-lane=x,c=3"],
        "gray",
        "a=1,canary-lane=gray,b=2,c=3",
    );
}

#[test]
fn split_lines_become_one_in_order() {
    check_with(&["a=1", " b = 2 ,c=3", "", " , "], "gray", "a=1,b = 2,c=3,canary-lane=gray");
}

#[test]
fn malformed_members_are_kept() {
    check_with(
        &["no-equal-sign,=1,;;,canary-lane"],
        "gray",
        "no-equal-sign,=1,;;,canary-lane,canary-lane=gray",
    );
}

#[test]
fn bytes_that_are_not_utf8_are_kept() {
    let lines: [&[u8]; 1] = [b"a=\xff\x80,b=1"];
    let line = with_member(lines.iter().copied(), &key(), "gray");
    assert_eq!(line.as_deref(), Ok(&b"a=\xff\x80,b=1,canary-lane=gray"[..]));
}

#[test]
fn a_value_that_is_no_baggage_value_is_encoded() {
    check_with(&[], "a,b;c d\"\\%\r\u{e9}=/", "canary-lane=a%2Cb%3Bc%20d%22%5C%25%0D%C3%A9=/");
}

#[test]
fn sixty_four_members_are_the_limit() {
    let members = |count: usize| vec!["a=1"; count].join(",");
    check_with(&[&members(63)], "gray", &format!("{},canary-lane=gray", members(63)));
    assert_eq!(with_member(bytes(&[&members(64)]), &key(), "gray"), Err(BaggageLimit::Members));
    assert_eq!(with_member(bytes(&[&members(32), &members(32)]), &key(), "gray"), Err(BaggageLimit::Members));
    // Replacing is no growth.
    let full = format!("{},canary-lane=x", members(63));
    check_with(&[&full], "gray", &format!("{},canary-lane=gray", members(63)));
}

#[test]
fn eight_kibibytes_are_the_limit() {
    let own = ",canary-lane=gray".len();
    let filler = |bytes: usize| format!("a={}", "x".repeat(bytes - 2));
    check_with(&[&filler(8192 - own)], "gray", &format!("{},canary-lane=gray", filler(8192 - own)));
    assert_eq!(with_member(bytes(&[&filler(8193 - own)]), &key(), "gray"), Err(BaggageLimit::Bytes));
    let first = format!("canary-lane=x,{}", filler(8192 - own));
    check_with(&[&first], "gray", &format!("canary-lane=gray,{}", filler(8192 - own)));
    let first = format!("canary-lane=x,{}", filler(8193 - own));
    assert_eq!(with_member(bytes(&[&first]), &key(), "gray"), Err(BaggageLimit::Bytes));
    let halves = [filler(4096), filler(4096 - own)];
    assert_eq!(with_member(bytes(&[&halves[0], &halves[1]]), &key(), "gray"), Err(BaggageLimit::Bytes));
    assert_eq!(with_member(bytes(&[&filler(9000), "b=1"]), &key(), "gray"), Err(BaggageLimit::Bytes));
}

#[test]
fn every_copy_is_taken_out() {
    check_without(&["a=1, canary-lane=gray;p, b=2", "canary-lane=x"], Some("a=1,b=2"));
    check_without(&["canary-lane=gray, b=2"], Some("b=2"));
    check_without(&["a=1 ,canary-lane=gray"], Some("a=1"));
}

#[test]
fn nothing_is_left_when_it_was_alone() {
    check_without(&[" canary-lane=gray", ""], Some(""));
}

#[test]
fn nothing_is_done_where_it_is_absent() {
    check_without(&["a=1, b=2", " c"], None);
    check_without(&[], None);
}

#[test]
fn taking_out_works_beyond_the_limits() {
    let long = format!("a={}", "x".repeat(10_000));
    check_without(&[&long, "canary-lane=gray"], Some(&long));
}

#[track_caller]
fn check_saying(lines: &[&str], expected: Option<&str>) {
    assert_eq!(saying(bytes(lines), &key(), "gray").map(text).as_deref(), expected);
}

#[test]
fn every_copy_has_its_value() {
    let lines = ["canary-lane=gray;p,a=1", "canary-lane = blue"];
    assert_eq!(values(bytes(&lines), &key()).collect::<Vec<_>>(), [&b"gray"[..], b"blue"]);
}

#[test]
fn baggage_that_says_it_once_is_left_alone() {
    check_saying(&["a=1 , canary-lane = gray;p", "b=2"], None);
}

#[test]
fn baggage_that_does_not_say_it_is_made_to() {
    check_saying(&[], Some("canary-lane=gray"));
    check_saying(&["a=1"], Some("a=1,canary-lane=gray"));
    check_saying(&["canary-lane=blue,a=1"], Some("canary-lane=gray,a=1"));
}

#[test]
fn a_second_copy_is_dropped_whatever_it_says() {
    check_saying(&["canary-lane=gray,canary-lane=blue"], Some("canary-lane=gray"));
    check_saying(&["canary-lane=gray", "canary-lane=gray"], Some("canary-lane=gray"));
}

#[test]
fn baggage_at_its_limits_says_nothing_rather_than_something_else() {
    let long = format!("a={}", "x".repeat(8180));
    check_saying(&[&long], None);
    check_saying(&[&long, "canary-lane=x"], Some(&long));
    check_saying(&[&vec!["canary-lane=x"; 700].join(",")], Some("canary-lane=gray"));
    let full = vec!["a=1"; 64].join(",");
    check_saying(&["canary-lane=x", &full], Some(&full));
}
