//! The filter's configuration on the wire: JSON in a WasmPlugin's `pluginConfig`.
//!
//! The only place that knows this format. Unknown fields are ignored, so that an older filter reads a
//! newer writer's configuration of the same [`VERSION`]; a higher version is refused as a whole.
//! [`Filter`] is the validated form, made once per configuration.

mod read;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

pub use read::ShapeError;
use serde::{Deserialize, Serialize};

use crate::correlation::IdSource;
use crate::edge::Edge;
use crate::hop::Hop;
use crate::name::{BaggageKey, CookieName, HeaderName, LaneName, constant};
use crate::set_cookie::{CookieAttributes, SameSite};
use crate::signing::KeyRing;
use crate::trace::Tracing;

/// The wire format's version that this code writes and reads.
pub const VERSION: u32 = 1;
/// Most lanes in one configuration.
pub const LANES_MAX: usize = 500;
/// Default life of a flow's correlation ids beyond its response, in seconds.
pub const LINGER_S_DEFAULT: u32 = 30;

/// Everything one plugin instance is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FilterConfig {
    /// [`VERSION`] of the writer.
    pub version: u32,
    /// What this instance does.
    pub role: Role,
    /// The lanes that exist.
    #[serde(default)]
    pub lanes: Vec<WireLane>,
    /// Where tags ride.
    #[serde(default)]
    pub carriers: Carriers,
    /// Signing keys; the first signs, all verify. Without keys nothing is signed, minted or believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<KeyRing>,
    /// Whose tags an inbound sidecar believes.
    #[serde(default)]
    pub peers: Peers,
    /// Life of a flow's correlation ids beyond its response, in seconds.
    #[serde(default = "default_linger_s")]
    pub linger_s: u32,
    /// What an edge needs beyond that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edge: Option<EdgeSettings>,
    /// Whether requests may ask to be told of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Tracing>,
}

/// What a plugin instance does. Direction comes by configuration, which costs a request no host call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// At an edge, before authentication: removes tags from outside.
    EdgeGuard,
    /// At an edge: removes tags from outside, decides, tags.
    Edge,
    /// In a sidecar, towards the application.
    Inbound,
    /// In a sidecar, from the application.
    Outbound,
}

/// Whose tags an inbound sidecar believes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Peers {
    /// Peers that mutual TLS shows to be mesh members.
    #[default]
    Mtls,
    /// Every peer: for meshes without mutual TLS, where the network alone keeps strangers out.
    Any,
}

/// Where tags ride.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Carriers {
    /// The header that routes match.
    pub header: HeaderName,
    /// Headers of other systems that are read as well, to migrate from them; never written.
    pub aliases: Vec<HeaderName>,
    /// The W3C baggage member; none: baggage is left alone.
    pub baggage: Option<BaggageKey>,
    /// Whether request ids are minted and read.
    pub request_id: bool,
    /// Correlation ids, in the order they are asked.
    pub correlation: Vec<IdSource>,
}

impl Default for Carriers {
    fn default() -> Self {
        Self {
            header: constant!(HeaderName, "x-canary-lane"),
            aliases: Vec::new(),
            baggage: Some(constant!(BaggageKey, "canary-lane")),
            request_id: true,
            correlation: alloc::vec![
                IdSource::TraceParent,
                IdSource::B3,
                IdSource::XB3TraceId,
                IdSource::Sw8,
                IdSource::UberTraceId,
            ],
        }
    }
}

/// What an edge needs beyond what every role has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EdgeSettings {
    /// The cookie that keeps a user in the assigned lane; also the query parameter of signed links.
    pub lane_cookie: CookieName,
    /// The cookie that identifies a user who has no other key.
    pub uid_cookie: CookieName,
    /// Attributes of both cookies where the lane gives none.
    #[serde(deserialize_with = "cookie")]
    pub cookie: CookieAttributes,
    /// Proxies in front of the edge whose `x-forwarded-for` entries are trusted.
    pub trusted_hops: u8,
    /// Whether responses name their lane in the tag header, for developer tools.
    pub show_lane: bool,
    /// Whether every response lists what rules read in `vary`, for shared caches in front of the edge.
    pub vary: bool,
    /// Who is who among percentages: per layer, how a user is identified.
    pub layers: Vec<WireLayer>,
}

impl Default for EdgeSettings {
    fn default() -> Self {
        Self {
            lane_cookie: constant!(CookieName, "canary-lane"),
            uid_cookie: constant!(CookieName, "canary-uid"),
            cookie: CookieAttributes::default(),
            trusted_hops: 0,
            show_lane: false,
            vary: false,
            layers: Vec::new(),
        }
    }
}

/// One layer: the percentages that share its users, each user in at most one of their lanes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireLayer {
    /// Name and salt: the same user falls differently in another layer.
    pub name: String,
    /// How a user is identified: the first of these that the request has; last, the uid cookie.
    #[serde(default)]
    pub key: Vec<WireKeySource>,
}

/// One way to identify a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireKeySource {
    /// Cookie, header or a claim.
    pub subject: Subject,
    /// The cookie's or header's name.
    pub name: String,
    /// The claim within it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub claim: String,
}

/// A lane on the wire. Sidecars are told only its name and parent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireLane {
    /// The lane.
    pub name: LaneName,
    /// The lane it falls back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<LaneName>,
    /// Raised to make every cookie given out before worthless.
    #[serde(default)]
    pub epoch: u32,
    /// Higher wins between lanes.
    #[serde(default)]
    pub priority: i32,
    /// After this second no request is put in the lane any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_unix_s: Option<u64>,
    /// What puts a request in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<WireRule>,
    /// The layer of its percentages.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub layer: String,
    /// The layer's buckets it holds, in the order it took them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub buckets: String,
    /// Life of its cookie in seconds.
    #[serde(default = "default_cookie_max_age_s")]
    pub cookie_max_age_s: u32,
    /// Its cookie's attributes; none: the edge's.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional_cookie")]
    pub cookie: Option<CookieAttributes>,
}

/// What puts a request in a lane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireRule {
    /// What people call it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What the request must be like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<WireCondition>,
    /// Share of users in hundredths of a percent; absent: all that `when` holds for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<u16>,
    /// Whether the lane cookie keeps the user in the lane.
    #[serde(default)]
    pub sticky: bool,
}

/// A condition on the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WireCondition {
    /// Every part holds.
    All(Vec<WireCondition>),
    /// At least one part holds.
    Any(Vec<WireCondition>),
    /// The part does not hold.
    Not(Box<WireCondition>),
    /// One value passes one operator.
    Test(WireTest),
}

/// One value, one operator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireTest {
    /// What is looked at.
    #[serde(rename = "of")]
    pub subject: Subject,
    /// The cookie's, header's or parameter's name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The claim within it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub claim: String,
    /// How.
    pub op: Op,
    /// The operator's arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// ASCII case does not matter.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub ignore_case: bool,
    /// Lower bound of [`Op::Range`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<i64>,
    /// Upper bound of [`Op::Range`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
}

/// What a test looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "each names itself")]
pub enum Subject {
    Cookie,
    Header,
    Query,
    Path,
    Method,
    Host,
    Client,
    /// A claim of a token in a header.
    HeaderClaim,
    /// A claim of a token in a cookie.
    CookieClaim,
}

/// How a test looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "each names itself")]
pub enum Op {
    /// Equal to one of the values.
    In,
    Prefix,
    Suffix,
    Contains,
    Regex,
    Glob,
    Exists,
    Absent,
    Range,
    Cidr,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Not JSON of this shape.
    #[error("not a filter configuration")]
    Shape(#[source] ShapeError),
    /// Written by a newer version.
    #[error("configuration version {found} is newer than {VERSION}, the newest this filter reads")]
    Version {
        /// The writer's version.
        found: u32,
    },
    /// An edge's rule that does not compile.
    #[error("lane {lane}, rule {rule}: {message}")]
    Rule {
        /// The lane.
        lane: LaneName,
        /// The rule, counted from 1.
        rule: usize,
        /// What is wrong.
        message: String,
    },
    /// Two lanes whose names hash to the same code, or the same lane twice.
    #[error("lanes {first} and {second} have the same code: rename one")]
    SameCode {
        /// One.
        first: LaneName,
        /// The other.
        second: LaneName,
    },
    /// Over [`LANES_MAX`].
    #[error("{found} lanes, but at most {LANES_MAX} fit")]
    TooManyLanes {
        /// How many there are.
        found: usize,
    },
    /// A lane's buckets that are not what a writer of this version writes.
    #[error("lane {lane}: malformed buckets")]
    Buckets {
        /// The lane.
        lane: LaneName,
    },
}

/// A validated configuration, ready to decide.
#[derive(Debug)]
pub enum Filter {
    /// Nothing to do: a sidecar of a mesh without lanes.
    Passthrough,
    /// [`Role::EdgeGuard`].
    EdgeGuard(Box<Edge>),
    /// [`Role::Edge`].
    Edge(Box<Edge>),
    /// [`Role::Inbound`].
    Inbound(Box<Hop>),
    /// [`Role::Outbound`].
    Outbound(Box<Hop>),
}

impl FilterConfig {
    /// A configuration of this version without lanes.
    #[must_use]
    pub fn new(role: Role) -> Self {
        Self {
            version: VERSION,
            role,
            lanes: Vec::new(),
            carriers: Carriers::default(),
            keys: None,
            peers: Peers::default(),
            linger_s: LINGER_S_DEFAULT,
            edge: None,
            trace: None,
        }
    }

    /// Reads the JSON form.
    ///
    /// # Errors
    /// [`WireError::Shape`] and [`WireError::Version`].
    pub fn parse(json: &[u8]) -> Result<Self, WireError> {
        read::config(json)
    }

    /// Writes the JSON form.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Writing these types cannot fail: no map has a key that is not a string. An empty text is no
        // configuration, so a reader would refuse it.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl TryFrom<FilterConfig> for Filter {
    type Error = WireError;

    fn try_from(config: FilterConfig) -> Result<Self, WireError> {
        if config.lanes.len() > LANES_MAX {
            return Err(WireError::TooManyLanes { found: config.lanes.len() });
        }
        Ok(match config.role {
            Role::EdgeGuard => Self::EdgeGuard(Box::new(Edge::new(&config)?)),
            Role::Edge => Self::Edge(Box::new(Edge::new(&config)?)),
            Role::Inbound | Role::Outbound if config.lanes.is_empty() => Self::Passthrough,
            Role::Inbound => Self::Inbound(Box::new(Hop::new(&config)?)),
            Role::Outbound => Self::Outbound(Box::new(Hop::new(&config)?)),
        })
    }
}

fn default_linger_s() -> u32 {
    LINGER_S_DEFAULT
}

/// Default life of a lane's cookie, in seconds.
pub const COOKIE_MAX_AGE_S_DEFAULT: u32 = 1800;

fn default_cookie_max_age_s() -> u32 {
    COOKIE_MAX_AGE_S_DEFAULT
}

/// [`CookieAttributes`] on the wire: other than in a document, unknown fields are let pass.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireCookie {
    path: String,
    domain: Option<String>,
    secure: bool,
    http_only: bool,
    same_site: Option<SameSite>,
    partitioned: bool,
}

impl Default for WireCookie {
    fn default() -> Self {
        let CookieAttributes { path, domain, secure, http_only, same_site, partitioned } =
            CookieAttributes::default();
        Self { path, domain, secure, http_only, same_site, partitioned }
    }
}

impl From<WireCookie> for CookieAttributes {
    fn from(wire: WireCookie) -> Self {
        let WireCookie { path, domain, secure, http_only, same_site, partitioned } = wire;
        Self { path, domain, secure, http_only, same_site, partitioned }
    }
}

fn cookie<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<CookieAttributes, D::Error> {
    WireCookie::deserialize(deserializer).map(Into::into)
}

fn optional_cookie<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<CookieAttributes>, D::Error> {
    Ok(Option::<WireCookie>::deserialize(deserializer)?.map(Into::into))
}
