//! Tags that outsiders make up: in every carrier, in every spelling. None is believed.

use canary_e2e::staged::keys;
use canary_localmesh::GATEWAY;
use canary_rules::name::LaneName;
use canary_rules::request_id::RequestIds;
use canary_rules::signing::{self, Assigned, Purpose, Ticket};

use crate::shop::{ALIAS, BASELINE, GRAY};
use crate::stage::{Answer, Stage};

/// Long after any test.
const EXPIRES_UNIX_S: u64 = 4_000_000_000;

fn token(ring: &str, purpose: Purpose, lane: &str) -> String {
    let lane = LaneName::new(lane).expect("a lane");
    let ticket = Ticket { lane, epoch: 0, assigned: Assigned::Rule, expires_unix_s: EXPIRES_UNIX_S };
    signing::sign(&keys(&[ring]), purpose, &ticket)
}

async fn get(stage: &Stage, path: &str, headers: &[(&str, &str)]) -> Answer {
    stage.get(&stage.client(), path, headers).await
}

/// No app must see anything of a tag.
#[track_caller]
fn untouched_by_any_lane(answer: &Answer, what: &str) {
    assert_eq!(answer.path(), BASELINE, "{what}");
    for hop in answer.tree.walk() {
        for name in ["x-canary-lane", ALIAS] {
            assert_eq!(hop.received(name), None, "{what} at {}", hop.instance);
        }
        let baggage = hop.received.get("baggage").cloned().unwrap_or_default().join(",");
        assert!(!baggage.contains("canary-lane"), "{what} at {}: {baggage}", hop.instance);
    }
}

/// Headers that name a lane, and a header that has to arrive as it is.
pub(crate) async fn tags(stage: &Stage) {
    let forgeries: [&[(&str, &str)]; 13] = [
        &[("x-canary-lane", "gray")],
        &[("X-Canary-Lane", " gray ")],
        &[("x-canary-lane", "nosuch"), ("x-canary-lane", "gray")],
        &[("x-canary-lane", "gray"), ("x-canary-lane", "gray"), ("x-canary-lane", "gray")],
        &[("x-canary-lane", "")],
        &[("baggage", "canary-lane=gray")],
        &[("baggage", "a=1"), ("baggage", "canary-lane=gray")],
        &[("baggage", "a=1,canary-lane=nosuch"), ("baggage", "b=2;p=1, canary-lane = gray ;ttl=1 , c=3")],
        &[("baggage", "canary-lane=gray,canary-lane=blue")],
        &[(ALIAS, "gray")],
        &[(ALIAS, "nosuch"), (ALIAS, "gray")],
        &[("x-canary-lane", "gray"), (ALIAS, "gray"), ("baggage", "canary-lane=gray")],
        &[("x-canary-lane", "blue"), (ALIAS, "gray")],
    ];
    let before = stage.flushed(GATEWAY).await;
    let forward = "/cart?forward=x-canary-lane,baggage,x-mse-tag,x-request-id";
    for forgery in forgeries {
        untouched_by_any_lane(&get(stage, forward, forgery).await, &format!("{forgery:?}"));
    }
    let after = stage.flushed(GATEWAY).await;
    assert_eq!(after.since(&before, "forged"), forgeries.len() as u64);
    // Beside a rule that puts the request in a lane, the forged tag still counts for nothing.
    for (name, value) in [("x-canary-lane", "blue"), ("baggage", "canary-lane=blue"), (ALIAS, "blue")] {
        let answer = get(stage, "/cart", &[("cookie", "gray=1"), (name, value)]).await;
        assert_eq!(answer.path(), GRAY, "{name}");
    }
    // What others put in the baggage stays, byte for byte.
    let kept =
        get(stage, "/cart", &[("baggage", "a=1 ; p=%20,,b=2"), ("baggage", "canary-lane=gray,c=\u{e9}")])
            .await;
    let baggage = kept.tree.received.get("baggage").expect("baggage").join(",");
    assert!(baggage.starts_with("a=1 ; p=%20") && baggage.ends_with("c=\u{e9}"), "{baggage}");
}

/// Request ids that look minted: by nobody, by someone else's key, and even by ours.
pub(crate) async fn request_ids(stage: &Stage) {
    let id = b"7d4f8c1e-5b6a-4c3d-9e2f-1a2b3c4d5e6f";
    let gray = LaneName::new("gray").expect("a lane").code();
    for ring in ["k1", "stranger"] {
        let minter = RequestIds::new(keys(&[ring]).derive("canaryctl request id"));
        let minted = minter.mint(id, gray).expect("a UUID");
        let minted = std::str::from_utf8(&minted).expect("text");
        let answer = get(stage, "/cart?forward=x-request-id", &[("x-request-id", minted)]).await;
        untouched_by_any_lane(&answer, ring);
        // Neighbours are believed what they say, if it is minted with the mesh's key.
        let cart = stage.mesh.inbound_address("cart-v1").expect("known");
        let cart = canary_localmesh::Client::new(cart, canary_localmesh::Protocol::Http1);
        let reply = cart.get("cart.shop", "/?forward=x-request-id", &[("x-request-id", minted)]).await;
        let path = if ring == "k1" { &GRAY[1..] } else { &BASELINE[1..] };
        assert_eq!(Answer::read(reply.expect("a response")).path(), path, "{ring}");
    }
    let code = format!("7d4f8c1e-5b6a-4c3d-9e2f-{:04x}00000000", gray.0);
    let answer = get(stage, "/cart?forward=x-request-id", &[("x-request-id", &code)]).await;
    untouched_by_any_lane(&answer, "a code without its MAC");
}

/// Cookies, links and tag headers: ours are believed, anybody else's are counted.
pub(crate) async fn tokens(stage: &Stage) {
    let cookie = |token: &str| vec![("cookie", format!("canary-lane={token}"))];
    let ours = token("k1", Purpose::Cookie, "gray");
    let cut = &ours[..ours.len() - 1];
    let other_lane = ours.replacen("gray", "blue", 1);
    let by_stranger = token("stranger", Purpose::Cookie, "gray");
    let renamed = by_stranger.replace("~stranger~", "~k1~");
    let for_link = token("k1", Purpose::Link, "gray");
    let for_cookie = ours.clone();

    let before = stage.flushed(GATEWAY).await;
    let mut rejected = 0;
    for (what, headers, counts) in [
        ("a cookie of another's key", cookie(&by_stranger), true),
        ("a cookie of another's key under our key's name", cookie(&renamed), true),
        ("our cookie for another lane", cookie(&other_lane), true),
        ("our link in a cookie", cookie(&for_link), true),
        ("our cookie in the tag header", vec![("x-canary-lane", for_cookie)], true),
        ("our cookie cut short", cookie(cut), false),
        ("a lane's bare name", cookie("gray"), false),
        ("nothing", cookie(""), false),
    ] {
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        untouched_by_any_lane(&get(stage, "/cart", &headers).await, what);
        rejected += u64::from(counts);
    }
    let link = format!("/cart?canary-lane={}", token("stranger", Purpose::Link, "gray"));
    untouched_by_any_lane(&get(stage, &link, &[]).await, "a link of another's key");
    assert_eq!(stage.flushed(GATEWAY).await.since(&before, "rejected_signatures"), rejected + 1);

    let before = stage.flushed(GATEWAY).await;
    let (link, header) = (token("k1", Purpose::Link, "gray"), token("k1", Purpose::Header, "gray"));
    let own_cookie = format!("canary-lane={ours}");
    for (path, headers) in [
        ("/cart", vec![("cookie", own_cookie.as_str())]),
        ("/cart", vec![("x-canary-lane", header.as_str())]),
        (format!("/cart?canary-lane={link}").as_str(), vec![]),
    ] {
        assert_eq!(get(stage, path, &headers).await.path(), GRAY, "{path} {headers:?}");
    }
    let after = stage.flushed(GATEWAY).await;
    assert_eq!((after.since(&before, "rejected_signatures"), after.since(&before, "forged")), (0, 0));
}
