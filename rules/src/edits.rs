//! Header changes as data: what a decision wants done, in order.

use alloc::borrow::Cow;
use alloc::vec::Vec;

/// One change to a header map. Names are lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit<'c> {
    /// Every line of this name goes, one with this value comes.
    Set(&'c str, Cow<'c, [u8]>),
    /// A line more of this name; those there stay.
    Add(&'c str, Cow<'c, [u8]>),
    /// Every line of this name goes.
    Remove(&'c str),
}

/// Changes in the order they are to be made.
pub type Edits<'c> = Vec<Edit<'c>>;
