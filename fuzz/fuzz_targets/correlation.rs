//! The input is a header's name, then its value, one per line.
#![no_main]

use canary_rules::correlation::{FlowId, FlowIds, IdSource};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut halves = input.splitn(2, |byte| *byte == b'\n');
    let name = halves.next().and_then(|name| core::str::from_utf8(name).ok()).unwrap_or_default();
    let Ok(source) = IdSource::new(name) else { return };
    let value = halves.next().unwrap_or_default();
    let ids = FlowIds::new([9; 16]);
    let id = ids.id(&source, value);

    assert_ne!(id, Some(FlowId(0)));
    assert_eq!(IdSource::new(source.header()).as_ref(), Ok(&source));
    let padded = [b" \t", value, b" "].concat();
    assert_eq!(ids.id(&source, &padded), id, "space counts");

    let trace = match source {
        IdSource::TraceParent => value.trim_ascii().get(3..35),
        IdSource::B3 | IdSource::XB3TraceId | IdSource::UberTraceId => {
            value.trim_ascii().split(|byte| !byte.is_ascii_hexdigit()).next()
        }
        IdSource::Sw8 | IdSource::Header(_) => None,
    };
    let Some(trace) = trace else { return };
    assert_eq!(ids.id(&source, &value.to_ascii_uppercase()), ids.id(&source, &value.to_ascii_lowercase()));
    if id.is_some() {
        assert_eq!(ids.id(&IdSource::XB3TraceId, trace), id, "another flow by x-b3-traceid");
        let zeros = [&b"0".repeat(32 - trace.len()), trace].concat();
        assert_eq!(ids.id(&IdSource::XB3TraceId, &zeros), id, "another flow with zeros in front");
    }
});
