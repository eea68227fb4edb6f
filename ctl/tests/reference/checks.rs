//! The codes of `check`, with what they stand for.
//!
//! What one of the planner's findings is about, its variant's documentation says.

use canary_istio::Finding;
use canaryctl::check::codes;

use super::cell;

const INTRODUCTION: &str = "# What check says

`canaryctl check`, `canaryctl check --pre` and `canaryctl doctor` say what stands in the way of lanes, each with a code and
a line that mends it. What is *refused* has no lanes, and its requests stay with the baseline, but CC127 and CC128 refuse
an exchange alone and no lane; what is an *error* does not work; a *warning* works within the limit that is stated. A code
never changes its meaning. With an error, or something refused, the exit code is 3.

";

pub(super) fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    page += "## Services and their routing\n\nAlso in a Lane's status, in `diff` and in `render`.\n\n";
    page += HEAD;
    for (code, weight, about, help) in findings() {
        page += &row(&code, &weight, &about, &format!("{}{}.", help[..1].to_uppercase(), &help[1..]));
    }
    for (prefix, title) in [
        ("CC2", "The cluster and the installation"),
        ("CC3", "Lanes and pods"),
        ("CC4", "Workloads, as `doctor` sees them"),
    ] {
        page += &format!("\n## {title}\n\n{HEAD}");
        for known in codes::ALL.iter().filter(|known| known.code.starts_with(prefix)) {
            let weight = format!("{:?}", known.weight).to_lowercase();
            page += &row(known.code, &weight, known.about, known.mend);
        }
    }
    page
}

const HEAD: &str = "| code | weight | what is so | what mends it |\n|---|---|---|---|\n";

fn row(code: &str, weight: &str, about: &str, mend: &str) -> String {
    format!("| {code} | {weight} | {} | {} |\n", cell(about), cell(mend))
}

/// Code, weight, meaning and help of each finding, as its source has them.
fn findings() -> Vec<(String, String, String, &'static str)> {
    let source = include_str!("../../../istio/src/finding.rs");
    let (_, variants) = source.split_once("pub enum Finding {").expect("the findings");
    let (variants, rest) = variants.split_once("\n}\n").expect("their end");
    let (_, table) = rest.split_once("\ntable! {").expect("their table");
    let about = |variant: &str| {
        let before = variants.split(&format!("\n    {variant} {{")).next().expect("a variant");
        let documented = before.lines().rev().find_map(|line| line.trim().strip_prefix("/// "));
        documented.expect("its documentation").to_owned()
    };
    let rows = table.lines().filter_map(|line| line.trim().split_once(" => \""));
    let rows: Vec<_> = rows
        .map(|(variant, rest)| {
            let (code, rest) = rest.split_once("\", ").expect("a code");
            let (severity, _) = rest.split_once(',').expect("a severity");
            let help = Finding::help_for(code).expect("a code that there is");
            (code.to_owned(), severity.to_lowercase(), about(variant), help)
        })
        .collect();
    assert!(rows.iter().map(|(code, ..)| code.as_str()).eq(Finding::CODES.iter().copied()));
    rows
}
