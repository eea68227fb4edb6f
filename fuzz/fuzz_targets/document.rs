//! The input is a file of Lane documents.
#![no_main]

use canary_rules::document::{Source, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = core::str::from_utf8(input) else { return };
    match read(&[Source { name: "lanes.yaml".into(), text: text.into() }]) {
        Ok(documents) => assert_eq!(documents.lanes.len(), documents.compiled.lanes.len()),
        Err(faults) => {
            assert!(!faults.is_empty());
            for fault in faults {
                assert!(!fault.message.is_empty() && !fault.message.contains('\n'));
            }
        }
    }
});
