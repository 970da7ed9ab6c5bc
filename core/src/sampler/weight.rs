//! How likely a logit is: a power of two in plain f64, sixty-four at a time.

use super::group::{GROUP, Group};

/// What is computed of a group, a number a logit.
pub(super) type Numbers = [f64; GROUP];

/// Partial sums of a group: the order in which its weights are added.
const LANES: usize = 8;

/// 1.5·2^52, whose unit is 1: `x + ROUND` is `x` rounded.
pub(super) const ROUND: f64 = 6_755_399_441_055_744.0;
/// With the bias of an f64's exponent too: the lowest eleven bits of `x + BIASED` are the exponent of 2 to that.
const BIASED: f64 = ROUND + 1023.0;
/// Two to this has the exponent 0 and is taken for 0.
const LOW: f64 = -1023.0;
/// Coefficients of `(2^r − 1) / r` on `|r| ≤ 1/2`, the highest power first: the least relative error in `2^r`, 2.0e-9.
const POLYNOMIAL: [f64; 6] = [
    0.000_153_533_620_756_702_6,
    0.001_339_887_451_557_279_7,
    0.009_618_437_357_859_534,
    0.055_503_324_708_907_106,
    0.240_226_479_136_217_86,
    0.693_147_202_855_159_2,
];

/// How weights follow from logits: by their distance to the largest and the temperature.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    largest: f64,
    per_unit: f64,
}

impl Scale {
    /// By the `largest` of the logits, whose weight is 1, and a `temperature` above 0.
    pub(super) fn new(largest: f32, temperature: f32) -> Self {
        Self { largest: f64::from(largest), per_unit: core::f64::consts::LOG2_E / f64::from(temperature) }
    }

    /// The binary logarithm of a weight.
    #[inline(always)]
    pub(super) fn exponent(self, logit: f32) -> f64 {
        (f64::from(logit) - self.largest) * self.per_unit
    }

    /// A token's likelihood as a multiple of the likeliest's, at most 1; 0 for −∞ and whatever is less than 2^−1022.
    #[cfg_attr(not(target_os = "none"), inline(always))]
    #[cfg_attr(target_os = "none", inline(never))]
    pub(super) fn weight(self, logit: f32) -> f64 {
        exp2(self.exponent(logit))
    }

    /// [`exponent`](Self::exponent) of each.
    pub(super) fn exponents(self, group: &Group, exponents: &mut Numbers) {
        for (exponent, &logit) in exponents.iter_mut().zip(group) {
            *exponent = self.exponent(logit);
        }
    }

    /// [`weight`](Self::weight) of each.
    pub(super) fn weights(self, group: &Group, weights: &mut Numbers) {
        for (weight, &logit) in weights.iter_mut().zip(group) {
            *weight = self.weight(logit);
        }
    }
}

/// `2^x` for `x` of at most 0, within a relative error of 2.1e-9; 0 from −1022.5 down.
///
/// A logit is an f32, so that what it says of its token's likelihood is less exact than that. An f32's power would
/// not be: the distance to the largest logit, rounded to an f32, is wrong by a millionth of the weight and more.
// Once in an image, and wherever vectors are to be had out of it in other programs.
#[cfg_attr(not(target_os = "none"), inline(always))]
#[cfg_attr(target_os = "none", inline(never))]
pub(super) fn exp2(x: f64) -> f64 {
    let x = if x > LOW { x } else { LOW };
    let rounded = x + BIASED;
    let r = x - (rounded - BIASED);
    let mut p = POLYNOMIAL[0];
    for c in &POLYNOMIAL[1..] {
        p = p * r + c;
    }
    (p * r + 1.0) * f64::from_bits(rounded.to_bits() << 52)
}

/// The sum of a group, in an order of its own.
pub(super) fn sum(weights: &Numbers) -> f64 {
    let mut lanes = [0.0; LANES];
    for part in weights.as_chunks::<LANES>().0 {
        for (lane, weight) in lanes.iter_mut().zip(part) {
            *lane += weight;
        }
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::rng::Rng;

    #[test]
    fn powers_are_within_their_bound() {
        let mut rng = Rng::new(1);
        for round in 0..if cfg!(miri) { 1000 } else { 1_000_000 } {
            let x = -rng.next_unit() * [1.0, 30.0, 1022.0][round % 3];
            let (got, want) = (exp2(x), libm::exp2(x));
            assert!((got - want).abs() <= 2.1e-9 * want, "2^{x} is {want}, not {got}");
        }
        assert_eq!([0.0, -0.0, -1.0, -2.0, -1022.0].map(exp2), [1.0, 1.0, 0.5, 0.25, f64::MIN_POSITIVE]);
        assert_eq!([-1022.6, -1023.0, -1e9, -1e300, f64::NEG_INFINITY].map(exp2), [0.0; 5]);
        assert!(exp2(-1022.4) > 0.0);
    }

    #[test]
    fn weights_are_the_exponentials_of_distances() {
        for (logit, largest, temperature) in
            [(1.0f32, 3.5f32, 1.0f32), (-1e30, 1e30, 3e38), (0.1, 0.3, 1e-2), (-7.0, -7.0, 1e-45)]
        {
            let scale = Scale::new(largest, temperature);
            let want = libm::exp((f64::from(logit) - f64::from(largest)) / f64::from(temperature));
            assert!((scale.weight(logit) - want).abs() <= 2.1e-9 * want);
            assert_eq!(scale.weight(f32::NEG_INFINITY), 0.0);
            let mut weights = [0.0; GROUP];
            scale.weights(&[logit; GROUP], &mut weights);
            assert_eq!(weights, [scale.weight(logit); GROUP]);
            assert_eq!(sum(&[0.25; GROUP]), 16.0);
        }
    }
}
