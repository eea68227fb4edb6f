//! Who a session is: an id, and a secret of which the cluster knows only the hash.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Bytes of an id.
pub(crate) const ID_LEN: usize = 16;
/// Bytes of a secret, and of its SHA-256.
pub(crate) const SECRET_LEN: usize = 32;

/// What a client keeps to itself: whoever has it is the client of the session.
#[derive(Clone)]
pub struct Session {
    pub(crate) id: [u8; ID_LEN],
    pub(crate) secret: Secret,
}

impl Session {
    /// A session that nobody has yet.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub fn random() -> Result<Self, getrandom::Error> {
        let (mut id, mut secret) = ([0; ID_LEN], [0; SECRET_LEN]);
        getrandom::fill(&mut id)?;
        getrandom::fill(&mut secret)?;
        Ok(Self { id, secret: Secret(secret) })
    }

    /// What the agent is started with.
    #[must_use]
    pub fn secret_hash(&self) -> SecretHash {
        self.secret.hash()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// 32 random bytes; never printed.
#[derive(Clone)]
pub struct Secret(pub(crate) [u8; SECRET_LEN]);

impl Secret {
    /// Its SHA-256.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.0).into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The SHA-256 of a secret, written as 64 hexadecimal digits.
#[derive(Debug, Clone)]
pub struct SecretHash([u8; SECRET_LEN]);

impl SecretHash {
    /// Whether a secret has this hash; takes the same time whichever bytes differ.
    #[must_use]
    pub fn is_of(&self, secret: &Secret) -> bool {
        secret.hash().0.ct_eq(&self.0).into()
    }
}

impl fmt::Display for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Not the hash of anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 is 64 hexadecimal digits")]
pub struct SecretHashError;

impl FromStr for SecretHash {
    type Err = SecretHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 2 * SECRET_LEN || !text.is_ascii() {
            return Err(SecretHashError);
        }
        let mut bytes = [0; SECRET_LEN];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| SecretHashError)?;
            // A sign would be read, too.
            let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            *byte = u8::from_str_radix(digits, 16).ok().filter(|_| is_hex).ok_or(SecretHashError)?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_its_own_secret_alone() {
        let (one, other) = (Session::random().expect("bytes"), Session::random().expect("bytes"));
        assert!(one.secret_hash().is_of(&one.secret));
        assert!(!one.secret_hash().is_of(&other.secret));
        let read: SecretHash = one.secret_hash().to_string().parse().expect("what was written");
        assert!(read.is_of(&one.secret) && !read.is_of(&other.secret));
    }

    #[test]
    fn a_hash_is_written_as_sha256sum_writes_it() {
        let hash = Secret([0; SECRET_LEN]).hash().to_string();
        assert_eq!(hash, "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925");
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        for text in ["", "66", &"g".repeat(64), &"é".repeat(32), &"+1".repeat(32), &"0".repeat(65)] {
            assert!(text.parse::<SecretHash>().is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_prints_a_secret() {
        let session = Session::random().expect("bytes");
        assert_eq!(format!("{session:?} {:?}", session.secret), "Session { .. } Secret");
    }
}
