//! Signs what clients hold and must not make up: who was assigned to which lane. Also derives the keys of
//! everything else that is keyed. Knows no cookie, no header and no clock.
//!
//! A token is `lane~epoch~assigned~expires~keyid~mac` in plain ASCII that may stand in a cookie, a header and a URL:
//! `gray~3~p120~1790000000~k1~` and 22 base64url characters, HMAC-SHA256 cut to 128 bits over the purpose and
//! everything before the MAC. No field can hold a `~`.

use alloc::{string::String, string::ToString, vec::Vec};

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::base64;
use crate::name::LaneName;

#[cfg(test)]
mod tests;

/// Longest token that is looked at, in bytes.
pub const TOKEN_BYTES_MAX: usize = 256;
/// Longest key id, in bytes.
pub const KEY_ID_BYTES_MAX: usize = 16;
/// Shortest secret, in bytes.
pub const SECRET_BYTES_MIN: usize = 16;
/// Longest secret, in bytes.
pub const SECRET_BYTES_MAX: usize = 128;
/// Most keys at a time.
pub const KEYS_MAX: usize = 4;

const MAC_BYTES: usize = 16;
const SEPARATOR: char = '~';

/// Why a key or a ring of keys is refused. Never says anything of a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a key id.
    #[error("key id `{id}` must be 1 to 16 letters, digits, `-` and `_`")]
    Id {
        /// The id as given.
        id: String,
    },
    /// Not base64.
    #[error("the secret of key `{id}` is not base64")]
    Encoding {
        /// The key's id.
        id: String,
    },
    /// Too short to be safe, or too long to be meant.
    #[error("the secret of key `{id}` must have 16 to 128 bytes")]
    SecretLength {
        /// The key's id.
        id: String,
    },
    /// No key at all.
    #[error("there is no key")]
    None,
    /// More keys than [`KEYS_MAX`].
    #[error("there are more than 4 keys")]
    TooMany,
    /// Two keys with one id.
    #[error("two keys have the id `{id}`")]
    SameId {
        /// The id.
        id: String,
    },
}

/// Names a key in a token: 1 to 16 letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyId(String);

impl KeyId {
    /// The id, validated.
    ///
    /// # Errors
    /// When the text is no key id.
    pub fn new(text: &str) -> Result<Self, KeyError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if text.is_empty() || text.len() > KEY_ID_BYTES_MAX || !text.bytes().all(fits) {
            return Err(KeyError::Id { id: text.into() });
        }
        Ok(Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A named secret.
#[derive(Clone)]
pub struct Key {
    id: KeyId,
    secret: Vec<u8>,
    /// HMAC with the secret already in.
    mac: Hmac<Sha256>,
}

impl Key {
    /// A key of 16 to 128 bytes, which ought to be random.
    ///
    /// # Errors
    /// When the secret has another length.
    pub fn new(id: KeyId, secret: Vec<u8>) -> Result<Self, KeyError> {
        let length_fits = (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&secret.len());
        match Hmac::new_from_slice(&secret) {
            Ok(mac) if length_fits => Ok(Self { id, secret, mac }),
            _ => Err(KeyError::SecretLength { id: id.0 }),
        }
    }

    /// The key's name.
    #[must_use]
    pub fn id(&self) -> &KeyId {
        &self.id
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.secret == other.secret
    }
}

impl Eq for Key {}

impl core::fmt::Debug for Key {
    /// Shows no secret.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

/// One to four keys with different ids: the first signs, all verify.
///
/// Written as `[{id: k2, secret: <base64>}, {id: k1, secret: <base64>}]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<WrittenKey>", into = "Vec<WrittenKey>")]
pub struct KeyRing {
    current: Key,
    former: Vec<Key>,
}

impl KeyRing {
    /// A ring of these keys; the first one signs.
    ///
    /// # Errors
    /// When there is none, more than [`KEYS_MAX`], or two have the same id.
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Result<Self, KeyError> {
        let mut keys = keys.into_iter();
        let mut ring = Self { current: keys.next().ok_or(KeyError::None)?, former: Vec::new() };
        for key in keys {
            if ring.find(key.id.as_str()).is_some() {
                return Err(KeyError::SameId { id: key.id.0 });
            }
            ring.former.push(key);
            if ring.former.len() >= KEYS_MAX {
                return Err(KeyError::TooMany);
            }
        }
        Ok(ring)
    }

    /// The keys, the one that signs first.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        core::iter::once(&self.current).chain(&self.former)
    }

    /// A key for another use from each key, the one from the signing key first. Different purposes give
    /// unrelated keys.
    pub fn derive(&self, purpose: &str) -> impl Iterator<Item = [u8; 16]> {
        self.keys().map(move |key| tag(&key.mac, b"canaryctl derive\0", purpose.as_bytes()))
    }

    fn find(&self, id: &str) -> Option<&Key> {
        self.keys().find(|key| key.id.as_str() == id)
    }
}

/// Unknown fields are let pass: an older filter may read what a newer release wrote.
#[derive(Clone, Serialize, Deserialize)]
struct WrittenKey {
    id: String,
    secret: String,
}

impl TryFrom<Vec<WrittenKey>> for KeyRing {
    type Error = KeyError;

    fn try_from(keys: Vec<WrittenKey>) -> Result<Self, KeyError> {
        let keys = keys.into_iter().map(|written| {
            let id = KeyId::new(&written.id)?;
            let secret = base64::decode_padded(written.secret.as_bytes())
                .ok_or(KeyError::Encoding { id: written.id })?;
            Key::new(id, secret)
        });
        Self::new(keys.collect::<Result<Vec<_>, _>>()?)
    }
}

impl From<KeyRing> for Vec<WrittenKey> {
    fn from(ring: KeyRing) -> Self {
        ring.keys()
            .map(|key| WrittenKey { id: key.id.0.clone(), secret: base64::encode_padded(&key.secret) })
            .collect()
    }
}

/// What a token is for. A token for one purpose is worth nothing for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The cookie that keeps a user in an assigned lane.
    Cookie,
    /// A link that puts whoever opens it into a lane.
    Link,
    /// A request header by which a trusted tool names a lane.
    Header,
}

impl Purpose {
    fn context(self) -> &'static [u8] {
        match self {
            Self::Cookie => b"canaryctl cookie\0",
            Self::Link => b"canaryctl link\0",
            Self::Header => b"canaryctl header\0",
        }
    }
}

/// Why a request was assigned to its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assigned {
    /// By a rule that names it.
    Rule,
    /// By a percentage.
    Percent {
        /// Where in its lane's order the user stands.
        rank: u16,
    },
}

/// An assignment to a lane that a client may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The lane.
    pub lane: LaneName,
    /// The lane's life that it belongs to: tickets of an ended life are worth nothing.
    pub epoch: u32,
    /// Why.
    pub assigned: Assigned,
    /// When it ends, in seconds since 1970; at that second it is over.
    pub expires_unix_s: u64,
}

/// Why a token is worth nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// It is no token.
    #[error("the token is malformed")]
    Malformed,
    /// The key that it names is not in the ring.
    #[error("the token is signed with an unknown key")]
    UnknownKey,
    /// The key that it names did not sign it, or not for this purpose.
    #[error("the token's signature is wrong")]
    BadSignature,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
}

/// The ticket as a token: at most 142 bytes of ASCII letters, digits, `-`, `_`, `.` and `~`.
#[must_use]
pub fn sign(ring: &KeyRing, purpose: Purpose, ticket: &Ticket) -> String {
    let mut token = String::with_capacity(TOKEN_BYTES_MAX);
    token.push_str(ticket.lane.as_str());
    token.push(SEPARATOR);
    token.push_str(&ticket.epoch.to_string());
    token.push(SEPARATOR);
    match ticket.assigned {
        Assigned::Rule => token.push('r'),
        Assigned::Percent { rank } => {
            token.push('p');
            token.push_str(&rank.to_string());
        }
    }
    token.push(SEPARATOR);
    token.push_str(&ticket.expires_unix_s.to_string());
    token.push(SEPARATOR);
    token.push_str(ring.current.id.as_str());
    let mac = tag(&ring.current.mac, purpose.context(), token.as_bytes());
    token.push(SEPARATOR);
    token.push_str(&base64::encode(&mac, base64::URL));
    token
}

/// The ticket that a token holds, if this ring signed it for this purpose and it has not expired.
///
/// The MAC is compared in constant time, before anything in the token is believed.
///
/// # Errors
/// Why the token is worth nothing.
pub fn verify(
    ring: &KeyRing,
    purpose: Purpose,
    token: &[u8],
    now_unix_s: u64,
) -> Result<Ticket, TicketError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TicketError::Malformed);
    }
    let token = core::str::from_utf8(token).map_err(|_| TicketError::Malformed)?;
    let (signed, mac) = token.rsplit_once(SEPARATOR).ok_or(TicketError::Malformed)?;
    let (fields, key_id) = signed.rsplit_once(SEPARATOR).ok_or(TicketError::Malformed)?;
    let claimed = base64::decode(mac.as_bytes(), base64::URL).and_then(|mac| mac.try_into().ok());
    let claimed: [u8; MAC_BYTES] = claimed.ok_or(TicketError::Malformed)?;
    let key = ring.find(key_id).ok_or(TicketError::UnknownKey)?;
    key.mac
        .clone()
        .chain_update(purpose.context())
        .chain_update(signed)
        .verify_truncated_left(&claimed)
        .map_err(|_| TicketError::BadSignature)?;
    let ticket = read_fields(fields).ok_or(TicketError::Malformed)?;
    if ticket.expires_unix_s <= now_unix_s { Err(TicketError::Expired) } else { Ok(ticket) }
}

fn read_fields(fields: &str) -> Option<Ticket> {
    let mut fields = fields.split(SEPARATOR);
    let lane = LaneName::new(fields.next()?).ok()?;
    let epoch = fields.next()?.parse().ok()?;
    let assigned = match fields.next()? {
        "r" => Assigned::Rule,
        percent => Assigned::Percent { rank: percent.strip_prefix('p')?.parse().ok()? },
    };
    let expires_unix_s = fields.next()?.parse().ok()?;
    fields.next().is_none().then_some(Ticket { lane, epoch, assigned, expires_unix_s })
}

fn tag(mac: &Hmac<Sha256>, context: &[u8], message: &[u8]) -> [u8; MAC_BYTES] {
    let full = mac.clone().chain_update(context).chain_update(message).finalize().into_bytes();
    full.first_chunk().copied().unwrap_or_default()
}
