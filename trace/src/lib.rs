//! From what proxies tell of a traced request to its way through the mesh, and to who lost its tag.
//!
//! Pure: the lines come as text, and what pods there are as data; who gets them, and from where, is another's
//! business. [`Record`] is one line, [`Trace`] the way, [`Loss`] where the tag ended and why.

mod guess;
mod loss;
mod record;
#[cfg(test)]
mod tests;
mod text;
mod tree;

pub use guess::without_late_guesses;
pub use loss::{Culprit, Loss, Why};
pub use record::{Place, Record};
pub use tree::{Hop, Pod, Trace};
