//! A real browser, by the DevTools protocol.

use std::time::{Duration, Instant};

use chromiumoxide::browser::{Browser as Chromium, BrowserConfig};
use chromiumoxide::cdp::browser_protocol::emulation::{MediaFeature, SetDeviceMetricsOverrideParams};
use chromiumoxide::cdp::browser_protocol::input::{
    DispatchKeyEventParams, DispatchKeyEventType, DispatchMouseEventParams, DispatchMouseEventType,
    InsertTextParams,
};
use chromiumoxide::cdp::browser_protocol::page::{AddScriptToEvaluateOnNewDocumentParams, Viewport};
use chromiumoxide::cdp::js_protocol::runtime::EvaluateParams;
use chromiumoxide::error::Result as Answer;
use chromiumoxide::js::EvaluationResult;
use chromiumoxide::page::ScreenshotParams;
use futures_util::StreamExt as _;
use tokio::sync::Mutex;

/// How long something may take to be so.
const LIMIT: Duration = Duration::from_secs(15);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(30);

/// A browser.
pub struct Browser {
    chromium: Mutex<Chromium>,
    _profile: tempfile::TempDir,
}

/// How a page is looked at.
#[derive(Clone, Copy)]
pub struct Look {
    /// How wide, in pixels.
    pub width: u32,
    /// How high, in pixels.
    pub height: u32,
    /// Whether dark is preferred.
    pub dark: bool,
}

/// A desk's screen.
pub const DESK: Look = Look { width: 1280, height: 860, dark: false };
/// A phone's.
pub const PHONE: Look = Look { width: 390, height: 844, dark: false };

/// A page of the browser.
pub struct Page(chromiumoxide::Page);

impl Browser {
    /// Starts this program.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn launch(program: &str) -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        let config = BrowserConfig::builder()
            .chrome_executable(program)
            .user_data_dir(profile.path())
            .new_headless_mode()
            // The page is ours and on loopback; containers rarely allow the sandbox.
            .no_sandbox()
            .args(["--disable-gpu", "--disable-dev-shm-usage"])
            .viewport(None)
            .build()
            .expect("a configuration");
        let (chromium, mut handler) = Chromium::launch(config).await.expect("Chromium starts");
        tokio::spawn(async move { while handler.next().await.is_some() {} });
        Self { chromium: Mutex::new(chromium), _profile: profile }
    }

    /// Opens an address.
    pub async fn open(&self, url: &str, look: Look) -> Page {
        self.open_with("", url, look).await
    }

    /// Opens an address, in whose page a script runs before any of its own.
    pub async fn open_with(&self, script: &str, url: &str, look: Look) -> Page {
        let page = self.chromium.lock().await.new_page("about:blank").await.expect("a page");
        let size = SetDeviceMetricsOverrideParams::new(
            i64::from(look.width),
            i64::from(look.height),
            1.0,
            look.width < 500,
        );
        page.execute(size).await.expect("a size");
        let scheme = if look.dark { "dark" } else { "light" };
        let prefers = MediaFeature { name: "prefers-color-scheme".into(), value: scheme.into() };
        page.emulate_media_features(vec![prefers]).await.expect("a scheme");
        // A page behind another is not drawn.
        page.bring_to_front().await.expect("it comes to the front");
        page.execute(AddScriptToEvaluateOnNewDocumentParams::new(script)).await.expect("it takes a script");
        page.goto(url).await.expect("it answers");
        let page = Page(page);
        page.until(
            "the page has what there is",
            "document.querySelector('#link.up') && document.querySelector('.lane') !== null",
        )
        .await;
        page
    }

    /// What it is, and its version.
    pub async fn version(&self) -> String {
        self.chromium.lock().await.version().await.expect("it says what it is").product
    }

    /// Ends it.
    pub async fn end(&self) {
        let mut chromium = self.chromium.lock().await;
        chromium.close().await.expect("it closes");
        chromium.wait().await.expect("it ends");
    }
}

impl Page {
    async fn evaluate(&self, expression: &str) -> Answer<EvaluationResult> {
        let params =
            EvaluateParams::builder().expression(expression).await_promise(true).return_by_value(true);
        self.0.evaluate_expression(params.build().expect("there is an expression")).await
    }

    /// Runs something that gives nothing.
    pub async fn run(&self, script: &str) {
        self.evaluate(script).await.unwrap_or_else(|error| panic!("{script}: {error}"));
    }

    /// What an expression gives.
    pub async fn get<T: serde::de::DeserializeOwned>(&self, expression: &str) -> T {
        let value = self.evaluate(expression).await.unwrap_or_else(|error| panic!("{expression}: {error}"));
        value.into_value().unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// The text of what a selector finds first.
    pub async fn text(&self, selector: &str) -> String {
        self.get(&format!("document.querySelector({selector:?})?.textContent ?? ''")).await
    }

    /// Waits until an expression is true; says what did not become so, and what was shown instead.
    pub async fn until(&self, what: &str, expression: &str) {
        self.until_within(LIMIT, what, expression).await;
    }

    /// The same of what may take longer.
    pub async fn until_within(&self, limit: Duration, what: &str, expression: &str) {
        let deadline = Instant::now() + limit;
        loop {
            // While a page is exchanged for another there is nothing to ask.
            let value = self.evaluate(&format!("Boolean({expression})")).await;
            if value.ok().and_then(|value| value.into_value::<bool>().ok()).unwrap_or(false) {
                return;
            }
            if Instant::now() > deadline {
                let shown: String = self.get("document.body.innerText").await;
                panic!("after {limit:?} still not so: {what}\n{shown}");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Clicks what a selector finds first: found and clicked in one go, for the page may be drawn anew in between.
    pub async fn click(&self, selector: &str) {
        self.run(&format!("document.querySelector({selector:?}).click()")).await;
    }

    /// Presses a key and lets it go.
    pub async fn press(&self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "ArrowDown" => 40,
            other => panic!("no code is known of {other}"),
        };
        for kind in [DispatchKeyEventType::KeyDown, DispatchKeyEventType::KeyUp] {
            let mut event = DispatchKeyEventParams::builder()
                .r#type(kind)
                .key(key)
                .code(key)
                .windows_virtual_key_code(code);
            if key == "Enter" {
                event = event.text("\r");
            }
            self.0.execute(event.build().expect("an event")).await.expect("a key");
        }
    }

    /// Moves the mouse to a point of the window.
    pub async fn point_at(&self, (x, y): (f64, f64)) {
        let moved = DispatchMouseEventParams::new(DispatchMouseEventType::MouseMoved, x, y);
        self.0.execute(moved).await.expect("it moves");
    }

    /// Turns the mouse's wheel at a point of the window: so many pixels to the right and down.
    pub async fn turn_wheel(&self, (x, y): (f64, f64), (right, down): (f64, f64)) {
        let turned = DispatchMouseEventParams::builder()
            .r#type(DispatchMouseEventType::MouseWheel)
            .x(x)
            .y(y)
            .delta_x(right)
            .delta_y(down);
        self.0.execute(turned.build().expect("an event")).await.expect("it turns");
    }

    /// Types into what has the focus.
    pub async fn type_in(&self, text: &str) {
        self.0.execute(InsertTextParams::new(text)).await.expect("it takes text");
    }

    /// Presses Tab until what a selector finds has the focus.
    pub async fn tab_to(&self, selector: &str) {
        const TABS_MAX: usize = 80;
        for _ in 0..TABS_MAX {
            self.press("Tab").await;
            if self.get(&format!("document.activeElement?.matches({selector:?}) ?? false")).await {
                return;
            }
        }
        panic!("{TABS_MAX} times Tab do not lead to {selector}");
    }

    /// The whole page as a PNG, at the width that it is looked at.
    pub async fn picture(&self) -> Vec<u8> {
        let (width, height): (f64, f64) =
            self.get("[innerWidth, document.documentElement.scrollHeight]").await;
        let clip = Viewport { x: 0.0, y: 0.0, width, height, scale: 1.0 };
        let params = ScreenshotParams::builder().clip(clip).capture_beyond_viewport(true).build();
        self.0.screenshot(params).await.expect("a picture")
    }

    /// Closes it.
    pub async fn close(self) {
        self.0.close().await.expect("it closes");
    }
}
