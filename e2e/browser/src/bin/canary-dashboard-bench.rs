//! How fast the dashboard is in a browser: `canary-dashboard-bench BROWSER LARGE_MESH DOCUMENT` measures it and writes its
//! section of the document.
//!
//! Asserts no times; that each part did what it is there for, it asserts.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use canary_browser_tests::browser::{Browser, DESK, Page};
use canary_report::document;
use canary_report::stats::Sample;
use canary_report::usage::{self, Machine};
use serde::Deserialize;
use tokio::time::Instant;

/// What the line with the page's address begins with.
const PAGE: &str = "Picture:";
/// Services and calls: as the demo has them, and very many.
const SIZES: [(usize, usize); 2] = [(5, 4), (500, 5_000)];
/// How often a page is opened.
const OPENED: usize = 7;
/// How long each thing is done.
const DONE_FOR: Duration = Duration::from_secs(10);
/// How often the wheel is turned, or the mouse moved: as often as frames come.
const MOVED_EVERY: Duration = Duration::from_millis(16);
/// How far the wheel goes in a turn, and after how many it turns back.
const WHEEL: f64 = 40.0;
const WHEEL_TURNS: usize = 60;

/// Counts frames and long tasks from the beginning; a task is long from 50 ms on, as browsers have it.
const WATCH: &str = "window.measured = { frames: [], tasks: [], picked: 0, drawn: null };
    new PerformanceObserver((list) => measured.tasks.push(...list.getEntries().map((one) => one.duration)))
        .observe({ type: 'longtask', buffered: true });
    (function frame(now) {
        if (now) measured.frames.push(now);
        if (document.querySelector('.picked')) measured.picked += 1;
        if (now && measured.drawn === null && document.querySelector('.node')) measured.drawn = now;
        requestAnimationFrame(frame);
    })();";

/// Forgets what was before.
const BEGIN: &str = "measured.frames = []; measured.tasks = []; measured.picked = 0;";
/// Says what was.
const END: &str = "({ frames: measured.frames, tasks: measured.tasks, picked: measured.picked })";

/// Where the graph is in the window.
const PLACE: &str = "(({ x, y, width, height }) => [x, y, width, height])(
    document.querySelector('#graph').getBoundingClientRect())";
/// How far it is scrolled.
const SEEN: &str = "(({ scrollLeft, scrollTop }) => [scrollLeft, scrollTop])(
    document.querySelector('#graph'))";

const TO_THE_MIDDLE: &str =
    "((graph) => graph.scrollTo(0, graph.scrollHeight / 2))(document.querySelector('#graph'))";

#[derive(Deserialize)]
struct Opened {
    painted_ms: f64,
    drawn_ms: f64,
    longest_task_ms: f64,
}

#[derive(Deserialize)]
struct Frames {
    frames: Vec<f64>,
    tasks: Vec<f64>,
    /// Those with a service that is pointed at.
    picked: usize,
}

/// What is done while the mesh changes.
#[derive(Clone, Copy)]
enum Done {
    Nothing,
    Scrolls,
    Pans,
    Points,
}

const ALL: [(&str, Done); 4] = [
    ("nothing else", Done::Nothing),
    ("scrolls through the graph", Done::Scrolls),
    ("has it at full size and pans both ways", Done::Pans),
    ("moves the mouse over the services", Done::Points),
];

/// A served mesh, ended when dropped.
struct Mesh {
    process: Child,
    url: String,
}

impl Mesh {
    fn start(program: &str, (services, calls): (usize, usize)) -> Self {
        let mut command = Command::new(program);
        command.args([services.to_string(), calls.to_string()]).stdout(Stdio::piped());
        let mut process = command.spawn().expect("the mesh is served");
        let mut line = String::new();
        let mut told = BufReader::new(process.stdout.take().expect("piped"));
        told.read_line(&mut line).expect("it says where");
        let url = line.strip_prefix(PAGE).expect("an address").trim().to_owned();
        Self { process, url }
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [browser, program, document] = &arguments[..] else { panic!("wanted: BROWSER LARGE_MESH DOCUMENT") };
    let before = usage::load_average();
    let browser = Browser::launch(browser).await;
    let mut opened = Vec::new();
    for size in SIZES {
        let mesh = Mesh::start(program, size);
        let mut times = Vec::new();
        for _ in 0..OPENED {
            times.push(open(&browser, &mesh.url, size.0).await);
        }
        opened.push(times);
    }
    let [_, large] = SIZES;
    let mesh = Mesh::start(program, large);
    let page = browser.open_with(WATCH, &mesh.url, DESK).await;
    page.until("all is drawn", &drawn(large.0)).await;
    let mut rows = Vec::new();
    for (name, done) in ALL {
        let frames = watch(&page, done).await;
        eprintln!("measured   {name}");
        rows.push((name, frames));
    }
    page.close().await;
    let version = browser.version().await;
    browser.end().await;
    let section = section(&opened, &rows, &version, [before, usage::load_average()]);
    let whole = std::fs::read_to_string(document).expect("the document");
    std::fs::write(document, document::put(&whole, &section)).expect("written");
    eprintln!("report     {document}");
}

/// Whether so many services are drawn; the gateway is a node, too.
fn drawn(services: usize) -> String {
    format!("document.querySelectorAll('.node').length === {}", services + 1)
}

async fn open(browser: &Browser, url: &str, services: usize) -> Opened {
    let page = browser.open_with(WATCH, url, DESK).await;
    page.until("all is drawn", &drawn(services)).await;
    page.until("it is on the screen", "measured.drawn !== null").await;
    let told = "({
        painted_ms: performance.getEntriesByName('first-contentful-paint')[0].startTime,
        drawn_ms: measured.drawn, longest_task_ms: Math.max(0, ...measured.tasks),
    })";
    let opened = page.get(told).await;
    page.close().await;
    opened
}

/// Does it for a while, and says what frames there were.
async fn watch(page: &Page, done: Done) -> Frames {
    if matches!(done, Done::Pans) {
        page.run("for (let at = 0; at < 5; at += 1) document.querySelector('#zoom-in').click()").await;
    }
    if matches!(done, Done::Points) {
        page.click("#zoom-fit").await;
        page.run(TO_THE_MIDDLE).await;
    }
    page.run("document.querySelector('#graph').scrollIntoView({ block: 'center' })").await;
    let (left, top, width, height): (f64, f64, f64, f64) = page.get(PLACE).await;
    let middle = (left + width / 2.0, top + height / 2.0);
    page.run(BEGIN).await;
    let until = Instant::now() + DONE_FOR;
    let mut farthest = (0.0, 0.0);
    for turn in 0_usize.. {
        let next = Instant::now() + MOVED_EVERY;
        let way = if (turn / WHEEL_TURNS).is_multiple_of(2) { WHEEL } else { -WHEEL };
        match done {
            Done::Nothing => {}
            Done::Scrolls => page.turn_wheel(middle, (0.0, way)).await,
            Done::Pans => page.turn_wheel(middle, (way, way)).await,
            Done::Points => {
                let along = |step: f64, size: f64| (turn as f64 * step) % (size * 0.9) + size * 0.05;
                page.point_at((left + along(7.0, width), top + along(3.0, height))).await;
            }
        }
        if turn % WHEEL_TURNS == WHEEL_TURNS / 2 {
            let (right, down): (f64, f64) = page.get(SEEN).await;
            farthest = (f64::max(farthest.0, right), f64::max(farthest.1, down));
        }
        if next > until {
            break;
        }
        tokio::time::sleep_until(next).await;
    }
    let frames: Frames = page.get(END).await;
    match done {
        Done::Nothing => {}
        Done::Scrolls => assert!(farthest.1 > 0.0, "nothing was scrolled"),
        Done::Pans => assert!(farthest.0 > 0.0 && farthest.1 > 0.0, "nothing was panned: {farthest:?}"),
        Done::Points => assert!(frames.picked > 0, "no service was pointed at"),
    }
    frames
}

fn section(
    opened: &[Vec<Opened>],
    rows: &[(&str, Frames)],
    version: &str,
    [before, after]: [String; 2],
) -> String {
    let Machine { model, cores, kernel } = Machine::this();
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d");
    let median = |times: &[Opened], of: fn(&Opened) -> f64| Sample::new(times.iter().map(of)).median();
    let open_rows = SIZES.iter().zip(opened).map(|((services, calls), times)| {
        let task = median(times, |one| one.longest_task_ms);
        format!(
            "| {services} | {calls} | {:.0} ms | {:.0} ms | {} |\n",
            median(times, |one| one.painted_ms),
            median(times, |one| one.drawn_ms),
            if task > 0.0 { format!("{task:.0} ms") } else { "below 50 ms".into() },
        )
    });
    let frame_rows = rows.iter().map(|(name, Frames { frames, tasks, .. })| {
        let gaps = Sample::new(frames.windows(2).map(|pair| pair[1] - pair[0]));
        let seconds = frames.last().zip(frames.first()).map_or(0.0, |(last, first)| (last - first) / 1000.0);
        let longest = tasks.iter().copied().fold(0.0, f64::max);
        format!(
            "| {name} | {:.0} | {:.0} ms | {:.0} ms | {} | {} |\n",
            (frames.len().saturating_sub(1)) as f64 / seconds.max(f64::MIN_POSITIVE),
            gaps.quantile(0.99),
            gaps.quantile(1.0),
            tasks.len(),
            if tasks.is_empty() { "–".into() } else { format!("{longest:.0} ms") },
        )
    });
    format!(
        "## The dashboard\n\n\
         The page of the built binary's code in a browser on the same machine, with meshes that are made up. Nothing here is \
         asserted.\n\n\
         | | |\n|---|---|\n\
         | date | {date} |\n\
         | command | `cargo xtask bench --dashboard` |\n\
         | machine | {model}, {cores} cores, Linux {kernel} |\n\
         | load average | {before} before, {after} after |\n\
         | browser | {version}, without a window and without a graphics processor |\n\n\
         From the address to the first content on the screen, to the first frame with the graph, and the longest task of the \
         page's thread until then; medians of {OPENED}:\n\n\
         | services | calls | first paint | graph | longest task |\n|---:|---:|---:|---:|---:|\n{}\n\
         With the larger of these, while the traffic of every call changes once a second and every five seconds a call comes or \
         goes, whoever looks …\n\n\
         | | frames/s | 99 % of frames after | longest | tasks over 50 ms | longest |\n|---|---:|---:|---:|---:|---:|\n{}\n\
         Frames are those that the browser asks the page for, in {} s each; it asks for at most 60 in a second.\n",
        open_rows.collect::<String>(),
        frame_rows.collect::<String>(),
        DONE_FOR.as_secs(),
    )
}
