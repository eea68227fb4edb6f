//! Operators: what each holds for, and what it does not.

use super::kit::{get, holds};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// A test of the header `x`, for a request that has it with this value.
#[track_caller]
fn check(operator: &str, value: impl AsRef<[u8]>, expected: bool) {
    holds(&format!("{{header: {{name: x, {operator}}}}}"), &get("/").with("x", value), expected);
}

#[track_caller]
fn check_path(operator: &str, path: &str, expected: bool) {
    holds(&format!("{{path: {{{operator}}}}}"), &get(path), expected);
}

const NOT_UTF8: &[u8] = b"caf\xe9";

#[test]
fn exact_is_equal() {
    check("exact: a", "a", true);
    check("exact: a", "A", false);
    check("exact: a", "ab", false);
    check("exact: a", "", false);
    check("exact: ''", "", true);
    check("exact: caf", NOT_UTF8, false);
    check("exact: é", "é", true);
}

#[test]
fn in_is_equal_to_one() {
    check("in: [b, a, c]", "a", true);
    check("in: [b, a, c]", "c", true);
    check("in: [b, a, c]", "d", false);
    check("in: [b, a, c]", "", false);
    check("in: [b, a, c]", "a,b", false);
    check("in: [b, B]", "B", true);
}

#[test]
fn prefix_suffix_and_contains_look_at_bytes() {
    check("prefix: ab", "abc", true);
    check("prefix: ab", "ab", true);
    check("prefix: ab", "a", false);
    check("prefix: ab", "xab", false);
    check("prefix: caf", NOT_UTF8, true);
    check("suffix: bc", "abc", true);
    check("suffix: bc", "bc", true);
    check("suffix: bc", "c", false);
    check("suffix: bc", "bcx", false);
    check("contains: b", "abc", true);
    check("contains: abc", "abc", true);
    check("contains: abcd", "abc", false);
    check("contains: b", "", false);
    check("contains: af", NOT_UTF8, true);
}

#[test]
fn regex_matches_the_whole_value() {
    check("regex: 'a|ab'", "a", true);
    check("regex: 'a|ab'", "ab", true);
    check("regex: 'a|ab'", "abc", false);
    check("regex: 'a|ab'", "xab", false);
    check("regex: '(a|ab)(c|bcd)?'", "abcd", true);
    check("regex: '^a$'", "a", true);
    check("regex: '.*'", "", true);
    check("regex: '(?i)gray'", "GRAY", true);
    check("regex: 'a.b'", "a\nb", false);
    check("regex: '(?m)a$'", "a\nb", false);
    check("regex: '[0-9]+'", "12x", false);
}

#[test]
fn regex_and_glob_hold_for_no_value_that_is_no_text() {
    check("regex: '(?s).*'", NOT_UTF8, false);
    holds("{not: {header: {name: x, regex: '(?s).*'}}}", &get("/").with("x", NOT_UTF8), true);
    holds("{path: {glob: '/**'}}", &get("/").but(":path", b"/caf\xe9"), false);
}

#[test]
fn regex_is_not_tried_on_what_no_header_should_be() {
    check("regex: 'a+'", "a".repeat(8192), true);
    check("regex: 'a+'", "a".repeat(8193), false);
}

#[test]
fn glob_stars_stay_within_segments_unless_doubled() {
    check_path("glob: /a/*", "/a/b", true);
    check_path("glob: /a/*", "/a/", true);
    check_path("glob: /a/*", "/a", false);
    check_path("glob: /a/*", "/a/b/c", false);
    check_path("glob: /a/*/c", "/a/b/c", true);
    check_path("glob: /a/*/c", "/a//c", true);
    check_path("glob: /a/*/c", "/a/b/b/c", false);
    check_path("glob: /a/*.js", "/a/b.js", true);
    check_path("glob: /a/*.js", "/a/b.js.map", false);
    check_path("glob: /a/*b*c", "/a/xbxbxc", true);
    check_path("glob: /a/*b*c", "/a/xbx/c", false);
    check_path("glob: /a/**", "/a/b/c", true);
    check_path("glob: /a/**", "/a/", true);
    check_path("glob: /a/**", "/a", false);
    check_path("glob: /a**", "/a", true);
    check_path("glob: /a**z", "/a/b/z", true);
    check_path("glob: /a**z", "/a/b/zz", true);
    check_path("glob: /a**z", "/a/b/y", false);
    check_path("glob: /**/*.js", "/a/b/c.js", true);
    check_path("glob: '**'", "/", true);
    check_path("glob: /***", "/a/b", true);
}

#[test]
fn glob_double_star_slash_is_any_number_of_segments() {
    check_path("glob: /a/**/b", "/a/b", true);
    check_path("glob: /a/**/b", "/a/x/b", true);
    check_path("glob: /a/**/b", "/a/x/y/b", true);
    check_path("glob: /a/**/b", "/a/xb", false);
    check_path("glob: /a/**/b", "/ab", false);
    check_path("glob: '**/b'", "/b", true);
    check_path("glob: /**/b", "/b", true);
    check_path("glob: /a**/b", "/ax/b", true);
    check_path("glob: /a**/b", "/a/b", true);
    check_path("glob: /a**/b", "/ab", false);
}

#[test]
fn glob_question_mark_is_one_character() {
    check_path("glob: '/a?'", "/ab", true);
    check_path("glob: '/a?'", "/a", false);
    check_path("glob: '/a?'", "/a/", false);
    check_path("glob: '/a?'", "/abc", false);
    check_path("glob: '/a?'", "/aé", true);
    check_path("glob: /a", "/a", true);
    check_path("glob: /a", "/ab", false);
}

/// A pattern that backtracking would take minutes for.
#[test]
fn glob_takes_no_longer_for_a_path_made_to_slow_it_down() {
    let path = format!("/{}", "a/".repeat(30_000));
    check_path("glob: /**a*a**a*a**a*a**b", &path, false);
}

#[test]
fn exists_asks_for_presence_only() {
    check("exists: true", "", true);
    check("exists: true", NOT_UTF8, true);
    check("exists: false", "", false);
    check("exists: false", "a", false);
}

#[test]
fn range_includes_its_bounds() {
    check("range: {min: 3, max: 5}", "2", false);
    check("range: {min: 3, max: 5}", "3", true);
    check("range: {min: 3, max: 5}", "5", true);
    check("range: {min: 3, max: 5}", "6", false);
    check("range: {min: 3}", "9223372036854775807", true);
    check("range: {max: 3}", "-9223372036854775808", true);
    check("range: {min: -3, max: -3}", "-3", true);
}

#[test]
fn range_reads_decimal_integers_of_64_bits_only() {
    check("range: {min: 0}", "007", true);
    check("range: {min: 0}", "+7", false);
    check("range: {min: 0}", "7.0", false);
    check("range: {min: 0}", " 7", false);
    check("range: {min: 0}", "", false);
    check("range: {max: 9}", "-", false);
    check("range: {max: 9}", "--1", false);
    check("range: {min: 0}", "0x7", false);
    check("range: {min: 0}", "9223372036854775808", false);
    check("range: {min: 0}", NOT_UTF8, false);
}

#[test]
fn ignore_case_folds_ascii_only() {
    check("exact: Gray, ignoreCase: true", "gRAY", true);
    check("exact: Gray, ignoreCase: false", "gRAY", false);
    check("in: [B, a], ignoreCase: true", "A", true);
    check("in: [B, a], ignoreCase: true", "b", true);
    check("in: [B, a], ignoreCase: true", "c", false);
    check("prefix: GR, ignoreCase: true", "gray", true);
    check("suffix: AY, ignoreCase: true", "gray", true);
    check("contains: RA, ignoreCase: true", "gray", true);
    check("regex: 'GR.*', ignoreCase: true", "gray", true);
    check("exact: É, ignoreCase: true", "é", false);
    check_path("glob: /A/*C, ignoreCase: true", "/a/bc", true);
    check_path("glob: /A/*C", "/a/bc", false);
}

/// Every operator that a named value can have.
const OPERATORS: [&str; 8] = [
    "exact: a",
    "exact: ''",
    "in: [a, '']",
    "prefix: a",
    "suffix: a",
    "contains: a",
    "regex: '.*'",
    "range: {min: 0}",
];

/// Every subject with a name that can be absent.
const SUBJECTS: [&str; 4] = ["cookie", "header", "query", "claim"];

#[test]
fn an_absent_value_passes_no_operator() {
    for subject in SUBJECTS {
        for operator in OPERATORS.into_iter().chain(["exists: true"]) {
            let when = format!("{{{subject}: {{name: x, {operator}}}}}");
            holds(&when, &get("/"), false);
            holds(&format!("{{not: {when}}}"), &get("/"), true);
        }
        holds(&format!("{{{subject}: {{name: x, exists: false}}}}"), &get("/"), true);
        holds(&format!("{{not: {{{subject}: {{name: x, exists: false}}}}}}"), &get("/"), false);
    }
}

#[test]
fn an_absent_pseudo_header_passes_no_operator() {
    let bare = super::kit::Message::default();
    for when in
        ["{path: {prefix: /}}", "{path: {glob: '**'}}", "{method: {exact: GET}}", "{host: {regex: '.*'}}"]
    {
        holds(when, &bare, false);
        holds(&format!("{{not: {when}}}"), &bare, true);
    }
    holds("{client: {cidr: ['::/0', 0.0.0.0/0]}}", &bare, false);
}

#[test]
fn every_part_of_a_condition_must_hold() {
    let when = "{cookie: {name: a, exact: '1'}, header: {name: x, exact: '1'}, path: {prefix: /p}}";
    let both = get("/p").with("cookie", "a=1").with("x", "1");
    holds(when, &both, true);
    holds(when, &both.clone().but("x", "2"), false);
    holds(when, &both.clone().but("cookie", "a=2"), false);
    holds(when, &both.but(":path", "/"), false);
}

#[test]
fn all_any_and_not_nest() {
    let when = "{any: [{all: [{header: {name: x, exact: a}}, {not: {header: {name: z, exact: b}}}]}, \
                {not: {any: [{header: {name: x, exists: true}}, {header: {name: z, exists: true}}]}}]}";
    holds(when, &get("/"), true);
    holds(when, &get("/").with("x", "a"), true);
    holds(when, &get("/").with("x", "a").with("z", "c"), true);
    holds(when, &get("/").with("x", "a").with("z", "b"), false);
    holds(when, &get("/").with("x", "c"), false);
    holds(when, &get("/").with("z", "c"), false);
}

#[test]
fn conditions_beside_all_any_and_not_must_hold_too() {
    let when = "{method: {exact: GET}, any: [{header: {name: x, exact: a}}, {header: {name: x, exact: b}}], \
                all: [{path: {prefix: /p}}, {path: {suffix: q}}], not: {header: {name: z, exists: true}}}";
    let good = get("/p/q").with("x", "b");
    holds(when, &good, true);
    holds(when, &good.clone().but(":method", "PUT"), false);
    holds(when, &good.clone().but("x", "c"), false);
    holds(when, &good.clone().but(":path", "/p/r"), false);
    holds(when, &good.with("z", ""), false);
}

#[test]
fn conditions_nest_to_their_limit() {
    holds("{not: {not: {not: {not: {not: {header: {name: x, exists: true}}}}}}}", &get("/"), true);
}
