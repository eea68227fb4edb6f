//! Wildcard patterns for paths. Takes time linear in the value, whatever the value: a client chooses it.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Most characters from a pattern's first wildcard on: each is a bit of [`States`].
const TOKENS_MAX: usize = 63;

/// One bit for each place in the pattern that a part of the value leads to.
type States = u64;

/// A compiled pattern.
///
/// `?` is one character but `/`, `*` any number of them, `**` any number of any characters. `**/` at the
/// start and after a `/` is any number of whole segments, none included: `/a/**/b` matches `/a/b`.
#[derive(Debug)]
pub(crate) struct Glob {
    #[cfg(feature = "explain")]
    text: Box<str>,
    /// What stands before the first wildcard.
    prefix: Box<[u8]>,
    tokens: Box<[Token]>,
    /// The tokens that may match nothing.
    skippable: States,
    /// The tokens that may match nothing together with the one after.
    pairs: States,
    ignore_case: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Char(char),
    One,
    Star,
    Stars,
    /// The start of a segment, where any number of segments may come; matches nothing itself.
    Segments,
    /// Within those segments: up to any `/` that ends one.
    Within,
}

impl Glob {
    pub(crate) fn new(text: &str, ignore_case: bool) -> Result<Self, String> {
        let (prefix, pattern) = match text.find(['*', '?']).and_then(|at| text.split_at_checked(at)) {
            Some(halves) => halves,
            None => (text, ""),
        };
        let tokens = tokens(pattern, prefix.is_empty() || prefix.ends_with('/'));
        if tokens.len() > TOKENS_MAX {
            return Err(format!("has more than {TOKENS_MAX} characters from its first wildcard on"));
        }
        let bits = |wanted: &[Token]| {
            let found = (0_u32..).zip(&tokens).filter(|(_, token)| wanted.contains(token));
            found.fold(0, |bits, (at, _)| bits | bit(at))
        };
        Ok(Self {
            #[cfg(feature = "explain")]
            text: text.into(),
            prefix: prefix.as_bytes().into(),
            skippable: bits(&[Token::Star, Token::Stars, Token::Segments]),
            pairs: bits(&[Token::Segments]),
            tokens: tokens.into(),
            ignore_case,
        })
    }

    /// The pattern as its author wrote it.
    #[cfg(feature = "explain")]
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn matches(&self, value: &[u8]) -> bool {
        let Some((start, rest)) = value.split_at_checked(self.prefix.len()) else { return false };
        let Ok(rest) = core::str::from_utf8(rest) else { return false };
        if !super::same(start, &self.prefix, self.ignore_case) {
            return false;
        }
        let mut states = self.with_skips(bit(0));
        for char in rest.chars() {
            let (mut next, mut left) = (0, states);
            while left != 0 {
                let at = left.trailing_zeros();
                left &= left.wrapping_sub(1);
                let token = usize::try_from(at).ok().and_then(|at| self.tokens.get(at));
                let (stay, advance) =
                    token.map_or((false, false), |token| token.takes(char, self.ignore_case));
                if stay {
                    next |= bit(at);
                }
                if advance {
                    next |= bit(at.saturating_add(1));
                }
            }
            if next == 0 {
                return false;
            }
            states = self.with_skips(next);
        }
        let end = u32::try_from(self.tokens.len()).unwrap_or(u32::MAX);
        states & bit(end) != 0
    }

    /// The states, and those after tokens that match nothing.
    fn with_skips(&self, mut states: States) -> States {
        loop {
            let more = states | (states & self.skippable) << 1 | (states & self.pairs) << 2;
            if more == states {
                return states;
            }
            states = more;
        }
    }
}

impl Token {
    /// Whether a character leaves us at this token, and whether it leads past it.
    fn takes(self, char: char, ignore_case: bool) -> (bool, bool) {
        match self {
            Self::Char(wanted) => {
                (false, wanted == char || (ignore_case && wanted.eq_ignore_ascii_case(&char)))
            }
            Self::One => (false, char != '/'),
            Self::Star => (char != '/', false),
            Self::Stars => (true, false),
            Self::Segments => (false, false),
            Self::Within => (true, char == '/'),
        }
    }
}

fn tokens(pattern: &str, mut at_segment: bool) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = pattern;
    while let Some(char) = rest.chars().next() {
        let after = rest.trim_start_matches('*');
        let stars = rest.len().saturating_sub(after.len());
        let (token, tail) = match (char, stars) {
            ('*', 1) => (Token::Star, after),
            ('*', _) => match after.strip_prefix('/') {
                Some(tail) if at_segment => (Token::Segments, tail),
                _ => (Token::Stars, after),
            },
            ('?', _) => (Token::One, tail_of(rest)),
            _ => (Token::Char(char), tail_of(rest)),
        };
        at_segment = matches!(token, Token::Segments | Token::Char('/'));
        tokens.push(token);
        if token == Token::Segments {
            tokens.push(Token::Within);
        }
        rest = tail;
    }
    tokens
}

fn tail_of(text: &str) -> &str {
    let mut chars = text.chars();
    chars.next();
    chars.as_str()
}

fn bit(at: u32) -> States {
    1_u64.checked_shl(at).unwrap_or(0)
}
