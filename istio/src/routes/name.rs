//! What our routes are called: `canaryctl-<lane>-<id>`, by which they are known again.

use std::collections::HashMap;
use std::hash::Hasher;

use canary_rules::name::LaneName;
use serde_json::{Map, Value};

/// What every route of ours starts with.
const PREFIX: &str = "canaryctl-";
/// What stands for an exchange where others have their lane.
pub(super) const EXCHANGE: &str = "-exchange";
/// What stands there for the mirrors of all lanes.
pub(super) const MIRROR: &str = "-mirror";
/// Length of an id in hexadecimal digits.
const ID_DIGITS: usize = 8;

/// Whether a route of this name is ours.
///
/// A name that has this form is ours whoever wrote it: that is how a list that was read back, edited and
/// applied again is told apart.
#[must_use]
pub fn is_ours(name: &str) -> bool {
    served(name).is_some_and(|served| [EXCHANGE, MIRROR].contains(&served) || LaneName::new(served).is_ok())
}

/// Whether a route of ours is there to copy requests.
pub(crate) fn is_mirror(name: &str) -> bool {
    served(name) == Some(MIRROR)
}

/// The lane that a route of ours serves.
#[must_use]
pub fn lane_of(name: &str) -> Option<&str> {
    served(name).filter(|served| LaneName::new(served).is_ok())
}

fn served(name: &str) -> Option<&str> {
    let (head, last) = name.strip_prefix(PREFIX)?.rsplit_once('-')?;
    if is_id(last) {
        return Some(head);
    }
    let (served, id) = head.rsplit_once('-')?;
    (is_id(id) && is_ordinal(last)).then_some(served)
}

fn is_id(text: &str) -> bool {
    text.len() == ID_DIGITS && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn is_ordinal(text: &str) -> bool {
    !text.is_empty() && text.len() < ID_DIGITS && text.bytes().all(|b| b.is_ascii_digit())
}

/// Gives the copies in one list their names.
#[derive(Debug, Default)]
pub(super) struct Namer {
    given: HashMap<(String, u32), usize>,
}

impl Namer {
    /// A route's id: it depends on the route's name and conditions only, so that it outlives edits of the
    /// route's actions, of other routes, and of the order of keys.
    pub(super) fn id(&self, original: &Map<String, Value>) -> u32 {
        let mut hasher = Fnv::new();
        for key in ["name", "match"] {
            hash(original.get(key).unwrap_or(&Value::Null), &mut hasher);
        }
        let wide = hasher.finish();
        // Both halves count: the low one alone mixes short inputs badly.
        (wide >> 32) as u32 ^ wide as u32
    }

    /// The name of the next copy for a lane, an exchange or mirrors, of the route with this id.
    pub(super) fn name(&mut self, served: &str, id: u32) -> String {
        let name = format!("{PREFIX}{served}-{id:08x}");
        let nth = self.given.entry((served.to_owned(), id)).or_default();
        *nth += 1;
        match *nth {
            1 => name,
            nth => format!("{name}-{nth}"),
        }
    }
}

/// FNV-1a, 64 bits: the standard library's hasher promises no stability.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// Hashes JSON so that the order of an object's keys does not count.
fn hash(value: &Value, into: &mut Fnv) {
    match value {
        Value::Null => into.write(b"n"),
        Value::Bool(true) => into.write(b"t"),
        Value::Bool(false) => into.write(b"f"),
        Value::Number(number) => {
            into.write(b"#");
            into.write(number.to_string().as_bytes());
        }
        Value::String(text) => {
            into.write(b"\"");
            into.write(text.as_bytes());
            into.write(b"\0");
        }
        Value::Array(items) => {
            into.write(b"[");
            items.iter().for_each(|item| hash(item, into));
            into.write(b"]");
        }
        Value::Object(fields) => {
            let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
            sorted.sort_unstable_by_key(|(key, _)| *key);
            into.write(b"{");
            for (key, value) in sorted {
                into.write(key.as_bytes());
                into.write(b"\0");
                hash(value, into);
            }
            into.write(b"}");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(name: &str, want: Option<&str>) {
        assert_eq!(lane_of(name), want, "{name}");
    }

    #[test]
    fn a_name_of_ours_says_its_lane() {
        check("canaryctl-gray-0123abcd", Some("gray"));
        check("canaryctl-gray-0123abcd-2", Some("gray"));
        check("canaryctl-gray.checkout-0123abcd", Some("gray.checkout"));
        check("canaryctl-dev-alice-0123abcd-12", Some("dev-alice"));
        check("canaryctl-a-12345678-0123abcd", Some("a-12345678"));
    }

    #[test]
    fn exchanges_and_mirrors_are_ours_and_no_lanes() {
        for name in
            ["canaryctl--exchange-0123abcd", "canaryctl--exchange-0123abcd-2", "canaryctl--mirror-0123abcd"]
        {
            check(name, None);
            assert!(is_ours(name), "{name}");
        }
        assert!(!is_ours("canaryctl--other-0123abcd"));
    }

    #[test]
    fn other_names_are_the_users() {
        for name in [
            "",
            "canaryctl",
            "canaryctl-",
            "canaryctl-gray",
            "canaryctl-0123abcd",
            "canaryctl-gray-0123ABCD",
            "canaryctl-gray-0123abc",
            "canaryctl-gray-0123abcd-x",
            "canaryctl-Gray-0123abcd",
            "my-canaryctl-gray-0123abcd",
        ] {
            check(name, None);
        }
    }

    fn id(route: Value) -> u32 {
        Namer::default().id(route.as_object().expect("a route"))
    }

    #[test]
    fn an_id_depends_on_name_and_conditions_only() {
        let route =
            id(json!({"name": "api", "match": [{"uri": {"prefix": "/a"}, "port": 80}], "timeout": "1s"}));
        assert_eq!(route, id(json!({"match": [{"port": 80, "uri": {"prefix": "/a"}}], "name": "api"})));
        assert_ne!(route, id(json!({"match": [{"port": 81, "uri": {"prefix": "/a"}}], "name": "api"})));
        assert_ne!(route, id(json!({"match": [{"port": 80, "uri": {"prefix": "/a"}}], "name": "ap"})));
        assert_ne!(id(json!({})), id(json!({"match": []})));
    }

    #[test]
    fn equal_routes_are_counted() {
        let mut namer = Namer::default();
        assert_eq!(namer.name("gray", 1), "canaryctl-gray-00000001");
        assert_eq!(namer.name("gray", 1), "canaryctl-gray-00000001-2");
        assert_eq!(namer.name("gray", 2), "canaryctl-gray-00000002");
        assert_eq!(namer.name(EXCHANGE, 2), "canaryctl--exchange-00000002");
    }
}
