//! Metrics that filters define: one value per name for the whole process, whichever VM counts.
//!
//! Source: Envoy's `Wasm::Context::{defineMetric,incrementMetric,recordMetric,getMetric}`.

use std::collections::BTreeMap;

use super::abi::Status;

/// What a metric's numbers mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution; this host keeps how many values it has seen.
    Histogram,
}

#[derive(Debug, Default)]
pub(super) struct Metrics {
    /// A metric's id is its place here.
    defined: Vec<(MetricKind, String)>,
    values: BTreeMap<String, u64>,
}

impl Metrics {
    pub(super) fn define(&mut self, kind: u32, name: String) -> Result<u32, Status> {
        let kind = match kind {
            0 => MetricKind::Counter,
            1 => MetricKind::Gauge,
            2 => MetricKind::Histogram,
            _ => return Err(Status::BadArgument),
        };
        self.values.entry(name.clone()).or_insert(0);
        let metric = (kind, name);
        let known = self.defined.iter().position(|defined| *defined == metric);
        let id = known.unwrap_or_else(|| {
            self.defined.push(metric);
            self.defined.len() - 1
        });
        u32::try_from(id).map_err(|_| Status::BadArgument)
    }

    /// Errors: an unknown id; a counter that is not to grow; a histogram.
    pub(super) fn increment(&mut self, id: u32, by: i64) -> Result<(), Status> {
        match self.find(id)? {
            (MetricKind::Counter, value) if by > 0 => *value += by.unsigned_abs(),
            (MetricKind::Gauge, value) => *value = value.saturating_add_signed(by),
            _ => return Err(Status::BadArgument),
        }
        Ok(())
    }

    pub(super) fn record(&mut self, id: u32, number: u64) -> Result<(), Status> {
        match self.find(id)? {
            // Sic: Envoy adds what is recorded on a counter.
            (MetricKind::Counter, value) => *value += number,
            (MetricKind::Gauge, value) => *value = number,
            (MetricKind::Histogram, value) => *value += 1,
        }
        Ok(())
    }

    pub(super) fn read(&mut self, id: u32) -> Result<u64, Status> {
        match self.find(id)? {
            (MetricKind::Histogram, _) => Err(Status::BadArgument),
            (_, value) => Ok(*value),
        }
    }

    /// Every metric that was defined, with its value.
    pub(super) fn all(&self) -> &BTreeMap<String, u64> {
        &self.values
    }

    fn find(&mut self, id: u32) -> Result<(MetricKind, &mut u64), Status> {
        let (kind, name) = self.defined.get(id as usize).ok_or(Status::NotFound)?;
        let value = self.values.get_mut(name).ok_or(Status::NotFound)?;
        Ok((*kind, value))
    }
}
