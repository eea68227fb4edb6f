//! Pictures of the dashboard, for the documents.

use std::path::Path;

use canary_browser_tests::browser::{DESK, Look, PHONE, Page};

use crate::Stage;

/// Makes them in a folder.
pub(crate) async fn make(stage: &'static Stage, folder: &Path) {
    std::fs::create_dir_all(folder).expect("a folder");
    let dark = Look { dark: true, ..DESK };
    for (name, look) in [("dashboard", DESK), ("dashboard-dark", dark), ("dashboard-phone", PHONE)] {
        let page = stage.browser.open(&stage.demo.url, look).await;
        page.click("#flow-form button").await;
        page.until("what goes over arrows is shown", "document.querySelectorAll('.load').length === 4").await;
        let is_over = "document.querySelector('#flow-form button').textContent === 'Send' && \
            document.querySelector('#said').hidden";
        page.until("it is sent, and nothing is said of it any more", is_over).await;
        page.click("label.lane:has(input[value='gray'])").await;
        // The second of the demo's own flows is the gray one.
        page.click("[data-key='flow:2']").await;
        page.until("the tree is shown", "document.querySelector('.hops')").await;
        save(&page, folder, name).await;
        page.close().await;
    }
    let page = stage.browser.open(&stage.demo.url, DESK).await;
    page.run("location.hash = '#playground'").await;
    page.until("a decision is shown", "document.querySelector('#play-answer .verdict')").await;
    page.run(
        "(() => { const field = document.querySelector('[name=headers]'); field.value = 'cookie: gray=1';
         field.dispatchEvent(new Event('input', { bubbles: true })); })()",
    )
    .await;
    page.until("gray is decided", "document.querySelector('.verdict .chip').textContent === 'gray'").await;
    save(&page, folder, "playground").await;
    page.close().await;
}

async fn save(page: &Page, folder: &Path, name: &str) {
    // The picture is of what there is, not of where the cursor was.
    page.run("document.activeElement?.blur()").await;
    let file = folder.join(format!("{name}.png"));
    std::fs::write(&file, page.picture().await).expect("a file");
    println!("{}", file.display());
}
