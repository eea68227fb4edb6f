use super::{first, pairs};
use crate::name::CookieName;

#[track_caller]
fn check(lines: &[&str], expected: &[(&str, &str)]) {
    let found: Vec<(&[u8], &[u8])> = pairs(lines.iter().map(|line| line.as_bytes())).collect();
    let expected: Vec<(&[u8], &[u8])> =
        expected.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    assert_eq!(found, expected);
}

#[track_caller]
fn check_first(lines: &[&[u8]], name: &str, expected: Option<&[u8]>) {
    let name = CookieName::new(name).expect("a cookie name");
    assert_eq!(first(lines.iter().copied(), &name), expected);
}

#[test]
fn pairs_are_split_at_semicolons() {
    check(&["a=1; b=2;c=3"], &[("a", "1"), ("b", "2"), ("c", "3")]);
}

#[test]
fn pairs_of_repeated_lines_follow_each_other() {
    check(&["a=1", "b=2; a=3"], &[("a", "1"), ("b", "2"), ("a", "3")]);
}

#[test]
fn white_space_around_names_and_values_is_dropped() {
    check(&["\t a = 1 2 ;b\t=\t2\t"], &[("a", "1 2"), ("b", "2")]);
}

#[test]
fn empty_pieces_are_skipped() {
    check(&[""], &[]);
    check(&[";;; ;\t;"], &[]);
    check(&[";a=1;;b=2;"], &[("a", "1"), ("b", "2")]);
}

#[test]
fn nameless_pairs_are_skipped() {
    check(&["=1; plain; a=2; ==3"], &[("a", "2")]);
}

#[test]
fn an_empty_value_is_a_value() {
    check(&["a=; b = "], &[("a", ""), ("b", "")]);
}

#[test]
fn a_value_keeps_its_equal_signs_quotes_and_commas() {
    check(
        &[r#"a=b=c==; q="1 2"; half="x; l=1,2"#],
        &[("a", "b=c=="), ("q", r#""1 2""#), ("half", "\"x"), ("l", "1,2")],
    );
}

#[test]
fn names_are_compared_byte_by_byte() {
    check_first(&[b"Gray=1; gray=2"], "gray", Some(b"2"));
    check_first(&[b"xgray=1; grayx=2"], "gray", None);
}

#[test]
fn the_first_of_a_repeated_cookie_counts() {
    check_first(&[b"a=0; gray=1; gray=2", b"gray=3"], "gray", Some(b"1"));
    check_first(&[b"a=0", b"gray=3"], "gray", Some(b"3"));
}

#[test]
fn a_bare_name_is_no_cookie() {
    check_first(&[b"gray; gray=1"], "gray", Some(b"1"));
}

#[test]
fn bytes_that_are_not_utf8_are_kept() {
    check_first(&[b"\xff=\xfe; gray=\x00\x80\xc3\x28\x7f; b=1"], "gray", Some(b"\x00\x80\xc3\x28\x7f"));
}

#[test]
fn the_last_of_many_cookies_in_a_long_line_is_found() {
    let mut line = b"pad=".to_vec();
    line.resize(60_000, b'x');
    line.extend_from_slice(&b"; a=1".repeat(500));
    line.extend_from_slice(b"; gray=1");
    check_first(&[&line], "gray", Some(b"1"));
}
