//! Whether everybody can use the page, as far as axe-core can tell.

use canary_browser_tests::browser::{DESK, Look, PHONE};
use serde_json::Value;

use crate::Stage;
use crate::demo::needed;

/// What axe found, one line for each place: rule, what is wrong, where.
const FOUND: &str =
    "axe.run(document, { resultTypes: ['violations'] }).then((found) => found.violations.flatMap((rule) =>
    rule.nodes.map((node) => `${rule.id}: ${rule.help}: ${node.target.join(' ')}: ${node.failureSummary}`)))";

/// The same of the colours alone, for each colour that a lane can get and each state that it can be in.
const FOUND_OF_COLOURS: &str = "(async () => {
    const found = [];
    const colours = /^lane-(\\d|none|other)$/;
    const rename = (one, which, to) => {
        one.classList.remove(...[...one.classList].filter((name) => which.test(name)));
        one.classList.add(to);
    };
    for (const colour of ['none', 0, 1, 2, 3, 4, 5, 6, 7]) {
        for (const state of ['on', 'off', 'refused', 'changing']) {
            // Looked for each time: the page may have drawn them anew.
            for (const one of document.querySelectorAll('[class*=lane-]'))
                if ([...one.classList].some((name) => colours.test(name))) rename(one, colours, `lane-${colour}`);
            for (const one of document.querySelectorAll('.chosen > .state'))
                rename(one, /^state-/, `state-${state}`);
            const { violations } = await axe.run({ include: [['.chosen'], ['.chip']] },
                { runOnly: ['color-contrast'], resultTypes: ['violations'] });
            found.push(...violations.flatMap((rule) => rule.nodes.map((node) =>
                `lane-${colour}, ${state}: ${node.target.join(' ')}: ${node.failureSummary}`)));
        }
    }
    return found;
})()";

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
        for view in ["playground", "mesh"] {
            page.run(&format!("location.hash = '#{view}'")).await;
            page.until("the view is shown", &format!("!document.querySelector('#{view}').hidden")).await;
            let violations: Value = page.get(FOUND).await;
            let violations = violations.as_array().expect("a list").clone();
            found.extend(violations.into_iter().map(|one| format!("{view}, dark {}: {one}", look.dark)));
        }
        // The flow was of some lane, which is the chosen one since.
        page.click("label.lane:has(input[value='gray'])").await;
        page.until("a lane with a state is chosen", "document.querySelector('.chosen > .state')").await;
        let faint: Value = page.get(FOUND_OF_COLOURS).await;
        found
            .extend(faint.as_array().expect("a list").iter().map(|one| format!("dark {}: {one}", look.dark)));
        page.close().await;
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
