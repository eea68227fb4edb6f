//! Order statistics. Nothing here knows what the numbers are.

/// A sample, sorted.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample(Vec<f64>);

impl Sample {
    /// Of any numbers but NaN, in any order.
    pub fn new(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The value that `share` (0 to 1) of the sample does not exceed; between two values in proportion. 0 of an
    /// empty sample.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        let place = share.clamp(0.0, 1.0) * self.0.len().saturating_sub(1) as f64;
        let value = |at: f64| self.0.get(at as usize).copied().unwrap_or_default();
        let (below, above) = (value(place.floor()), value(place.ceil()));
        below + (above - below) * place.fract()
    }

    /// The middle value.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The first and the third quartile: half of the sample is between them.
    #[must_use]
    pub fn quartiles(&self) -> (f64, f64) {
        (self.quantile(0.25), self.quantile(0.75))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &[f64], share: f64, expected: f64) {
        assert_eq!(Sample::new(values.iter().copied()).quantile(share), expected);
    }

    #[test]
    fn the_middle_of_an_odd_number_is_one_of_them() {
        check(&[9.0, 1.0, 2.0], 0.5, 2.0);
    }

    #[test]
    fn the_middle_of_an_even_number_is_between_two() {
        check(&[1.0, 2.0, 4.0, 9.0], 0.5, 3.0);
    }

    #[test]
    fn the_ends_are_the_least_and_the_greatest() {
        check(&[3.0, 1.0, 2.0], 0.0, 1.0);
        check(&[3.0, 1.0, 2.0], 1.0, 3.0);
    }

    #[test]
    fn of_nothing_is_nothing() {
        check(&[], 0.5, 0.0);
    }
}
