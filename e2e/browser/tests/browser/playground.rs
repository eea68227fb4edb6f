//! The playground's view: the rules decide in the page.

use canary_browser_tests::browser::{DESK, Page};

use crate::Stage;

async fn open(stage: &'static Stage) -> Page {
    let page = stage.browser.open(&stage.demo.url, DESK).await;
    page.click("a[href='#playground']").await;
    page.until("a decision is shown", "document.querySelector('#play-answer .verdict')").await;
    page
}

async fn fill(page: &Page, name: &str, expression: &str) {
    let set = format!(
        "{{ const field = document.querySelector('#play-form [name={name}]'); field.value = {expression};
           field.dispatchEvent(new Event('input', {{ bubbles: true }})); }}"
    );
    page.run(&format!("(() => {set})()")).await;
}

async fn verdict(page: &Page, want: &str) {
    let is_so = format!("document.querySelector('#play-answer .verdict')?.textContent === {want:?}");
    page.until(&format!("the verdict is {want}"), &is_so).await;
}

pub(crate) async fn it_decides_as_one_types(stage: &'static Stage) {
    let page = open(stage).await;
    let documents: String = page.get("document.querySelector('[name=documents]').value").await;
    assert!(
        documents.contains("name: gray") && documents.contains("dev-alice"),
        "the mesh's own lanes: {documents}"
    );
    fill(&page, "headers", "'cookie: gray=1'").await;
    verdict(&page, "gray rule 1 (testers): cookie gray = 1").await;
    fill(&page, "headers", "'x-dev: alice'").await;
    verdict(&page, "dev-alice rule 1 (alice): header x-dev = alice").await;
    fill(&page, "documents", "field.value.replace('alice', 'bob').replace('exact: alice', 'exact: bob')")
        .await;
    page.until(
        "the baseline serves alice",
        "document.querySelector('#play-answer .verdict .chip')?.textContent !== 'dev-alice'",
    )
    .await;
    let printed: serde_json::Value =
        page.get("JSON.parse(document.querySelector('#play-json').textContent)").await;
    let keys: Vec<&String> = printed.as_object().expect("an object").keys().collect();
    let mut wanted = ["lane", "rule", "reason", "set_headers", "remove_headers", "set_cookies", "close"];
    wanted.sort_unstable();
    let mut keys: Vec<&str> = keys.into_iter().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, wanted);
    page.close().await;
}

pub(crate) async fn a_fault_has_its_place(stage: &'static Stage) {
    let page = open(stage).await;
    fill(&page, "documents", "field.value.replace('exact', 'exakt')").await;
    page.until(
        "the fault is shown",
        "document.querySelector('#play-faults')?.textContent.includes('did you mean `exact`?')",
    )
    .await;
    page.click("#play-faults button").await;
    let at: String = page.get("(() => { const text = document.activeElement; return text.value.slice(text.selectionStart, text.selectionStart + 5); })()").await;
    assert_eq!(at, "exakt");
    fill(&page, "documents", "field.value.replace('exakt', 'exact')").await;
    page.until("the fault is gone", "document.querySelector('#play-faults').childElementCount === 0").await;
    page.close().await;
}
