//! What a filter reads by `get_property`: values at paths, in Envoy's encoding.

use std::collections::BTreeMap;

/// A value in the encoding that Envoy gives its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Property {
    /// Strings and byte strings, as they are.
    Bytes(Vec<u8>),
    /// Eight bytes, little-endian.
    Int(i64),
    /// One byte.
    Bool(bool),
}

impl Property {
    /// The direction of a sidecar's inbound listener, at `xds.listener_direction`.
    pub const INBOUND: Self = Self::Int(1);
    /// The direction of outbound and gateway listeners.
    pub const OUTBOUND: Self = Self::Int(2);

    /// A string value.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }

    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Int(number) => number.to_le_bytes().to_vec(),
            Self::Bool(bool) => vec![u8::from(*bool)],
        }
    }
}

/// Properties by path, path segments joined by zero bytes as in the ABI.
#[derive(Debug, Clone, Default)]
pub(super) struct Properties(BTreeMap<Vec<u8>, Vec<u8>>);

impl Properties {
    /// `path` is dotted, as people write it; or has a zero byte between segments, where one has a dot itself.
    pub(super) fn set(&mut self, path: &str, value: &Property) {
        let path = if path.contains('\0') { path.to_owned() } else { path.replace('.', "\0") };
        self.0.insert(path.into_bytes(), value.encode());
    }

    pub(super) fn set_raw(&mut self, path: Vec<u8>, value: Vec<u8>) {
        self.0.insert(path, value);
    }

    pub(super) fn get(&self, path: &[u8]) -> Option<&[u8]> {
        self.0.get(path).map(Vec::as_slice)
    }
}
