//! The filter and canaryctl itself as OCI images: made, pushed and pulled without a container engine.

mod credentials;
mod elf;
mod error;
mod image;
mod registry;

pub use credentials::Credentials;
pub use elf::{Needs, architecture};
pub use error::{Missing, RegistryError, Tried};
pub use image::Image;
pub use registry::{Pulled, Registry, Target, TargetError};
