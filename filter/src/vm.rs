//! What all plugins of one VM share, and what survives a change of configuration.

use std::cell::RefCell;

use crate::clock::Clock;
use crate::host::Host;
use crate::leases::Leases;
use crate::metrics::{Event, Metrics};
use crate::plugin::Role;

/// Most plugins whose last good configuration is kept.
const PLUGINS_MAX: usize = 16;

/// The state of a VM: one per worker and one for the main thread.
#[derive(Debug, Default)]
pub struct Vm {
    /// Coarse time.
    pub clock: Clock,
    /// Counters.
    pub metrics: Metrics,
    /// Open streams that hold ids.
    pub leases: Leases,
    /// By plugin name, the last good configuration.
    good: RefCell<Vec<(Vec<u8>, Role)>>,
}

impl Vm {
    /// The once-a-second work.
    pub fn tick<H: Host>(&self, host: &H) {
        if self.clock.read(host) {
            self.leases.renew(host, &self.metrics, self.clock.now_s());
            self.metrics.event(Event::Heartbeat);
            self.metrics.flush(host);
        }
    }

    /// Remembers a plugin's good configuration.
    pub fn remember(&self, plugin: Vec<u8>, role: Role) {
        let Ok(mut good) = self.good.try_borrow_mut() else { return };
        if let Some((_, known)) = good.iter_mut().find(|(name, _)| *name == plugin) {
            *known = role;
        } else if good.len() < PLUGINS_MAX {
            good.push((plugin, role));
        }
    }

    /// A plugin's last good configuration.
    pub fn recall(&self, plugin: &[u8]) -> Option<Role> {
        let good = self.good.try_borrow().ok()?;
        good.iter().find(|(name, _)| name == plugin).map(|(_, role)| role.clone())
    }
}
