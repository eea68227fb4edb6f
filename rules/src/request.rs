//! A request's (or response's) headers as a proxy shows them. Knows nothing of what they mean.

/// Header lines in wire order: lower-case names, pseudo-headers (`:method`, `:path`, `:authority`) included.
///
/// Values are bytes: HTTP lets a peer send any byte but CR, LF and NUL.
#[derive(Debug, Clone, Copy)]
pub struct Headers<'a> {
    lines: &'a [(&'a [u8], &'a [u8])],
}

impl<'a> Headers<'a> {
    /// Wraps lines that the caller holds; names are expected in lower case.
    #[must_use]
    pub fn new(lines: &'a [(&'a [u8], &'a [u8])]) -> Self {
        Self { lines }
    }

    /// Every line, in order.
    #[must_use]
    pub fn all(&self) -> &'a [(&'a [u8], &'a [u8])] {
        self.lines
    }

    /// The values of every line with this name, in order.
    pub fn lines<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a, 'n> {
        self.lines.iter().filter(move |(key, _)| *key == name.as_bytes()).map(|(_, value)| *value)
    }

    /// The value of the first line with this name.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&'a [u8]> {
        self.lines.iter().find(|(key, _)| *key == name.as_bytes()).map(|(_, value)| *value)
    }
}
