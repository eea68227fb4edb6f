//! Drives a cluster's dashboard: `canary-dashboard-driver BROWSER URL RELEASE`.
//!
//! The rest of the test is another process's: it is told in a line each what has been seen, and begins the release once
//! the page is open. A release has a lane of its name.

use std::time::Duration;

use canary_browser_tests::browser::{Browser, DESK, Page};

/// How long a release may take to have its lane on, or to be a step further.
const WITHIN: Duration = Duration::from_secs(60);

/// Who serves what is chosen, and how: `stock own`.
const SERVING: &str = "[...document.querySelectorAll('.node')].filter((node) => node.querySelector('.serves')).map((node) =>
    `${node.dataset.id.split('/').pop()} ${['own', 'fallback'].find((how) => node.classList.contains(how))}`).sort().join()";

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [browser, url, release] = &arguments[..] else { panic!("wanted: BROWSER URL RELEASE") };
    let browser = Browser::launch(browser).await;
    let page = browser.open(url, DESK).await;
    println!("open");
    shows_the_lane(&page, release).await;
    println!("lane");
    let call = "document.querySelector('.way[data-from$=\"/web\"][data-to$=\"/cart\"] title')";
    page.until_within(WITHIN, "web's calls of cart are shown", call).await;
    println!("traffic");
    promotes(&page, release).await;
    println!("promoted");
    watches(&page, release).await;
    println!("watched");
    page.close().await;
    browser.end().await;
}

async fn shows_the_lane(page: &Page, lane: &str) {
    let input = format!("input[name=lane][value='{lane}']");
    page.until_within(WITHIN, "the lane is listed", &format!("document.querySelector({input:?})")).await;
    page.click(&format!("label.lane:has({input})")).await;
    let serving = format!("{SERVING} === 'cart fallback,price own,stock own,web fallback'");
    page.until_within(WITHIN, "the lane is drawn over the services", &serving).await;
}

async fn promotes(page: &Page, release: &str) {
    page.run("location.hash = '#releases'").await;
    let button = format!("button[data-key='promote:{release}']");
    page.until_within(WITHIN, "it can be promoted", &format!("document.querySelector({button:?})")).await;
    page.click(&button).await;
    page.until("it is asked first", "document.querySelector('#confirm').open").await;
    page.click("#confirm-yes").await;
    let place = "document.querySelector('.release .place').textContent.includes('step 2 of 2')";
    page.until_within(WITHIN, "it is at its second step", place).await;
}

async fn watches(page: &Page, lane: &str) {
    page.run("location.hash = '#mesh'").await;
    page.click(&format!("label.lane:has(input[name=lane][value='{lane}'])")).await;
    page.click("#watch button").await;
    page.until_within(WITHIN, "a flow is shown", "document.querySelector('.flow')").await;
    page.click(".flow").await;
    // The gateway, and whom it called.
    page.until("its way is shown", "document.querySelectorAll('#flow-tree .hop').length >= 2").await;
    page.click("#watch button").await;
    let over = "document.querySelector('#watch').textContent.includes('watched no more')";
    page.until_within(WITHIN, "it is watched no more", over).await;
}
