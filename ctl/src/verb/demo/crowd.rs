//! Many requests at once: users past a percentage, and all lanes mixed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use canary_localmesh::Client;
use futures_util::stream::{StreamExt as _, TryStreamExt as _};
use serde::Serialize;

use super::chain::{get, wrong};
use super::shop::{Request, Shop};
use crate::failure::Failure;

/// Requests in flight at a time: enough for flows to overlap in every proxy.
const CONCURRENT: usize = 16;
/// How far a share may be off, in standard deviations of a fair draw.
const DEVIATIONS_MAX: f64 = 4.5;

/// Users without any key, who come twice.
#[derive(Debug, Serialize)]
pub(super) struct Users {
    pub(super) count: u32,
    /// Per lane with a percentage: how many got in, and how many percent it wants.
    pub(super) lanes: Vec<(String, u32, f64)>,
    /// Users who were elsewhere the second time.
    pub(super) moved: u32,
    pub(super) seconds: f64,
}

/// Requests of all lanes and of none, mixed.
#[derive(Debug, Serialize)]
pub(super) struct Mixed {
    pub(super) requests: u32,
    pub(super) lanes: usize,
    /// Hops at an instance of another lane.
    pub(super) wrong: u32,
    /// Hops at the baseline that the lane's own instance should have served.
    pub(super) lost: u32,
    /// Answers that were no success.
    pub(super) failed: u32,
    pub(super) seconds: f64,
}

/// Sends users by the percentages; none where no lane has one.
pub(super) async fn users(shop: &Shop, client: &Client, count: u32) -> Result<Option<Users>, Failure> {
    let wanted = shop.percentages();
    if wanted.is_empty() || count == 0 {
        return Ok(None);
    }
    let started = Instant::now();
    let visits: Vec<(Option<String>, Option<String>)> = futures_util::stream::iter(0..count)
        .map(|_| async {
            let (_, first, reply) = get(client, &Request::with_headers(Vec::new())).await?;
            let cookies = reply.headers.get_all("set-cookie").iter().filter_map(|line| line.to_str().ok());
            let jar: Vec<&str> = cookies.filter_map(|line| line.split(';').next()).collect();
            let cookie = vec![("cookie".into(), jar.join("; "))];
            let (_, second, _) = get(client, &Request::with_headers(cookie)).await?;
            let tag =
                |tree: &canary_localmesh::app::Tree| tree.received(shop.tag_header()).map(str::to_string);
            Ok::<_, Failure>((tag(&first), tag(&second)))
        })
        .buffer_unordered(CONCURRENT)
        .try_collect()
        .await?;
    let inside = |lane: &str| visits.iter().filter(|(first, _)| first.as_deref() == Some(lane)).count();
    let lanes = wanted
        .iter()
        .map(|(lane, percent)| ((*lane).to_string(), u32::try_from(inside(lane)).unwrap_or(0), *percent));
    Ok(Some(Users {
        count,
        lanes: lanes.collect(),
        moved: u32::try_from(visits.iter().filter(|(first, second)| first != second).count())
            .unwrap_or(u32::MAX),
        seconds: started.elapsed().as_secs_f64(),
    }))
}

impl Users {
    /// Whether the shares are what a fair draw gives, and nobody moved.
    pub(super) fn judge(&self) -> Result<(), Failure> {
        if self.moved > 0 {
            return Err(wrong(format!(
                "{} of {} users were in another lane the second time",
                self.moved, self.count
            )));
        }
        for (lane, inside, percent) in &self.lanes {
            let (count, share) = (f64::from(self.count), percent / 100.0);
            let deviation = (count * share * (1.0 - share)).sqrt();
            if (f64::from(*inside) - count * share).abs() > DEVIATIONS_MAX * deviation + 1.0 {
                return Err(wrong(format!(
                    "{inside} of {} users got into {lane}, wanted about {percent} %",
                    self.count
                )));
            }
        }
        Ok(())
    }
}

/// Sends requests of every lane that a rule can be written out for, and of none, in turn.
pub(super) async fn mixed(shop: &Shop, client: &Client, requests: u32) -> Result<Mixed, Failure> {
    let mut kinds: Vec<(Request, Option<&str>)> = vec![(outsider(shop), None)];
    kinds.extend(shop.lane_examples().into_iter().map(|(request, lane)| (request, Some(lane))));
    let kinds = Arc::new(kinds);
    let started = Instant::now();
    let mut mixed = Mixed { requests, lanes: kinds.len() - 1, wrong: 0, lost: 0, failed: 0, seconds: 0.0 };
    let mut answers = futures_util::stream::iter(0..requests)
        .map(|number| {
            let kinds = Arc::clone(&kinds);
            async move {
                let (request, lane) = &kinds[number as usize % kinds.len()];
                let mut headers = request.headers.clone();
                headers.push(("traceparent".into(), traceparent(number)));
                let (status, tree, _) = get(client, &Request::with_headers(headers)).await?;
                let went: Vec<String> = tree.walk().map(|tree| tree.instance.clone()).collect();
                Ok::<_, Failure>((status, went, *lane))
            }
        })
        .buffer_unordered(CONCURRENT);
    while let Some(answer) = answers.next().await {
        let (status, went, lane) = answer?;
        let wanted = shop.path(lane);
        mixed.failed += u32::from(status != 200);
        for (went, wanted) in went.iter().zip(&wanted).filter(|(went, wanted)| went != wanted) {
            let baseline = went.ends_with("-v1") && !wanted.ends_with("-v1");
            if baseline { mixed.lost += 1 } else { mixed.wrong += 1 }
        }
    }
    mixed.seconds = started.elapsed().max(Duration::from_millis(1)).as_secs_f64();
    Ok(mixed)
}

impl Mixed {
    /// Whether every request was served, and every hop by the right instance.
    pub(super) fn judge(&self) -> Result<(), Failure> {
        let Self { requests, wrong: astray, lost, failed, .. } = self;
        if *astray + *lost + *failed > 0 {
            return Err(wrong(format!(
                "of {requests} requests {astray} hops were in a wrong lane, {lost} lost, {failed} failed"
            )));
        }
        Ok(())
    }
}

/// A user whom no percentage covers: otherwise the baseline's requests would not be told apart.
fn outsider(shop: &Shop) -> Request {
    let [_, uid] = shop.cookie_names();
    let outside = (0_u32..).map(|number| format!("outsider{number}")).find(|user| {
        let cookie = format!("{uid}={user}");
        let lines: [(&[u8], &[u8]); 4] = [
            (b":authority", b"shop.test"),
            (b":path", b"/cart"),
            (b":method", b"GET"),
            (b"cookie", cookie.as_bytes()),
        ];
        let headers = canary_rules::request::Headers::new(&lines);
        shop.edge().decide(&headers, None, 0, || [0; 16]).lane.is_none()
    });
    let headers = outside.map(|user| ("cookie".to_string(), format!("{uid}={user}")));
    Request::with_headers(headers.into_iter().collect())
}

/// A trace of its own for every request, as a browser's or a tracing library's would be.
fn traceparent(number: u32) -> String {
    format!("00-{:032x}-{:016x}-01", u128::from(number) + 1, u64::from(number) + 1)
}
