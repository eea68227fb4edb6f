//! The Lane document: what people write, `canaryctl.io/v1alpha1`, and its compilation for the wire.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::{ClaimSource, Condition};
use crate::hop::PARENTS_MAX;
use crate::layers::{self, Claim};
use crate::name::{CookieName, HeaderName, LaneName};
use crate::problem::{Problems, Scope};
use crate::set_cookie::CookieAttributes;
use crate::wire::{
    COOKIE_MAX_AGE_S_DEFAULT, LANES_MAX, Subject, WireKeySource, WireLane, WireLayer, WireRule,
};

/// The `apiVersion` of Lane documents.
pub const API_VERSION: &str = "canaryctl.io/v1alpha1";
/// The `kind` of Lane documents.
pub const KIND: &str = "Lane";
/// The layer of lanes that name none.
pub const LAYER_DEFAULT: &str = "default";
/// Longest name of a layer, in bytes.
pub const LAYER_BYTES_MAX: usize = 63;
/// Longest life of a lane cookie, in seconds: what browsers keep.
pub const COOKIE_MAX_AGE_S_MAX: u32 = 400 * 24 * 3600;

/// A Lane document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lane {
    /// Always `canaryctl.io/v1alpha1`.
    #[cfg_attr(feature = "schema", schemars(extend("const" = API_VERSION)))]
    pub api_version: String,
    /// Always `Lane`.
    #[cfg_attr(feature = "schema", schemars(extend("const" = KIND)))]
    pub kind: String,
    /// The lane's name and what Kubernetes keeps of it.
    pub metadata: Metadata,
    /// What the lane is.
    pub spec: LaneSpec,
    /// What the controller last said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<LaneStatus>,
}

/// The document's metadata; what Kubernetes adds is kept out of sight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct Metadata {
    /// The lane's name: lower-case letters, digits, `-` and `.`; at most 63 bytes.
    pub name: LaneName,
}

/// What a lane is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LaneSpec {
    /// What puts a request in the lane: any one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// Between lanes that claim the same request the higher one wins; default 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: i32,
    /// What happens at services without a member in the lane.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mode: Mode,
    /// The lane to fall back to before the baseline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<LaneName>,
    /// Members named by their own labels: per service (`stock` or `shop/stock`) the labels its lane pods
    /// have. Pods labelled `canaryctl.io/lane` need no mention.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub members: BTreeMap<String, BTreeMap<String, String>>,
    /// Share of the requests of no lane of which the members get a copy, in percent, in steps of 0.01. Nobody sees
    /// what they answer. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 100)))]
    pub mirror: Option<f64>,
    /// The layer whose users the percentages share out; lanes of one layer never share a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = LAYER_BYTES_MAX), extend("default" = LAYER_DEFAULT)))]
    pub layer: Option<String>,
    /// How percentages tell users apart: the first of these that a request has; last, a cookie that the
    /// edge gives out. The same for all lanes of a layer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<KeySource>,
    /// The cookie that keeps a user in the lane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<LaneCookie>,
    /// When the lane ends by itself, RFC 3339, e.g. `2026-12-31T18:00:00Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub expires: Option<String>,
}

/// What puts a request in a lane: `when`, `percent`, or both (a share of what `when` holds for).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(transform = crate::schema::when_or_percent))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the request must be like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Condition>,
    /// Share of users in percent, in steps of 0.01; each user stays on their side of it as it grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 100)))]
    pub percent: Option<f64>,
    /// Whether a cookie keeps the user in the lane once the rule has put them there; default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("default" = true)))]
    pub sticky: Option<bool>,
}

/// What happens to tagged requests at services without a member in the lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// The parent lane serves, else the baseline; the tag goes on.
    #[default]
    Permissive,
    /// The request is answered with a stated status.
    Strict,
}

/// One way to tell users apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum KeySource {
    /// A header's value.
    Header(String),
    /// A cookie's value.
    Cookie(String),
    /// A claim of a JWT that the mesh has verified.
    Claim(ClaimKey),
}

/// A claim that tells users apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimKey {
    /// The claim; a dot steps into an object.
    pub name: String,
    /// Where the token is. Default: the bearer token of `authorization`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<ClaimSource>,
}

/// The cookie that keeps a user in a lane.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LaneCookie {
    /// How long it lives, in seconds; default 1800.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = COOKIE_MAX_AGE_S_MAX), extend("default" = COOKIE_MAX_AGE_S_DEFAULT)))]
    pub max_age_seconds: Option<u32>,
    /// Its attributes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<CookieAttributes>,
}

/// What the controller keeps of a lane between runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct LaneStatus {
    /// Raised each time the lane ends, so that its old cookies are worthless.
    pub epoch: u32,
    /// The buckets of its layer that it holds, as [`layers::encode`] writes them.
    pub buckets: String,
}

/// Lanes ready for a filter's configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Compiled {
    /// The lanes with rules, as an edge needs them.
    pub lanes: Vec<WireLane>,
    /// The layers of their percentages.
    pub layers: Vec<WireLayer>,
}

impl Compiled {
    /// The lanes as a sidecar needs them: names and parents.
    #[must_use]
    pub fn without_rules(&self) -> Vec<WireLane> {
        let bare =
            |lane: &WireLane| WireLane { parent: lane.parent.clone(), ..WireLane::new(lane.name.clone()) };
        self.lanes.iter().map(bare).collect()
    }
}

/// Compiles documents that belong together.
///
/// # Errors
/// Everything that is wrong with them, each with its place; nothing is half-compiled.
pub fn compile(lanes: &[Lane]) -> Result<Compiled, Problems> {
    let mut problems = Problems::default();
    let mut compiled = Compiled::default();
    if lanes.len() > LANES_MAX {
        let message = format!("{} lanes, but at most {LANES_MAX} fit", lanes.len());
        problems.add(&Scope::document(LANES_MAX), message);
    }
    for (document, lane) in lanes.iter().enumerate() {
        let scope = Scope::document(document);
        check_header(lane, &scope, &mut problems);
        check_relations(lane, document, lanes, &mut problems);
        compiled.lanes.push(lane_to_wire(lane, &scope.key("spec"), &mut problems));
    }
    share_out(lanes, &mut compiled, &mut problems);
    if problems.0.is_empty() { Ok(compiled) } else { Err(problems) }
}

fn check_header(lane: &Lane, scope: &Scope, problems: &mut Problems) {
    if lane.api_version != API_VERSION {
        problems
            .add(&scope.key("apiVersion"), format!("must be `{API_VERSION}`, not `{}`", lane.api_version));
    }
    if lane.kind != KIND {
        problems.add(&scope.key("kind"), format!("must be `{KIND}`, not `{}`", lane.kind));
    }
}

fn check_relations(lane: &Lane, document: usize, lanes: &[Lane], problems: &mut Problems) {
    let scope = Scope::document(document);
    let name = &lane.metadata.name;
    let name_scope = scope.key("metadata").key("name");
    for earlier in lanes.iter().take(document) {
        let other = &earlier.metadata.name;
        if other == name {
            problems.add(&name_scope, format!("lane `{name}` is defined twice"));
        } else if other.code() == name.code() {
            problems.add(
                &name_scope,
                format!("`{name}` and `{other}` have the same code on the wire: rename one"),
            );
        }
    }
    let Some(parent) = &lane.spec.parent else { return };
    let parent_scope = scope.key("spec").key("parent");
    let find = |name: &LaneName| lanes.iter().find(|lane| lane.metadata.name == *name);
    if find(parent).is_none() {
        problems.add(&parent_scope, format!("there is no lane `{parent}`"));
    }
    let mut seen = vec![name];
    let mut next = Some(parent);
    while let Some(ancestor) = next {
        if seen.contains(&ancestor) {
            problems.add(&parent_scope, format!("`{ancestor}` comes back to itself through its parents"));
            return;
        }
        seen.push(ancestor);
        if seen.len() > PARENTS_MAX.saturating_add(1) {
            problems.add(&parent_scope, format!("more than {PARENTS_MAX} lanes above one another"));
            return;
        }
        next = find(ancestor).and_then(|lane| lane.spec.parent.as_ref());
    }
}

fn lane_to_wire(lane: &Lane, scope: &Scope, problems: &mut Problems) -> WireLane {
    let spec = &lane.spec;
    let rules = spec.rules.iter().enumerate();
    let rules = rules.map(|(index, rule)| rule_to_wire(rule, &scope.key("rules").index(index), problems));
    let rules = rules.collect();
    let cookie = spec.cookie.clone().unwrap_or_default();
    let cookie_max_age_s = cookie.max_age_seconds.unwrap_or(COOKIE_MAX_AGE_S_DEFAULT);
    if !(1..=COOKIE_MAX_AGE_S_MAX).contains(&cookie_max_age_s) {
        let scope = scope.key("cookie").key("maxAgeSeconds");
        problems.add(&scope, format!("must be between 1 and {COOKIE_MAX_AGE_S_MAX} (400 days)"));
    }
    let lane_cookie = crate::wire::EdgeSettings::default().lane_cookie;
    if let Some(Err(error)) = cookie.attributes.as_ref().map(|attributes| attributes.validate(&lane_cookie)) {
        problems.add(&scope.key("cookie").key("attributes"), error.to_string());
    }
    let expires = spec.expires.as_deref().map(parse_time);
    if let Some(Err(message)) = &expires {
        problems.add(&scope.key("expires"), message.clone());
    }
    let layer_fits = |layer: &String| {
        (1..=LAYER_BYTES_MAX).contains(&layer.len()) && layer.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if spec.layer.as_ref().is_some_and(|layer| !layer_fits(layer)) {
        let message = format!("must be 1 to {LAYER_BYTES_MAX} letters, digits and signs without spaces");
        problems.add(&scope.key("layer"), message);
    }
    for (index, source) in spec.key.iter().enumerate() {
        if let Err(message) = source.to_wire() {
            problems.add(&scope.key("key").index(index), message);
        }
    }
    if let Some(percent) = spec.mirror.filter(|percent| hundredths(*percent).is_none()) {
        problems.add(&scope.key("mirror"), no_percentage(percent));
    }
    for (service, labels) in &spec.members {
        if labels.is_empty() {
            problems.add(&scope.key("members").key(service), "names no label, e.g. `version: v2`");
        }
    }
    WireLane {
        parent: spec.parent.clone(),
        epoch: lane.status.as_ref().map_or(0, |status| status.epoch),
        priority: spec.priority,
        expires_unix_s: expires.and_then(Result::ok),
        rules,
        cookie_max_age_s,
        cookie: cookie.attributes,
        ..WireLane::new(lane.metadata.name.clone())
    }
}

fn rule_to_wire(rule: &Rule, scope: &Scope, problems: &mut Problems) -> WireRule {
    if rule.when.is_none() && rule.percent.is_none() {
        problems.add(scope, "the rule is empty: give `when`, `percent` or both");
    }
    let share = rule.percent.and_then(|percent| {
        let share = hundredths(percent);
        if share.is_none() {
            problems.add(&scope.key("percent"), no_percentage(percent));
        }
        share
    });
    WireRule {
        name: rule.name.clone().unwrap_or_default(),
        when: rule.when.as_ref().map(|when| when.to_wire(&scope.key("when"), problems)),
        share,
        sticky: rule.sticky.unwrap_or(true),
    }
}

fn no_percentage(percent: f64) -> String {
    format!("{percent} is not a percentage from 0 to 100 in steps of 0.01")
}

/// A percentage in hundredths; none when it is out of bounds or between two steps.
#[must_use]
pub fn hundredths(percent: f64) -> Option<u16> {
    let scaled = percent * 100.0;
    let rounded = scaled.round();
    let valid = (0.0..=100.0).contains(&percent) && (scaled - rounded).abs() < 1e-6;
    // In bounds by the check above, so nothing is cut off.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 10,000, whole")]
    valid.then_some(rounded as u16)
}

/// Shares out each layer's buckets among its lanes.
fn share_out(lanes: &[Lane], compiled: &mut Compiled, problems: &mut Problems) {
    let layer_of = |lane: &Lane| lane.spec.layer.clone().unwrap_or_else(|| LAYER_DEFAULT.into());
    let mut layers: Vec<String> = Vec::new();
    for (lane, wire) in lanes.iter().zip(&compiled.lanes) {
        let layer = layer_of(lane);
        if wire.rules.iter().any(|rule| rule.share.is_some()) && !layers.contains(&layer) {
            layers.push(layer);
        }
    }
    for layer in layers {
        let mut members: Vec<usize> = (0..lanes.len())
            .filter(|index| {
                lanes.get(*index).is_some_and(|lane| layer_of(lane) == layer)
                    && compiled
                        .lanes
                        .get(*index)
                        .is_some_and(|wire| wire.rules.iter().any(|rule| rule.share.is_some()))
            })
            .collect();
        // By name, so that the order of files does not matter.
        members.sort_by_key(|index| lanes.get(*index).map(|lane| &lane.metadata.name));
        let key = layer_key(&members, lanes, &layer, problems);
        let mut claims: Vec<Claim> = Vec::new();
        for index in &members {
            let (Some(lane), Some(wire)) = (lanes.get(*index), compiled.lanes.get(*index)) else { continue };
            let share = wire.rules.iter().filter_map(|rule| rule.share).max().unwrap_or(0);
            let held =
                lane.status.as_ref().and_then(|status| layers::decode(&status.buckets)).unwrap_or_default();
            claims.push(Claim { lane: lane.metadata.name.clone(), share, held });
        }
        if let Err(error) = layers::allocate(&layer, &mut claims) {
            let last = members.last().copied().unwrap_or(0);
            let names: Vec<&str> = claims.iter().map(|claim| claim.lane.as_str()).collect();
            let scope = Scope::document(last).key("spec").key("rules");
            problems.add(
                &scope,
                format!("{error} (lanes {}); lower one or give it a `layer` of its own", names.join(", ")),
            );
        }
        for (index, claim) in members.iter().zip(claims) {
            if let Some(wire) = compiled.lanes.get_mut(*index) {
                wire.layer = layer.clone();
                wire.buckets = layers::encode(&claim.held);
            }
        }
        compiled.layers.push(WireLayer { name: layer, key });
    }
}

fn layer_key(members: &[usize], lanes: &[Lane], layer: &str, problems: &mut Problems) -> Vec<WireKeySource> {
    let mut chosen: Option<&Lane> = None;
    for index in members {
        let Some(lane) = lanes.get(*index) else { continue };
        match chosen {
            None => chosen = Some(lane),
            Some(first) if first.spec.key != lane.spec.key => {
                let scope = Scope::document(*index).key("spec").key("key");
                let (first, lane) = (&first.metadata.name, &lane.metadata.name);
                problems.add(&scope, format!(
                    "lanes `{first}` and `{lane}` share layer `{layer}` but tell users apart differently: give both the same `key`, or `{lane}` a `layer` of its own"
                ));
            }
            Some(_) => {}
        }
    }
    let sources = chosen.map_or(&[][..], |lane| &lane.spec.key);
    sources.iter().filter_map(|source| source.to_wire().ok()).collect()
}

impl KeySource {
    fn to_wire(&self) -> Result<WireKeySource, String> {
        let header = |name: &str| {
            HeaderName::new(name).map(|name| name.as_str().into()).map_err(|error| error.to_string())
        };
        let cookie = |name: &str| {
            CookieName::new(name).map(|name| name.as_str().into()).map_err(|error| error.to_string())
        };
        let (subject, name, claim) = match self {
            Self::Header(name) => (Subject::Header, header(name)?, ""),
            Self::Cookie(name) => (Subject::Cookie, cookie(name)?, ""),
            Self::Claim(ClaimKey { name, .. }) if name.is_empty() => {
                return Err("the claim's name is empty".into());
            }
            Self::Claim(ClaimKey { name, from }) => match from {
                None => (Subject::HeaderClaim, "authorization".into(), name.as_str()),
                Some(ClaimSource::Header(place)) => (Subject::HeaderClaim, header(place)?, name.as_str()),
                Some(ClaimSource::Cookie(place)) => (Subject::CookieClaim, cookie(place)?, name.as_str()),
            },
        };
        Ok(WireKeySource { subject, name, claim: claim.into() })
    }
}

impl WireLane {
    /// A lane without rules.
    #[must_use]
    pub fn new(name: LaneName) -> Self {
        Self {
            name,
            parent: None,
            epoch: 0,
            priority: 0,
            expires_unix_s: None,
            rules: Vec::new(),
            layer: String::new(),
            buckets: String::new(),
            cookie_max_age_s: COOKIE_MAX_AGE_S_DEFAULT,
            cookie: None,
        }
    }
}

fn parse_time(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a time such as 2026-12-31T18:00:00Z");
    let time: jiff::Timestamp = text.parse().map_err(|_| wrong())?;
    u64::try_from(time.as_second()).map_err(|_| wrong())
}

fn is_zero(priority: &i32) -> bool {
    *priority == 0
}

fn is_default(mode: &Mode) -> bool {
    *mode == Mode::default()
}
