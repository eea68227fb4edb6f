//! Properties of what carries a lane from hop to hop, each over inputs that nobody wrote down.

mod baggage;
mod cookie;
mod correlation;
mod request_id;
mod set_cookie;
mod signing;
