//! What comes back to the browser: cookies on change only, caches kept out, the app's own answer untouched.

use crate::shop::{BASELINE, GRAY, OWN_COOKIES};
use crate::stage::{Answer, Stage};

/// What a browser keeps of a site.
#[derive(Debug, Default)]
pub(crate) struct Jar {
    cookies: Vec<(String, String)>,
}

impl Jar {
    /// Takes the cookies that a response sets, and drops those that it ends.
    pub(crate) fn take(&mut self, answer: &Answer) {
        for line in set_cookies(answer) {
            let (pair, attributes) = line.split_once(';').unwrap_or((&line, ""));
            let (name, value) = pair.split_once('=').expect("a pair");
            self.cookies.retain(|(known, _)| known != name);
            if !attributes.contains("Max-Age=0") {
                self.cookies.push((name.into(), value.into()));
            }
        }
    }

    /// The `cookie` header.
    pub(crate) fn header(&self) -> String {
        let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }
}

/// Every `set-cookie` line, in order.
pub(crate) fn set_cookies(answer: &Answer) -> Vec<String> {
    let lines = answer.reply.headers.get_all("set-cookie").iter();
    lines.map(|line| line.to_str().expect("text").to_owned()).collect()
}

/// The lines that are not web's own.
fn ours(answer: &Answer) -> Vec<String> {
    let mut lines = set_cookies(answer);
    for own in OWN_COOKIES {
        let before = lines.len();
        lines.retain(|line| line != own);
        assert_eq!(lines.len() + 1, before, "{own} is there once");
    }
    lines
}

pub(crate) async fn cookies(stage: &Stage) {
    let client = stage.client();
    let mut jar = Jar::default();
    let first = stage.get(&client, "/cart", &[("cookie", "gray=1")]).await;
    assert_eq!(first.path(), GRAY);
    let [cookie] = ours(&first).try_into().expect("one cookie");
    assert!(cookie.starts_with("canary-lane=gray~"), "{cookie}");
    jar.take(&first);
    assert!(jar.header().contains("canary-lane=gray~"), "{jar:?}");

    // Known now: in the lane without the rule, and nothing is set again.
    let again = stage.get(&client, "/cart", &[("cookie", &jar.header())]).await;
    assert_eq!((again.path(), ours(&again)), (GRAY.to_vec(), vec![]));
    // Another rule, which keeps nobody.
    let other = stage.get(&client, "/cart", &[("cookie", &jar.header()), ("x-user", "blue-x")]).await;
    assert_eq!((other.path()[3], ours(&other)), ("price-blue", vec![]));
    // Nobody's.
    let nobody = stage.get(&client, "/cart", &[]).await;
    assert_eq!((nobody.path(), ours(&nobody)), (BASELINE.to_vec(), vec![]));
    // A cookie that vouches for nothing is ended.
    let forged = stage.get(&client, "/cart", &[("cookie", "canary-lane=gray~0~r~1~k1~x")]).await;
    let [ended] = ours(&forged).try_into().expect("one cookie");
    assert!(ended.starts_with("canary-lane=;") && ended.contains("Max-Age=0"), "{ended}");
    assert_eq!(forged.path(), BASELINE);
}

/// Web says that anybody may keep its answers: not those of a lane, and not those that set a cookie.
pub(crate) async fn caches(stage: &Stage) {
    let client = stage.client();
    let cache_control = |answer: &Answer| {
        let lines = answer.reply.headers.get_all("cache-control").iter();
        lines.map(|line| line.to_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    let nobody = stage.get(&client, "/cart", &[]).await;
    assert_eq!(cache_control(&nobody), ["public, max-age=60"]);
    assert!(nobody.reply.headers.contains_key("surrogate-control"));
    for (cookie, user) in [("gray=1", ""), ("x=1", "blue-x"), ("canary-lane=forged", "")] {
        let answer = stage.get(&client, "/cart", &[("cookie", cookie), ("x-user", user)]).await;
        assert_eq!(cache_control(&answer), ["private, max-age=60"], "{cookie} {user}");
        assert!(!answer.reply.headers.contains_key("surrogate-control"), "{cookie} {user}");
        assert_eq!(answer.reply.headers["vary"], "accept-encoding");
    }
}

pub(crate) async fn lane_shown(stage: &Stage) {
    let client = stage.client();
    for (cookie, lane) in [("gray=1", Some("gray")), ("blue=1", Some("blue")), ("none=1", None)] {
        let answer = stage.get(&client, "/cart", &[("cookie", cookie)]).await;
        assert_eq!(answer.reply.header("x-canary-lane").as_deref(), lane);
    }
}

/// The app's own answers that are no success: ours comes beside what they bear.
pub(crate) async fn failures(stage: &Stage) {
    let client = stage.client();
    for code in [301, 404, 500, 503] {
        let answer = stage.get(&client, &format!("/_status?code={code}"), &[("cookie", "gray=1")]).await;
        assert_eq!((answer.reply.status.as_u16(), answer.path()), (code, vec!["web-v2"]));
        assert_eq!(ours(&answer).len(), 1, "{code}");
    }
}
