//! The filter and canaryctl itself as OCI images: made, pushed and pulled without a container engine.

mod credentials;
mod elf;
mod image;
mod registry;

pub use credentials::Credentials;
pub use elf::{Needs, architecture};
pub use image::Image;
pub use registry::{Pulled, Registry, RegistryError, Target, TargetError};
