//! Integers of a range, digit by digit.

use super::SchemaError;
use super::builder::{Builder, Edge, State};
use super::characters::between;

/// Digits of the largest magnitude, 2^63.
const MAX_DIGITS: usize = 19;

/// The state that reads an integer of `low..=high`, which is not empty, and goes on with `next`.
pub(super) fn integer(builder: &mut Builder, low: i64, high: i64, next: State) -> Result<State, SchemaError> {
    let mut state = None;
    if low < 0 {
        let least = if high < 0 { high.unsigned_abs() } else { 1 };
        let to = natural(builder, least, low.unsigned_abs(), next)?;
        state = Some(builder.state(false, &[Edge { first: b'-', last: b'-', to }])?);
    }
    if high >= 0 {
        let least = low.max(0).unsigned_abs();
        let positive = natural(builder, least, high.unsigned_abs(), next)?;
        state = Some(match state {
            Some(negative) => builder.union(negative, positive)?,
            None => positive,
        });
    }
    Ok(state.unwrap_or(next))
}

/// As [`integer`], without a sign: one automaton for each number of digits, which keeps leading zeros out.
fn natural(builder: &mut Builder, low: u64, high: u64, next: State) -> Result<State, SchemaError> {
    let (low_digits, low_len) = digits(low);
    let (high_digits, high_len) = digits(high);
    let mut state = None;
    for len in low_len..=high_len {
        let (mut least, mut most) = ([b'0'; MAX_DIGITS], [b'9'; MAX_DIGITS]);
        if let Some(first) = least.first_mut() {
            *first = b'1';
        }
        if len == low_len {
            least = low_digits;
        }
        if len == high_len {
            most = high_digits;
        }
        let (least, most) = (least.get(..len).unwrap_or(&[]), most.get(..len).unwrap_or(&[]));
        let one = between(builder, least, most, (b'0', b'9'), next)?;
        state = Some(match state {
            Some(shorter) => builder.union(shorter, one)?,
            None => one,
        });
    }
    Ok(state.unwrap_or(next))
}

fn digits(n: u64) -> ([u8; MAX_DIGITS], usize) {
    let len = n.checked_ilog10().map_or(1, |log| (log as usize).saturating_add(1)).min(MAX_DIGITS);
    let mut out = [b'0'; MAX_DIGITS];
    let mut rest = n;
    for digit in out.iter_mut().take(len).rev() {
        *digit = b'0'.saturating_add((rest % 10) as u8);
        rest /= 10;
    }
    (out, len)
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "tests may panic"
)]
mod tests {
    use super::super::builder::END;
    use super::*;
    use std::string::ToString;

    fn accepted(builder: &Builder, state: State, text: &str) -> bool {
        let end = text.bytes().try_fold(state, |state, byte| {
            builder.edges(state).iter().find(|e| e.first <= byte && byte <= e.last).map(|e| e.to)
        });
        end.is_some_and(|state| builder.accepts(state))
    }

    #[test]
    fn ranges_hold_their_integers_and_no_others() {
        let ends =
            [-1234, -1000, -999, -100, -99, -21, -10, -9, -1, 0, 1, 7, 9, 10, 11, 59, 100, 347, 1000, 1205];
        for &low in &ends {
            for &high in ends.iter().filter(|&&high| high >= low) {
                let mut b = Builder::new(10_000).unwrap();
                let state = integer(&mut b, low, high, END).unwrap();
                for n in -1300..1300i64 {
                    assert_eq!(
                        accepted(&b, state, &n.to_string()),
                        low <= n && n <= high,
                        "{n} of {low}..={high}"
                    );
                }
                for bad in ["", "-", "-0", "00", "01", "-01", "+1", "007"] {
                    assert!(!accepted(&b, state, bad), "{bad} of {low}..={high}");
                }
            }
        }
    }

    #[test]
    fn the_largest_ranges_need_no_larger_numbers() {
        let mut b = Builder::new(10_000).unwrap();
        let state = integer(&mut b, i64::MIN, i64::MAX, END).unwrap();
        for n in [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX] {
            assert!(accepted(&b, state, &n.to_string()), "{n}");
        }
        for n in ["9223372036854775808", "-9223372036854775809", "10000000000000000000"] {
            assert!(!accepted(&b, state, n), "{n}");
        }
        let kept = super::super::automaton::Automaton::new(&b, state).unwrap();
        assert!(kept.len() < 150, "{}", kept.len());
    }
}
