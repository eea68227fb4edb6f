//! Headers as Envoy keeps them and as the ABI hands them over.

/// An ordered multimap. Names are lower case, pseudo-headers come first, values are bytes.
///
/// Source: Envoy's `HeaderMapImpl` and proxy-wasm-cpp-host's `PairsUtil`.
///
/// Not modelled: HTTP codecs join some repeated headers (`x-request-id: a,b`) before any filter sees them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderMap {
    lines: Vec<(Vec<u8>, Vec<u8>)>,
}

impl HeaderMap {
    /// The first line of a name; all that Envoy's getter shows of a repeated header.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        let name = stored_name(name.as_bytes());
        self.lines.iter().find(|(line, _)| *line == name).map(|(_, value)| value.as_slice())
    }

    /// All lines of a name, in order.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<&[u8]> {
        let name = stored_name(name.as_bytes());
        self.lines.iter().filter(|(line, _)| *line == name).map(|(_, value)| value.as_slice()).collect()
    }

    /// Every line, in order.
    #[must_use]
    pub fn lines(&self) -> &[(Vec<u8>, Vec<u8>)] {
        &self.lines
    }

    /// Adds a line after those of the same name.
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        let line = (stored_name(name), value.to_vec());
        match line.0.starts_with(b":") {
            true => {
                let pseudo = self.lines.iter().take_while(|(name, _)| name.starts_with(b":")).count();
                self.lines.insert(pseudo, line);
            }
            false => self.lines.push(line),
        }
    }

    /// Makes a line the only one of its name; others of the name are lost.
    pub fn replace(&mut self, name: &[u8], value: &[u8]) {
        self.remove(name);
        self.add(name, value);
    }

    /// Removes every line of a name.
    pub fn remove(&mut self, name: &[u8]) {
        let name = stored_name(name);
        self.lines.retain(|(line, _)| *line != name);
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.lines.len()).unwrap_or(u32::MAX)
    }

    /// Number of lines; then name and value lengths of each; then names and values, each with a zero after it.
    pub(super) fn serialise(&self) -> Vec<u8> {
        let mut bytes = self.len().to_le_bytes().to_vec();
        for (name, value) in &self.lines {
            bytes.extend_from_slice(&length(name));
            bytes.extend_from_slice(&length(value));
        }
        for part in self.lines.iter().flat_map(|(name, value)| [name, value]) {
            bytes.extend_from_slice(part);
            bytes.push(0);
        }
        bytes
    }

    /// Reads what a filter serialised; `None` if that is malformed.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut map = Self::default();
        if bytes.is_empty() {
            return Some(map);
        }
        let (count, rest) = word(bytes)?;
        let (mut lengths, mut text) = rest.split_at_checked(count.checked_mul(8)?)?;
        for _ in 0..count {
            let (name_length, rest) = word(lengths)?;
            let (value_length, rest) = word(rest)?;
            lengths = rest;
            let (name, rest) = text.split_at_checked(name_length)?;
            let (value, rest) = rest.strip_prefix(&[0])?.split_at_checked(value_length)?;
            text = rest.strip_prefix(&[0])?;
            map.add(name, value);
        }
        Some(map)
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for HeaderMap {
    fn from_iter<T: IntoIterator<Item = (N, V)>>(lines: T) -> Self {
        let mut map = Self::default();
        lines.into_iter().for_each(|(name, value)| map.add(name.as_ref(), value.as_ref()));
        map
    }
}

/// Lower case, and `host` as the `:authority` that Envoy keeps it as.
fn stored_name(name: &[u8]) -> Vec<u8> {
    match name.to_ascii_lowercase() {
        host if host == b"host" => b":authority".to_vec(),
        name => name,
    }
}

fn length(part: &[u8]) -> [u8; 4] {
    u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes()
}

fn word(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (word, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*word) as usize, rest))
}
