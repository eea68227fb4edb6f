//! Random bytes for keys, names and numbers that nobody else draws.

use crate::failure::{Code, Failure};

/// Bytes from the system's generator.
///
/// # Errors
/// When the system gives none.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new(Code::Failed, format!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}
