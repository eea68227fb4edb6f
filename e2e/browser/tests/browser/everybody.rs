//! Whether everybody can use the page, as far as axe-core can tell.

use canary_browser_tests::browser::{DESK, Look, PHONE};
use serde_json::Value;

use crate::Stage;
use crate::demo::needed;

/// What axe found, one line for each place: rule, what is wrong, where.
const FOUND: &str =
    "axe.run(document, { resultTypes: ['violations'] }).then((found) => found.violations.flatMap((rule) =>
    rule.nodes.map((node) => `${rule.id}: ${rule.help}: ${node.target.join(' ')}: ${node.failureSummary}`)))";

pub(crate) async fn nothing_keeps_people_from_using_it(stage: &'static Stage) {
    let axe = std::fs::read_to_string(needed("CANARY_AXE")).expect("axe's script");
    let mut found = Vec::new();
    for look in [DESK, Look { dark: true, ..DESK }, PHONE] {
        let page = stage.browser.open(&stage.demo.url, look).await;
        page.run(&axe).await;
        page.click("label.lane:has(input[value='gray'])").await;
        page.click("#flow-form button").await;
        page.until("what goes over arrows is shown", "document.querySelector('.load')").await;
        page.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })").await;
        page.click(".flow").await;
        for view in ["mesh", "playground"] {
            page.run(&format!("location.hash = '#{view}'")).await;
            page.until("the view is shown", &format!("!document.querySelector('#{view}').hidden")).await;
            let violations: Value = page.get(FOUND).await;
            let violations = violations.as_array().expect("a list").clone();
            found.extend(violations.into_iter().map(|one| format!("{view}, dark {}: {one}", look.dark)));
        }
        page.close().await;
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
