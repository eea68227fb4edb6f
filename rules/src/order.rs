//! Sorting for the filter. The standard library's, which is fast on every kind of input, weighs as much for
//! each type as all of the rules' reading; here it is done a few times per configuration.

use alloc::vec::Vec;
use core::cmp::Ordering;

/// The numbers below `count` in the order of what they stand for; what compares equal stays as it was.
pub(crate) fn order(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut merged = Vec::with_capacity(count);
    let mut run = 1_usize;
    while run < count {
        for pair in order.chunks(run.saturating_mul(2)) {
            let (mut left, mut right) = pair.split_at_checked(run).unwrap_or((pair, &[]));
            while let ([first, rest_left @ ..], [second, rest_right @ ..]) = (left, right) {
                if compare(*first, *second).is_le() {
                    merged.push(*first);
                    left = rest_left;
                } else {
                    merged.push(*second);
                    right = rest_right;
                }
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        core::mem::swap(&mut order, &mut merged);
        merged.clear();
        run = run.saturating_mul(2);
    }
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::order;

    proptest! {
        #[test]
        fn it_is_the_order_of_a_stable_sort(values in prop::collection::vec(0_u8..8, 0..70)) {
            let mut expected: Vec<usize> = (0..values.len()).collect();
            expected.sort_by_key(|at| values[*at]);
            prop_assert_eq!(order(values.len(), &|left, right| values[left].cmp(&values[right])), expected);
        }
    }
}
