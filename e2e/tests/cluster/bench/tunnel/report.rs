//! The section of the document.

use std::fmt::Write as _;
use std::time::Duration;

use canary_e2e::bench::stats::Sample;
use canary_e2e::bench::usage::Machine;

use super::ways::{WAYS, Way};
use super::{ROUNDS, ROUNDS_LOST, Results, Row, STARTS, What};
use crate::cluster::Cluster;

const MILLION: f64 = 1e6;
const GIGABYTE: f64 = 1e9;
/// How far away what is wanted is wanted.
const FAR: Duration = Duration::from_millis(20);
/// What is wanted of both ways of ours.
const OURS: [Way; 2] = [Way::Connect, Way::Run];

/// Where a way's results are.
fn place(way: Way) -> usize {
    WAYS.iter().position(|one| *one == way).unwrap_or_default()
}

impl Row {
    fn of(&self, way: Way) -> &[Vec<f64>] {
        &self.answers[place(way)]
    }

    /// Bytes a second of each round, or the median request in seconds.
    fn numbers(&self, way: Way) -> Vec<f64> {
        let number = |answer: &Vec<f64>| match self.what {
            What::Echo => Sample::new(answer.iter().copied()).median() / MILLION,
            _ => self.distance.bytes as f64 / answer.first().copied().unwrap_or(f64::NAN),
        };
        self.of(way).iter().map(number).collect()
    }

    fn median(&self, way: Way) -> f64 {
        Sample::new(self.numbers(way)).median()
    }

    /// The median of one way's numbers divided by another's of the same round.
    fn ratio(&self, way: Way, to: Way) -> f64 {
        let pairs = self.numbers(way).into_iter().zip(self.numbers(to));
        Sample::new(pairs.map(|(number, other)| number / other)).median()
    }

    /// The same of differences.
    fn above(&self, way: Way, base: Way) -> f64 {
        let pairs = self.numbers(way).into_iter().zip(self.numbers(base));
        Sample::new(pairs.map(|(number, other)| number - other)).median()
    }

    /// A request's quantile over all rounds, in milliseconds.
    fn request_ms(&self, way: Way, share: f64) -> f64 {
        Sample::new(self.of(way).iter().flatten().copied()).quantile(share) / 1000.0
    }

    fn name(&self) -> String {
        let (what, flows) = match self.what {
            What::Get { flows } => ("from the pod", flows),
            What::Put { flows } => ("to the pod", flows),
            What::Echo => return format!("small requests, {}", self.far()),
        };
        let many = if flows == 1 { "" } else { "s" };
        format!("{what}, {flows} flow{many}, {}", self.far())
    }

    fn far(&self) -> String {
        let round_trip = self.distance.round_trip.as_millis();
        match self.distance.lost {
            0 => format!("{round_trip} ms"),
            lost => format!("{round_trip} ms, {} % lost", f64::from(lost) / 10.0),
        }
    }

    /// The newest round in a line.
    pub(super) fn told(&self) -> String {
        let mut text = self.name();
        for way in WAYS {
            let number = self.numbers(way).last().copied().unwrap_or(f64::NAN);
            let _ = match self.what {
                What::Echo => write!(text, "  {} {:.2} ms", way.name(), number * 1000.0),
                _ => write!(text, "  {} {:.1} MB/s", way.name(), number / MILLION),
            };
        }
        text
    }
}

pub(super) fn section(cluster: &Cluster, results: &Results) -> String {
    let Machine { model, cores, kernel } = Machine::this();
    let versions = cluster.kubectl(&["version", "-o", "json"]).ok().json();
    let [before, after] = &results.load;
    format!(
        "## A developer's connection\n\n\
         How fast `canaryctl connect` and `canaryctl run` are beside a connection to the pod's address, beside \
         `kubectl\nport-forward`, and beside `ssh -D` to OpenSSH in a pod by such a forwarded port, which is what kt-connect is \
         made of.\n`cargo xtask bench --tunnel` makes this section. All ways are open at a time and take turns in shuffled \
         order, {ROUNDS} rounds,\n{ROUNDS_LOST} where packets are lost; numbers are medians of the rounds, ratios medians of \
         the ratios within a round. Both ends compare\nevery byte with what was sent.\n\n\
         | | |\n|---|---|\n\
         | date | {} |\n\
         | machine | {model}, {cores} cores, Linux {kernel} |\n\
         | load average | {before} before, {after} after |\n\
         | TCP's congestion control | {} |\n\
         | Kubernetes | {} |\n\
         | canaryctl | {}, built with `--release` |\n\n\
         ### Wanted of it\n\n{}\n### Much at once\n\n{}\n### Small requests\n\n{}\n### The first byte\n\n{}\n### What it costs\n\n{}\n{LIMITS}",
        jiff::Timestamp::now().strftime("%Y-%m-%d"),
        congestion_control().trim(),
        versions["serverVersion"]["gitVersion"].as_str().unwrap_or("unknown"),
        env!("CARGO_PKG_VERSION"),
        targets(results),
        bulk(&results.rows),
        requests(&results.rows),
        starts(results),
        costs(results),
    )
}

/// How this kernel's TCP takes loss.
fn congestion_control() -> String {
    std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").unwrap_or_default()
}

fn targets(results: &Results) -> String {
    let mut text = String::from("| wanted | measured | met |\n|---|---|---|\n");
    let mut target = |wanted: &str, measured: String, is_met: bool| {
        let met = if is_met { "yes" } else { "**no**" };
        let _ = writeln!(text, "| {wanted} | {measured} | {met} |");
    };
    let bulk = || results.rows.iter().filter(|row| row.what != What::Echo);
    for way in OURS {
        let name = way.name();
        let least = |rows: Vec<&Row>, to: Way| {
            let ratios = rows.into_iter().map(|row| (row.ratio(way, to), row.name()));
            ratios.min_by(|one, other| one.0.total_cmp(&other.0)).unwrap_or_default()
        };
        let (ratio, row) = least(bulk().collect(), Way::PortForward);
        let wanted = format!("{name}: much at once never slower than kubectl port-forward");
        target(&wanted, format!("× {ratio:.2} at the least ({row})"), ratio >= 1.0);
        let far = || bulk().filter(|row| row.distance.round_trip == FAR && row.distance.lost == 0).collect();
        let (ratio, row) = least(far(), Way::PortForward);
        let most =
            far().into_iter().map(|row: &Row| row.ratio(Way::Direct, Way::PortForward)).fold(0.0, f64::max);
        target(
            &format!("{name}: three times as fast as kubectl port-forward at 20 ms"),
            format!("× {ratio:.2} at the least ({row}); a direct connection × {most:.2} at the most"),
            ratio >= 3.0,
        );
        let (ratio, row) = least(far(), Way::Direct);
        target(
            &format!("{name}: 60 % of a direct connection at 20 ms"),
            format!("{:.0} % at the least ({row})", ratio * 100.0),
            ratio >= 0.6,
        );
        let (ratio, row) = least(bulk().collect(), Way::Ssh);
        let wanted = format!("{name}: much at once never slower than ssh -D");
        target(&wanted, format!("× {ratio:.2} at the least ({row})"), ratio >= 1.0);
        for row in results.rows.iter().filter(|row| row.what == What::Echo) {
            if row.distance.is_here() {
                let more = row.above(way, Way::Direct) * 1000.0;
                target(
                    &format!("{name}: {}: at most 0.3 ms more than directly", row.name()),
                    format!("{more:+.2} ms"),
                    more <= 0.3,
                );
            }
            let more = row.above(way, Way::PortForward) * 1000.0;
            target(
                &format!("{name}: {}: never slower than kubectl port-forward", row.name()),
                format!("{more:+.2} ms"),
                more <= 0.0,
            );
        }
        let seconds = start(results, way).median();
        target(&format!("{name}: the first byte within 2 s"), format!("{seconds:.1} s"), seconds <= 2.0);
    }
    text
}

fn bulk(rows: &[Row]) -> String {
    let mut text = format!(
        "By all flows together, the connections' making included; MB/s.\n\n| |{}",
        WAYS.map(|way| format!(" {} |", way.name())).concat(),
    );
    text += &OURS.map(|way| format!(" {} ÷ kubectl | ÷ direct |", way.name())).concat();
    text += "\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n";
    for row in rows.iter().filter(|row| row.what != What::Echo) {
        let _ = write!(text, "| {} |", row.name());
        for way in WAYS {
            let _ = write!(text, " {} |", megabytes(row.median(way)));
        }
        for way in OURS {
            let (kubectl, direct) = (row.ratio(way, Way::PortForward), row.ratio(way, Way::Direct));
            let _ = write!(text, " {kubectl:.2} | {direct:.2} |");
        }
        text.push('\n');
    }
    text
}

fn requests(rows: &[Row]) -> String {
    let mut text = String::from(
        "128 bytes there and 1,024 back, one after the other on one connection; milliseconds.\n\n\
         | | way | p50 | p99 | p50 above direct |\n|---|---|---:|---:|---:|\n",
    );
    for row in rows.iter().filter(|row| row.what == What::Echo) {
        for way in WAYS {
            let (p50, p99) = (row.request_ms(way, 0.5), row.request_ms(way, 0.99));
            let more = row.above(way, Way::Direct) * 1000.0;
            let _ = writeln!(text, "| {} | {} | {p50:.2} | {p99:.2} | {more:+.2} |", row.name(), way.name());
        }
    }
    text
}

fn start(results: &Results, way: Way) -> Sample {
    Sample::new(results.starts[place(way)].iter().copied())
}

fn starts(results: &Results) -> String {
    let mut text = format!(
        "From the command until a small request has been answered, {STARTS} times; seconds. Ours bring a pod into the \
         cluster first,\nwhose image the node has.\n\n| way | median | least | most |\n|---|---:|---:|---:|\n"
    );
    for way in WAYS {
        let took = start(results, way);
        let (least, most) = (took.quantile(0.0), took.quantile(1.0));
        let _ = writeln!(text, "| {} | {:.2} | {least:.2} | {most:.2} |", way.name(), took.median());
    }
    text
}

/// Megabytes a second; few of them more exactly.
fn megabytes(bytes: f64) -> String {
    let megabytes = bytes / MILLION;
    if megabytes < 10.0 { format!("{megabytes:.2}") } else { format!("{megabytes:.1}") }
}

fn costs(results: &Results) -> String {
    let mut text = String::from(
        "What all processors of the machine have worked for a gigabyte, both ends and what is between them, the programs \
         that send and\ncompare it included; seconds. Without a distance, for that works too.\n\n|",
    );
    text += &WAYS.map(|way| format!(" | {}", way.name())).concat();
    text += " |\n|---|---:|---:|---:|---:|---:|\n";
    for row in results.rows.iter().filter(|row| row.what != What::Echo && row.distance.is_here()) {
        let _ = write!(text, "| {} |", row.name());
        for busy in &row.busy {
            let seconds = Sample::new(busy.iter().copied()).median() / row.distance.bytes as f64 * GIGABYTE;
            let _ = write!(text, " {seconds:.1} |");
        }
        text.push('\n');
    }
    text += "\nMemory after that, in MB, of what a user has running, without the program that asks, and of its agent in the \
             cluster.\n\n| | user's side | in the cluster |\n|---|---:|---:|\n";
    for (at, way) in WAYS.into_iter().enumerate().filter(|(_, way)| *way != Way::Direct) {
        let there = match way {
            Way::Connect | Way::Run => format!("{:.0}", results.agent_resident as f64 / MILLION),
            Way::Ssh => "not measured".into(),
            Way::Direct | Way::PortForward => "none".into(),
        };
        let _ = writeln!(text, "| {} | {:.0} | {there} |", way.name(), results.resident[at] as f64 / MILLION);
    }
    text
}

const LIMITS: &str = "### What these numbers leave out\n\n\
- API server, kubelet, container runtime, pods and programs share the machine, so that what a way costs a processor slows
  it down here more than where each has its own.
- On one machine there is no network: a direct connection goes as fast as memory is copied, which none does between two.
- Far away is a network namespace behind a pair of TUN devices. Between them each packet of at most 1,500 bytes waits for half the
  round trip, 400 Mbit/s go each way, 4 MiB wait at the most, and packets are lost by chance. TCP is the kernel's.
- Where packets are lost, a direct connection is one for each flow; every other way has all flows in one.
- Both ways into a forwarded port have it in SPDY inside a WebSocket; ours has one program more in it, the agent, which on one
  machine takes its share of the same processors.
- Neither the pod nor the agent has a sidecar.
";
