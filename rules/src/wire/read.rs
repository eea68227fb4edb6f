//! Reads the wire form. What serde derives for the same types reads the same, and is held against this
//! in tests; it weighs too much for the filter.
//!
//! A field that is absent has its default, one of the wrong shape is an error, an unknown one is let
//! pass, `null` is as good as absent.

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::{
    COOKIE_MAX_AGE_S_DEFAULT, Carriers, EdgeSettings, FilterConfig, LANES_MAX, LINGER_S_DEFAULT, Op, Peers,
    Role, Subject, VERSION, WireCondition, WireError, WireKeySource, WireLane, WireLayer, WireRule, WireTest,
};
use crate::base64;
use crate::correlation::IdSource;
use crate::json::{Json, JsonError};
use crate::name::{BaggageKey, CookieName, HeaderName, LaneName};
use crate::set_cookie::{CookieAttributes, SameSite};
use crate::signing::{Key, KeyId, KeyRing};
use crate::trace::{TraceKey, Tracing};

/// What of a JSON text is no configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// Not JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A field that has to be there is not, or a field is not as it has to be.
    #[error("no valid `{0}`")]
    Field(&'static str),
}

type Shape<T> = Result<T, ShapeError>;

/// Reads a configuration.
pub(super) fn config(bytes: &[u8]) -> Result<FilterConfig, WireError> {
    let json = Json::parse(bytes).map_err(|error| WireError::Shape(error.into()))?;
    // First, since nothing else of a newer version can be relied on.
    let version = need(&json, "version", integer).map_err(WireError::Shape)?;
    if version > VERSION {
        return Err(WireError::Version { found: version });
    }
    let config = config_of(&json, version).map_err(WireError::Shape)?;
    if config.lanes.len() > LANES_MAX {
        return Err(WireError::TooManyLanes { found: config.lanes.len() });
    }
    Ok(config)
}

fn config_of(json: &Json, version: u32) -> Shape<FilterConfig> {
    Ok(FilterConfig {
        version,
        role: need(json, "role", role)?,
        lanes: list(json, "lanes", lane)?,
        carriers: nested(json, "carriers", carriers)?.unwrap_or_default(),
        keys: optional(json, "keys", key_ring)?,
        peers: optional(json, "peers", peers)?.unwrap_or_default(),
        linger_s: optional(json, "lingerS", integer)?.unwrap_or(LINGER_S_DEFAULT),
        edge: nested(json, "edge", edge)?,
        trace: nested(json, "trace", tracing)?,
    })
}

fn tracing(json: &Json) -> Shape<Tracing> {
    Ok(Tracing {
        key: need(json, "key", trace_key)?,
        expires_unix_s: need(json, "expiresUnixS", integer)?,
        samples: leaves(json, "samples", text)?.unwrap_or_default(),
    })
}

fn carriers(json: &Json) -> Shape<Carriers> {
    let default = Carriers::default();
    Ok(Carriers {
        header: optional(json, "header", header)?.unwrap_or(default.header),
        aliases: leaves(json, "aliases", header)?.unwrap_or_default(),
        baggage: match json.get("baggage") {
            None => default.baggage,
            Some(Json::Null) => None,
            Some(key) => Some(baggage_key(key).ok_or(ShapeError::Field("baggage"))?),
        },
        request_id: optional(json, "requestId", flag)?.unwrap_or(default.request_id),
        correlation: leaves(json, "correlation", id_source)?.unwrap_or(default.correlation),
    })
}

fn edge(json: &Json) -> Shape<EdgeSettings> {
    let default = EdgeSettings::default();
    Ok(EdgeSettings {
        lane_cookie: optional(json, "laneCookie", cookie_name)?.unwrap_or(default.lane_cookie),
        uid_cookie: optional(json, "uidCookie", cookie_name)?.unwrap_or(default.uid_cookie),
        cookie: nested(json, "cookie", cookie)?.unwrap_or(default.cookie),
        trusted_hops: optional(json, "trustedHops", integer)?.unwrap_or_default(),
        show_lane: optional(json, "showLane", flag)?.unwrap_or_default(),
        vary: optional(json, "vary", flag)?.unwrap_or_default(),
        layers: list(json, "layers", layer)?,
    })
}

fn cookie(json: &Json) -> Shape<CookieAttributes> {
    let default = CookieAttributes::default();
    Ok(CookieAttributes {
        path: optional(json, "path", text)?.unwrap_or(default.path),
        domain: optional(json, "domain", text)?,
        secure: optional(json, "secure", flag)?.unwrap_or(default.secure),
        http_only: optional(json, "httpOnly", flag)?.unwrap_or(default.http_only),
        same_site: match json.get("sameSite") {
            None => default.same_site,
            Some(Json::Null) => None,
            Some(value) => Some(same_site(value).ok_or(ShapeError::Field("sameSite"))?),
        },
        partitioned: optional(json, "partitioned", flag)?.unwrap_or(default.partitioned),
    })
}

fn layer(json: &Json) -> Shape<WireLayer> {
    Ok(WireLayer { name: need(json, "name", text)?, key: list(json, "key", key_source)? })
}

fn key_source(json: &Json) -> Shape<WireKeySource> {
    Ok(WireKeySource {
        subject: need(json, "subject", subject)?,
        name: need(json, "name", text)?,
        claim: optional(json, "claim", text)?.unwrap_or_default(),
    })
}

fn lane(json: &Json) -> Shape<WireLane> {
    Ok(WireLane {
        name: need(json, "name", lane_name)?,
        parent: optional(json, "parent", lane_name)?,
        epoch: optional(json, "epoch", integer)?.unwrap_or_default(),
        priority: optional(json, "priority", integer)?.unwrap_or_default(),
        expires_unix_s: optional(json, "expiresUnixS", integer)?,
        rules: list(json, "rules", rule)?,
        layer: optional(json, "layer", text)?.unwrap_or_default(),
        buckets: optional(json, "buckets", text)?.unwrap_or_default(),
        cookie_max_age_s: optional(json, "cookieMaxAgeS", integer)?.unwrap_or(COOKIE_MAX_AGE_S_DEFAULT),
        cookie: nested(json, "cookie", cookie)?,
    })
}

fn rule(json: &Json) -> Shape<WireRule> {
    Ok(WireRule {
        name: optional(json, "name", text)?.unwrap_or_default(),
        when: nested(json, "when", condition)?,
        share: optional(json, "share", integer)?,
        sticky: optional(json, "sticky", flag)?.unwrap_or_default(),
    })
}

/// An object with one member, whose name says what the condition is.
fn condition(json: &Json) -> Shape<WireCondition> {
    let Json::Object(members) = json else { return Err(ShapeError::Field("when")) };
    let [(kind, part)] = &members[..] else { return Err(ShapeError::Field("when")) };
    Ok(match kind.as_str() {
        "all" => WireCondition::All(each(part, "all", condition)?),
        "any" => WireCondition::Any(each(part, "any", condition)?),
        "not" => WireCondition::Not(Box::new(object(part, "not", condition)?)),
        "test" => WireCondition::Test(object(part, "test", test)?),
        _ => return Err(ShapeError::Field("when")),
    })
}

fn test(json: &Json) -> Shape<WireTest> {
    Ok(WireTest {
        subject: need(json, "of", subject)?,
        name: optional(json, "name", text)?.unwrap_or_default(),
        claim: optional(json, "claim", text)?.unwrap_or_default(),
        op: need(json, "op", op)?,
        values: leaves(json, "values", text)?.unwrap_or_default(),
        ignore_case: optional(json, "ignoreCase", flag)?.unwrap_or_default(),
        min: optional(json, "min", integer)?,
        max: optional(json, "max", integer)?,
    })
}

fn key_ring(json: &Json) -> Option<KeyRing> {
    let Json::List(keys) = json else { return None };
    let keys = keys.iter().map(|key| {
        let id = KeyId::new(key.get("id")?.text()?).ok()?;
        let secret = base64::decode_padded(key.get("secret")?.text()?.as_bytes())?;
        Key::new(id, secret).ok()
    });
    KeyRing::new(keys.collect::<Option<Vec<_>>>()?).ok()
}

fn trace_key(json: &Json) -> Option<TraceKey> {
    TraceKey::parse(json.text()?).ok()
}

fn role(json: &Json) -> Option<Role> {
    Some(match json.text()? {
        "edgeGuard" => Role::EdgeGuard,
        "edge" => Role::Edge,
        "inbound" => Role::Inbound,
        "outbound" => Role::Outbound,
        _ => return None,
    })
}

fn peers(json: &Json) -> Option<Peers> {
    Some(match json.text()? {
        "mtls" => Peers::Mtls,
        "any" => Peers::Any,
        _ => return None,
    })
}

fn same_site(json: &Json) -> Option<SameSite> {
    Some(match json.text()? {
        "Strict" => SameSite::Strict,
        "Lax" => SameSite::Lax,
        "None" => SameSite::None,
        _ => return None,
    })
}

fn subject(json: &Json) -> Option<Subject> {
    Some(match json.text()? {
        "cookie" => Subject::Cookie,
        "header" => Subject::Header,
        "query" => Subject::Query,
        "path" => Subject::Path,
        "method" => Subject::Method,
        "host" => Subject::Host,
        "client" => Subject::Client,
        "headerClaim" => Subject::HeaderClaim,
        "cookieClaim" => Subject::CookieClaim,
        _ => return None,
    })
}

fn op(json: &Json) -> Option<Op> {
    Some(match json.text()? {
        "in" => Op::In,
        "prefix" => Op::Prefix,
        "suffix" => Op::Suffix,
        "contains" => Op::Contains,
        "regex" => Op::Regex,
        "glob" => Op::Glob,
        "exists" => Op::Exists,
        "absent" => Op::Absent,
        "range" => Op::Range,
        "cidr" => Op::Cidr,
        _ => return None,
    })
}

fn lane_name(json: &Json) -> Option<LaneName> {
    LaneName::new(json.text()?).ok()
}

fn header(json: &Json) -> Option<HeaderName> {
    HeaderName::new(json.text()?).ok()
}

fn cookie_name(json: &Json) -> Option<CookieName> {
    CookieName::new(json.text()?).ok()
}

fn baggage_key(json: &Json) -> Option<BaggageKey> {
    BaggageKey::new(json.text()?).ok()
}

fn id_source(json: &Json) -> Option<IdSource> {
    IdSource::new(json.text()?).ok()
}

fn text(json: &Json) -> Option<String> {
    json.text().map(String::from)
}

fn flag(json: &Json) -> Option<bool> {
    match json {
        Json::Bool(truth) => Some(*truth),
        _ => None,
    }
}

fn integer<T: core::str::FromStr>(json: &Json) -> Option<T> {
    match json {
        Json::Number(number) => number.parse().ok(),
        _ => None,
    }
}

fn present<'j>(json: &'j Json, name: &str) -> Option<&'j Json> {
    json.get(name).filter(|value| **value != Json::Null)
}

fn need<T>(json: &Json, name: &'static str, read: fn(&Json) -> Option<T>) -> Shape<T> {
    json.get(name).and_then(read).ok_or(ShapeError::Field(name))
}

fn optional<T>(json: &Json, name: &'static str, read: fn(&Json) -> Option<T>) -> Shape<Option<T>> {
    present(json, name).map(|value| read(value).ok_or(ShapeError::Field(name))).transpose()
}

/// A list of values that have no fields; none where it is absent.
fn leaves<T>(json: &Json, name: &'static str, read: fn(&Json) -> Option<T>) -> Shape<Option<Vec<T>>> {
    let read_all = |value: &Json| match value {
        Json::List(items) => items.iter().map(read).collect::<Option<Vec<T>>>(),
        _ => None,
    };
    present(json, name).map(|value| read_all(value).ok_or(ShapeError::Field(name))).transpose()
}

fn nested<T>(json: &Json, name: &'static str, read: fn(&Json) -> Shape<T>) -> Shape<Option<T>> {
    present(json, name).map(|value| object(value, name, read)).transpose()
}

fn list<T>(json: &Json, name: &'static str, read: fn(&Json) -> Shape<T>) -> Shape<Vec<T>> {
    present(json, name).map_or_else(|| Ok(Vec::new()), |value| each(value, name, read))
}

fn each<T>(json: &Json, name: &'static str, read: fn(&Json) -> Shape<T>) -> Shape<Vec<T>> {
    let Json::List(items) = json else { return Err(ShapeError::Field(name)) };
    items.iter().map(|item| object(item, name, read)).collect()
}

/// Fields are read off an object only: of anything else they would all be absent, and so default.
fn object<T>(json: &Json, name: &'static str, read: fn(&Json) -> Shape<T>) -> Shape<T> {
    match json {
        Json::Object(_) => read(json),
        _ => Err(ShapeError::Field(name)),
    }
}
