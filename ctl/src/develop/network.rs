//! The cluster's network, by the addresses that this machine calls it by.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use canary_tunnel::{Client, DialError, Stream, Target};

use super::translation::Translation;

/// The cluster's network.
#[derive(Clone)]
pub struct Network {
    tunnel: Client,
    translation: Arc<Translation>,
}

impl Network {
    /// Through a tunnel, by its own addresses.
    #[must_use]
    pub fn new(tunnel: Client) -> Self {
        Self { tunnel, translation: Arc::default() }
    }

    /// With addresses of this machine's.
    #[must_use]
    pub fn translated(self, translation: Translation) -> Self {
        Self { translation: Arc::new(translation), ..self }
    }

    /// As [`Client::dial`].
    ///
    /// # Errors
    /// As there.
    pub async fn dial(&self, target: &Target) -> Result<Stream, DialError> {
        match there(&self.translation, target) {
            Some(there) => self.tunnel.dial(&there).await,
            None => self.tunnel.dial(target).await,
        }
    }

    /// As [`Client::resolve`].
    ///
    /// # Errors
    /// As there.
    pub async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, DialError> {
        let found = self.tunnel.resolve(name).await?.into_iter();
        let here = |address| match address {
            IpAddr::V4(address) => self.translation.here(address).into(),
            IpAddr::V6(_) => address,
        };
        Ok(found.map(here).collect())
    }
}

/// A target by the cluster's address, where this machine calls it by another.
fn there(translation: &Translation, target: &Target) -> Option<Target> {
    let here: Ipv4Addr = target.host().parse().ok()?;
    let there = translation.there(here);
    (there != here).then(|| Target::new(&there.to_string(), target.port()).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::develop::translation::RESERVED;

    #[test]
    fn names_and_addresses_of_its_own_go_to_the_cluster_as_they_are() {
        let range = "10.88.0.0/16".parse().expect("a range");
        let translation = Translation::new(&[range], RESERVED, &[]).expect("room");
        let target = |text: &str| text.parse::<Target>().expect("a target");
        assert_eq!(there(&translation, &target("250.88.3.7:80")), Some(target("10.88.3.7:80")));
        for same in ["cart:80", "10.88.3.7:80", "250.89.0.1:80", "[fd00::1]:80"] {
            assert_eq!(there(&translation, &target(same)), None, "{same}");
        }
    }
}
