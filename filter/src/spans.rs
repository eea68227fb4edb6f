//! The traced requests that this proxy's application has open, where the proxy keeps them: one shared-data key.

use canary_rules::trace::open::OpenSpans;

use crate::flow_map::CAS_ATTEMPTS_MAX;
use crate::host::{CAS_ABSENT, Host, SetError};

/// Beside those of [`crate::flow_map`].
const KEY: [u8; 4] = *b"cl1t";

/// All of them; none where there never was one.
pub fn read<H: Host>(host: &H) -> Option<OpenSpans> {
    host.shared(&KEY).map(|shared| OpenSpans::read(&shared.value))
}

/// Changes them; the change may be made anew where another worker was quicker.
pub fn change<H: Host>(host: &H, change: &mut dyn FnMut(&mut OpenSpans)) {
    for _ in 0..CAS_ATTEMPTS_MAX {
        let (mut spans, cas) = match host.shared(&KEY) {
            Some(shared) => (OpenSpans::read(&shared.value), shared.cas),
            None => (OpenSpans::default(), CAS_ABSENT),
        };
        change(&mut spans);
        if host.set_shared(&KEY, spans.bytes(), cas) != Err(SetError::CasMismatch) {
            return;
        }
    }
}
