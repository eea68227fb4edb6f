//! The server: the page, its events, and what is asked for on it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use canary_rules::document::{self, Fault};
use canary_rules::inquiry;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::guard::{self, Guard};
use super::refusal::Refusal;
use super::release_view::TURNS;
use super::{Action, FlowRequest, Source, events, page};
use crate::failure::{Code, Failure};

/// Most pages that listen at a time.
pub(super) const PAGES_MAX: usize = 32;
/// Largest thing that a page may ask for, in bytes.
const ASKED_BYTES_MAX: usize = 16 * 1024;

/// Largest text of lanes, in bytes.
const DOCUMENTS_BYTES_MAX: usize = document::FILE_BYTES_MAX;
/// What faults of lanes that are edited on the page are said to be in.
const DOCUMENTS_NAME: &str = "lanes.yaml";

/// A page that has its address, before it is served.
pub struct Dashboard {
    listener: TcpListener,
    address: SocketAddr,
    guard: Guard,
}

impl Dashboard {
    /// Takes a port on loopback; 0 takes any free one.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn bind(port: u16) -> Result<Self, Failure> {
        Self::bind_to(IpAddr::V4(Ipv4Addr::LOCALHOST), port).await
    }

    /// Takes a port at this address.
    ///
    /// # Errors
    /// When the port is taken, or the address is not this machine's.
    pub async fn bind_to(address: IpAddr, port: u16) -> Result<Self, Failure> {
        let wanted = SocketAddr::new(address, port);
        let failed = |error: std::io::Error| {
            Failure::new(Code::Failed, format!("cannot serve the page at {wanted}: {error}"))
                .help("choose another port, or let the system choose: port 0")
        };
        let listener = TcpListener::bind(wanted).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { guard: Guard::new(address.port())?, listener, address })
    }

    /// Where the page is, with this run's token.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/?token={}", self.address, self.guard.token())
    }

    /// Serves the page; never ends by itself. With `read_only` nothing can be asked for on it.
    ///
    /// # Errors
    /// When connections can no longer be taken.
    pub async fn serve(self, source: Arc<dyn Source>, read_only: bool) -> Result<(), Failure> {
        let router = router(self.guard, source, read_only);
        let served = axum::serve(self.listener, router).await;
        served.map_err(|error| Failure::new(Code::Failed, format!("the page is no longer served: {error}")))
    }
}

#[derive(Clone)]
struct Shared {
    source: Arc<dyn Source>,
    read_only: bool,
    places: Arc<Semaphore>,
}

fn router(guard: Guard, source: Arc<dyn Source>, read_only: bool) -> Router {
    let places = Arc::new(Semaphore::new(PAGES_MAX));
    let at = |path: &str| format!("{}{path}", guard.place());
    Router::new()
        .route(&at("/"), get(|| async { page::file("index.html") }))
        .route(&at("/page/{file}"), get(|Path(name): Path<String>| async move { page::file(&name) }))
        .route(&at("/api/events"), get(listen))
        .route(&at("/api/documents"), post(documents).layer(DefaultBodyLimit::max(DOCUMENTS_BYTES_MAX)))
        .route(&at("/api/flows"), post(flow))
        .route(&at("/api/lanes/{name}/{turn}"), post(lane))
        .route(&at("/api/releases/{name}/{turn}"), post(release))
        .layer(DefaultBodyLimit::max(ASKED_BYTES_MAX))
        // Outermost, so that nothing is said to a stranger, not even what there is.
        .layer(middleware::from_fn_with_state(guard, guard::check))
        .with_state(Shared { source, read_only, places })
}

async fn listen(State(shared): State<Shared>) -> Response {
    let Ok(place) = Arc::clone(&shared.places).try_acquire_owned() else {
        let why = format!("{PAGES_MAX} pages listen already: close one");
        return Refusal::new(StatusCode::SERVICE_UNAVAILABLE, &why).into_response();
    };
    let server = json!({"read_only": shared.read_only, "playground": page::has_playground()});
    let events = events::stream(shared.source.pictures(), ("server", server), place);
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

/// Reads lanes for the playground: the configuration that they make of an edge, or what is wrong with them.
async fn documents(text: String) -> Result<Json<Value>, Refusal> {
    let source = document::Source { name: DOCUMENTS_NAME.into(), text };
    let documents = match document::read(&[source]) {
        Ok(documents) => documents,
        Err(faults) => {
            let fault =
                |fault: &Fault| json!({"line": fault.line, "column": fault.column, "message": fault.message});
            return Ok(Json(json!({"faults": faults.iter().map(fault).collect::<Vec<_>>()})));
        }
    };
    let failed = |error| Failure::from_error(Code::Failed, &error);
    let config = inquiry::config(&documents, 0).map_err(failed)?;
    Ok(Json(json!({"config": config.to_json()})))
}

async fn flow(
    State(shared): State<Shared>,
    Json(request): Json<FlowRequest>,
) -> Result<Json<Value>, Refusal> {
    act(&shared, Action::Flow(request)).await
}

async fn lane(
    State(shared): State<Shared>,
    Path((name, turn)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let action = match turn.as_str() {
        "on" => Action::Lane { name, on: true },
        "off" => Action::Lane { name, on: false },
        "watch" => Action::Watch { lane: name, on: true },
        "unwatch" => Action::Watch { lane: name, on: false },
        _ => return Err(Refusal::new(StatusCode::NOT_FOUND, "a lane is turned on or off, or watched")),
    };
    act(&shared, action).await
}

/// Of a release as whoever asks saw it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shown {
    /// Its step, from 0.
    step: Option<usize>,
}

async fn release(
    State(shared): State<Shared>,
    Path((name, turn)): Path<(String, String)>,
    Json(Shown { step }): Json<Shown>,
) -> Result<Json<Value>, Refusal> {
    match TURNS.iter().find(|(known, _)| *known == turn) {
        Some((_, turn)) => act(&shared, Action::Release { name, turn: *turn, step }).await,
        None => Err(Refusal::new(StatusCode::NOT_FOUND, "that is nothing to ask of a release")),
    }
}

async fn act(shared: &Shared, action: Action) -> Result<Json<Value>, Refusal> {
    if shared.read_only {
        let why = "this page only shows: it was started with --read-only";
        return Err(Refusal::new(StatusCode::FORBIDDEN, why));
    }
    let said = shared.source.act(action).await?;
    Ok(Json(json!({"said": said})))
}
