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

    /// Between which two of the values the median of everything that could have been drawn lies, in at least 95 of
    /// 100 samples; `None` of fewer than six values. By the sign test, so whatever the values' distribution is.
    #[must_use]
    pub fn median_interval(&self) -> Option<(f64, f64)> {
        let Self(values) = self;
        // How likely it is that no more than so many values are below that median: tosses of a coin.
        let mut of_one = 0.5_f64.powi(i32::try_from(values.len()).ok()?);
        let mut at_most = of_one;
        let mut low = None;
        for place in 0..values.len() / 2 {
            if at_most > BEYOND_EACH_END_MAX {
                break;
            }
            low = Some(place);
            of_one *= (values.len() - place) as f64 / (place + 1) as f64;
            at_most += of_one;
        }
        let low = low?;
        Some((*values.get(low)?, *values.get(values.len() - 1 - low)?))
    }
}

/// How likely a median is to be beyond either end of its interval.
const BEYOND_EACH_END_MAX: f64 = 0.025;

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

    #[track_caller]
    fn check_interval(values: u32, expected: Option<(f64, f64)>) {
        assert_eq!(Sample::new((1..=values).map(f64::from)).median_interval(), expected);
    }

    #[test]
    fn a_median_s_interval_is_that_of_the_tables() {
        check_interval(0, None);
        check_interval(5, None);
        check_interval(6, Some((1.0, 6.0)));
        check_interval(8, Some((1.0, 8.0)));
        check_interval(9, Some((2.0, 8.0)));
        check_interval(15, Some((4.0, 12.0)));
        check_interval(25, Some((8.0, 18.0)));
    }
}
