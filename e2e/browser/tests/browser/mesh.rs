//! The mesh's view: lanes, services, flows.

use canary_browser_tests::browser::{DESK, Look, PHONE, Page};

use crate::Stage;

/// The places that serve what is chosen: `web/v2 own`.
const SERVING: &str = "[...document.querySelectorAll('.node')].filter((node) => node.querySelector('.serves')).map((node) =>
    `${node.querySelector('.title').firstChild.textContent}/${node.querySelector('.serves .version').textContent} ${
        ['own', 'fallback', 'refused'].find((how) => node.classList.contains(how))}`).sort()";

async fn choose(page: &Page, lane: &str) {
    page.click(&format!("label.lane:has(input[value='{lane}'])")).await;
    page.until("the lane is chosen", &format!("document.querySelector('input[value={lane:?}]').checked"))
        .await;
}

pub(crate) async fn a_lane_that_is_chosen_is_drawn_over_the_services(stage: &'static Stage) {
    let page = stage.browser.open(&stage.demo.url, DESK).await;
    let address: String = page.get("location.href").await;
    assert!(!address.contains("token"), "the token does not stay in the address: {address}");
    choose(&page, "gray").await;
    let serving: Vec<String> = page.get(SERVING).await;
    assert_eq!(serving, ["cart/v1 fallback", "price/v2 own", "stock/v2 own", "web/v2 own"]);
    let words = page.text("#graph-words").await;
    assert_eq!(words, "Lane gray has its own version of web, stock, price and falls back at cart.");
    let ways: usize = page.get("document.querySelectorAll('.way.on').length").await;
    assert_eq!(ways, 4);
    choose(&page, "dev-alice").await;
    let serving: Vec<String> = page.get(SERVING).await;
    assert_eq!(serving, ["cart/v1 fallback", "price/alice own", "stock/v1 fallback", "web/v1 fallback"]);
    let detail = page.text("#lane-detail").await;
    for part in ["header x-dev = alice", "shop/price", "price-alice", "9 of 9 have it"] {
        assert!(detail.contains(part), "{part} is not in {detail}");
    }
    page.close().await;
}

pub(crate) async fn a_flow_sent_by_the_keyboard_alone_shows_its_tree(stage: &'static Stage) {
    let page = stage.browser.open(&stage.demo.url, DESK).await;
    page.tab_to("input[name=lane]").await;
    page.press("ArrowDown").await;
    page.until("the first lane is chosen", "document.querySelector('.detail')").await;
    let before: usize = page.get("document.querySelectorAll('.flow').length").await;
    page.tab_to("input[name=path]").await;
    page.tab_to("input[name=cookie]").await;
    page.type_in("gray=1").await;
    page.tab_to("#flow-form button").await;
    page.press("Enter").await;
    page.until("one flow more", &format!("document.querySelectorAll('.flow').length === {}", before + 1))
        .await;
    page.until(
        "its tree is shown",
        "document.querySelector('.flow[aria-pressed=true]') && document.querySelector('.hop-why')",
    )
    .await;
    let hops: Vec<String> =
        page.get("[...document.querySelectorAll('.hop-name')].map((hop) => hop.textContent.trim())").await;
    assert_eq!(hops, ["gateway", "web v2", "cart v1", "stock v2", "price v2"]);
    let tree = page.text("#flow-tree").await;
    for part in ["rule 1 (testers): cookie gray = 1", "from baggage", "cart dropped the header"] {
        assert!(tree.contains(part), "{part} is not in {tree}");
    }
    let focus: String = page.get("document.activeElement.textContent").await;
    assert_eq!(focus, "Send", "the focus stays where one works");
    page.close().await;
}

pub(crate) async fn a_lane_turned_off_takes_nobody_and_comes_back(stage: &'static Stage) {
    // The one that is clicked on is opened last, and so in front.
    let other = stage.browser.open(&stage.demo.url, DESK).await;
    let page = stage.browser.open(&stage.demo.url, DESK).await;
    let state = |word: &str| {
        format!("document.querySelector('label.lane:has(input[value=gray]) .state').textContent === '{word}'")
    };
    let sent = async |want: &str| {
        let latest: u64 = page.get("Number(document.querySelector('.flow').dataset.key.split(':')[1])").await;
        page.click("#flow-form button").await;
        let is_there = format!(
            "Number(document.querySelector('.flow').dataset.key.split(':')[1]) > {latest} && \
             document.querySelector('.flow').ariaPressed === 'true' && \
             document.querySelector('.flow .chip').textContent === '{want}'"
        );
        page.until(&format!("a flow that went to {want}"), &is_there).await;
    };
    choose(&page, "gray").await;
    page.run("document.querySelector('[name=cookie]').value = 'gray=1'").await;
    page.click(".detail button").await;
    page.until("the lane is off", &state("off")).await;
    other.until("the other page hears of it", &state("off")).await;
    sent("baseline").await;
    choose(&page, "gray").await;
    page.click(".detail button").await;
    page.until("the lane is on", &state("on")).await;
    sent("gray").await;
    other.close().await;
    page.close().await;
}

/// Proxies are looked at every five seconds, and what they counted in between is shown.
pub(crate) async fn what_goes_over_each_arrow_is_shown(stage: &'static Stage) {
    let page = stage.browser.open(&stage.demo.url, DESK).await;
    page.click("#flow-form button").await;
    // Envoy tells latencies a few seconds after it tells requests.
    let told = "document.querySelectorAll('.load').length === 4 && \
        [...document.querySelectorAll('.way title')].every((way) => way.textContent.endsWith(' ms'))";
    page.until("every arrow has its traffic", told).await;
    let words: Vec<String> =
        page.get("[...document.querySelectorAll('.way title')].map((way) => way.textContent).sort()").await;
    for (way, words) in [
        "gateway → shop/web: ",
        "shop/cart → shop/stock: ",
        "shop/stock → shop/price: ",
        "shop/web → shop/cart: ",
    ]
    .iter()
    .zip(&words)
    {
        assert!(words.starts_with(way) && words.contains("/s · "), "{words}");
    }
    page.click("#traffic summary").await;
    let rows: usize = page.get("document.querySelectorAll('#traffic-rows tr').length").await;
    assert_eq!(rows, 4);
    page.close().await;
}

/// The demo fails no request: the page is told of failures, and asked in the same go, for it is told of the demo's soon.
pub(crate) async fn arrows_that_fail_are_told_apart(stage: &'static Stage) {
    let page = stage.browser.open(&stage.demo.url, PHONE).await;
    let told = "(async () => {
        const { show } = await import('./page/traffic.js');
        const from = 'shop/a-service-with-a-long-name';
        const edge = (to, failed_percent, p95_ms) => ({ from, to, per_s: 12.3, failed_percent, p95_ms });
        const edges = [edge('shop/cart', 2.5, 41), edge('shop/stock', 0, null)];
        show({ traffic: { edges, lacks: 'one <b>is</b> silent' } }, 'traffic');
        document.querySelector('#traffic').open = true;
        const text = (row) => `${row.className}|${[...row.children].map((cell) => cell.textContent).join('|')}`;
        return [
            document.documentElement.scrollWidth, document.querySelector('#traffic-lacks').textContent,
            [...document.querySelectorAll('#traffic-rows tr')].map(text),
        ];
    })()";
    let (width, lacks, rows): (u32, String, Vec<String>) = page.get(told).await;
    assert!(width <= PHONE.width, "{width}");
    let want = [
        "failing|shop/a-service-with-a-long-name → shop/cart|12|2.5 %|41 ms",
        "|shop/a-service-with-a-long-name → shop/stock|12|0 %|–",
    ];
    assert_eq!(rows, want);
    assert_eq!(lacks, "one <b>is</b> silent");
    page.close().await;
}

pub(crate) async fn what_cannot_be_sent_is_said(stage: &'static Stage) {
    let page = stage.browser.open(&stage.demo.url, DESK).await;
    page.run("document.querySelector('[name=path]').value = 'cart'").await;
    page.click("#flow-form button").await;
    page.until(
        "the refusal is shown",
        "document.querySelector('#said.failed')?.textContent.includes('starts with `/`')",
    )
    .await;
    page.close().await;
}

pub(crate) async fn five_hundred_services_are_drawn_at_once(stage: &'static Stage) {
    const SERVICES: usize = 500;
    /// As long as nobody notices, with room for a machine that does other things.
    const MS_MAX: f64 = 2_000.0;
    let page = stage.browser.open(&stage.demo.url, DESK).await;
    let laid = format!(
        "(async () => {{
            const {{ layout }} = await import('./page/layout.js');
            const nodes = Array.from({{ length: {SERVICES} }}, (_, at) => ({{ id: `s${{at}}`, width: 156, height: 78 }}));
            const edges = [];
            for (let at = 1; at < {SERVICES}; at += 1) {{
                edges.push({{ from: `s${{Math.floor(at / 3)}}`, to: `s${{at}}` }});
                if (at % 5 === 0) edges.push({{ from: `s${{at}}`, to: `s${{(at * 7) % {SERVICES}}}` }});
            }}
            const started = performance.now();
            const laid = layout(nodes, edges);
            const ms = performance.now() - started;
            const places = [...laid.places].filter(([id]) => nodes.some((node) => node.id === id)).map(([, place]) => place);
            let over = 0;
            places.forEach((a, at) => places.slice(at + 1).forEach((b) => {{
                if (Math.abs(a.x - b.x) < 155 && Math.abs(a.y - b.y) < 77) over += 1;
            }}));
            const inside = places.every(({{ x, y }}) => x >= 77 && y >= 38 && x <= laid.width - 77 && y <= laid.height - 38);
            return {{ ms, over, inside, places: places.length, ways: laid.ways.length, edges: edges.length }};
        }})()"
    );
    let laid: serde_json::Value = page.get(&laid).await;
    assert_eq!(
        (&laid["over"], &laid["inside"], &laid["places"]),
        (&0.into(), &true.into(), &SERVICES.into()),
        "{laid}"
    );
    assert!(laid["ways"].as_u64() > Some(480), "{laid}");
    assert!(laid["ms"].as_f64().is_some_and(|ms| ms < MS_MAX), "{laid}");
    page.close().await;
}

/// The demo is small: the page is told of more, and asked in the same go.
pub(crate) async fn very_many_arrows_are_in_bundles_and_those_of_one_service_in_front(stage: &'static Stage) {
    let page = stage.browser.open(&stage.demo.url, DESK).await;
    let told = "(async () => {
        const { show } = await import('./page/graph.js');
        const services = Array.from({ length: 500 }, (_, at) => ({
            id: `shop/s${at}`, namespace: 'shop', name: `s${at}`, workloads: [{ name: `s${at}-v1`, version: 'v1', lane: null }],
        }));
        const calls = Array.from({ length: 5000 }, (_, at) => ({
            from: `shop/s${at % 250}`, to: `shop/s${250 + (at % 250 + Math.floor(at / 250)) % 250}`,
        }));
        const edge = (call, at) => ({ ...call, per_s: 1, failed_percent: at < 3 ? 5 : 0, p95_ms: 10 });
        const state = {
            names: () => [], lanes: [], lane: null, flow: null, flows: [], traffic: { edges: calls.map(edge), lacks: null },
            graph: { services, calls, entries: ['shop/s0'], calls_from: null, paths: {} },
        };
        const count = (selector) => document.querySelectorAll(selector).length;
        const over = (selector) => document.querySelector(selector)
            .dispatchEvent(new PointerEvent('pointerover', { bubbles: true }));
        show(state, 'graph');
        const all = [count('.node'), count('.bundle'), count('.way'), count('.way.failing')];
        const before = [...document.querySelectorAll('.node')];
        over('[data-id=\"shop/s7\"]');
        const pointed = [count('.way'), count('.node.near'), count('.picked')];
        const graph = document.querySelector('#graph');
        graph.scrollTo(40, 300);
        calls.pop();
        show(state, 'graph');
        const place = [graph.scrollLeft > 0, graph.scrollTop];
        const kept = [...document.querySelectorAll('.node')].filter((node, at) => node === before[at]).length;
        const find = document.querySelector('#find');
        find.value = 's300';
        find.dispatchEvent(new Event('input'));
        const found = [document.querySelector('.found').dataset.id, count('.way'), document.querySelector('#finder').hidden];
        services.find((one) => one.name === 's300').workloads.push({ name: 's300-v2', version: 'v2', lane: null });
        show(state, 'graph');
        const still = [document.querySelector('.found')?.dataset.id, count('.way')];
        state.graph.services = services.filter((one) => one.name !== 's300');
        state.graph.calls = calls.filter((one) => one.to !== 'shop/s300');
        show(state, 'graph');
        const gone = [count('.found'), count('.picked')];
        return { all, pointed, place, kept, found, still, gone };
    })()";
    let told: serde_json::Value = page.get(told).await;
    let want = serde_json::json!({
        // A gateway, and its arrow; those that fail are in front while nothing is pointed at.
        "all": [501, 105, 3, 3], "pointed": [20, 21, 1], "place": [false, 300], "kept": 501, "found": ["shop/s300", 20, false],
        "still": ["shop/s300", 20], "gone": [0, 0],
    });
    assert_eq!(told, want);
    page.close().await;
}

pub(crate) async fn flows_of_a_watched_lane_are_a_tree(stage: &'static Stage) {
    let page = stage.browser.open(&stage.demo.url, PHONE).await;
    let told = "(async () => {
        const { show } = await import('./page/flows.js');
        const hop = (name, more) => ({
            name, service: `${name}.shop`, version: 'v1', seen: true, sure: true, tag: 'gray', lane: 'gray', from: 'header',
            status: 200, tookUs: 1500, calls: [], ...more,
        });
        const calls = [hop('gateway', { from: undefined, calls: [
            hop('web', { calls: [hop('cart', { lane: undefined }), hop('stock', { sure: false, status: 503 })] }),
        ] })];
        const flow = {
            id: 1, at_unix_s: 1767225610, request: 'GET /a', status: 200, lane: 'gray', calls, unheard: ['one <b>is</b> silent'],
            culprits: ['lost: cart v1 drops gray'],
        };
        const state = {
            names: () => ['gray'], about: { watches_lanes: true, sends_flows: false }, server: { read_only: false },
            lane: 'gray', flow: 1, flows: [flow], watch: { lane: 'gray', on: true, failed: false, words: 'well' },
        };
        const text = (selector) => [...document.querySelectorAll(selector)].map((one) => one.textContent);
        show(state, 'flows');
        const shown = [
            text('#watch button'), text('#flow-tree .hop-name').map((name) => name.trim()), text('#flow-tree .hop-why'),
            text('#flow-tree .trouble'), [document.querySelector('#flow-form').hidden],
        ];
        const depth = document.querySelectorAll('#flow-tree .hops .hops .hops').length;
        const width = document.documentElement.scrollWidth;
        state.server.read_only = true;
        show(state, 'server');
        return { shown, depth, width, isGone: document.querySelector('#flows').hidden };
    })()";
    let told: serde_json::Value = page.get(told).await;
    let shown = serde_json::json!([
        ["Stop watching lane gray"],
        ["gateway.shop v1", "web.shop v1", "cart.shop v1", "stock.shop v1"],
        ["falls back: the lane has no version here", "perhaps of another request"],
        ["lost: cart v1 drops gray"],
        [true],
    ]);
    assert_eq!(
        (&told["shown"], &told["depth"], &told["isGone"]),
        (&shown, &1.into(), &true.into()),
        "{told}"
    );
    assert!(told["width"].as_u64().is_some_and(|width| width <= u64::from(PHONE.width)), "{told}");
    page.close().await;
}

pub(crate) async fn nothing_is_wider_than_a_phone(stage: &'static Stage) {
    for look in [PHONE, Look { dark: true, ..PHONE }, DESK] {
        let page = stage.browser.open(&stage.demo.url, look).await;
        choose(&page, "gray").await;
        page.click(".flow").await;
        for view in ["mesh", "playground"] {
            page.run(&format!("location.hash = '#{view}'")).await;
            page.until("the view is shown", &format!("!document.querySelector('#{view}').hidden")).await;
            let width: u32 = page.get("document.documentElement.scrollWidth").await;
            assert!(width <= look.width, "{view} is {width} wide on {}", look.width);
        }
        page.close().await;
    }
}

/// The demo has no developers: the page is told of some.
pub(crate) async fn whoever_has_a_service_is_listed(stage: &'static Stage) {
    let page = stage.browser.open(&stage.demo.url, PHONE).await;
    let is_hidden: bool = page.get("document.querySelector('#takeovers').hidden").await;
    assert!(is_hidden, "nobody has anything");
    let told = "(async () => {
        const { show } = await import('./page/takeovers.js');
        const one = (name, state, message) => ({
            name, service: 'shop/a-service-with-a-long-name', owner: `${name} on laptop`, what: `header x-dev = ${name}`,
            state, message, since_unix_s: 1767225610,
        });
        show({ takeovers: [one('alice', 'on', ''), one('bob', 'away', 'nobody <b>answers</b>')] }, 'takeovers');
        return document.documentElement.scrollWidth;
    })()";
    let width: u32 = page.get(told).await;
    assert!(width <= PHONE.width, "{width}");
    let rows: Vec<String> =
        page.get("[...document.querySelectorAll('#takeover-list li')].map((row) => row.textContent)").await;
    assert_eq!(rows.len(), 2, "{rows:?}");
    for (row, parts) in rows.iter().zip([
        ["shop/a-service-with-a-long-name", "on", "header x-dev = alice", "alice on laptop since"],
        ["away", "header x-dev = bob", "bob on laptop since", "nobody <b>answers</b>"],
    ]) {
        for part in parts {
            assert!(row.contains(part), "{part} is not in {row}");
        }
    }
    page.close().await;
}
