//! Which of the calls that no id ties to a request are worth showing among many other flows.

use crate::record::{Place, Record};

/// The records without guesses that are made after the response: where other flows pass, they are others' calls.
/// What serves such a call has no caller then, and is in no tree.
#[must_use]
pub fn without_late_guesses(records: Vec<Record>) -> Vec<Record> {
    let is_under_way = |call: &Record| {
        records.iter().any(|record| {
            record.place == Place::Inbound
                && record.pod == call.pod
                && call.causes.contains(&record.span)
                && (record.at_us..=record.at_us.saturating_add(record.took_us)).contains(&call.at_us)
        })
    };
    let stays =
        |record: &Record| record.place != Place::Outbound || record.others.is_none() || is_under_way(record);
    let kept: Vec<bool> = records.iter().map(stays).collect();
    records.into_iter().zip(kept).filter_map(|(record, stays)| stays.then_some(record)).collect()
}
