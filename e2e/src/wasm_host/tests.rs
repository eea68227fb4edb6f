//! The host against hand-written modules: each asks one question of it.

mod crashes;
mod headers;
mod lifecycle;
mod metering;
mod shared_data;
mod surroundings;
mod wat;

use wat::Wat;
