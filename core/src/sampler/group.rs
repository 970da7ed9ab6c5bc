//! Logits by groups of 64: what is not wanted is passed over a group at a time.

use super::SampleError;
use crate::part::cut_mut;

/// Logits of a group.
pub(super) const GROUP: usize = 64;

/// A group of logits.
pub(super) type Group = [f32; GROUP];

/// How many groups there are in `len` logits.
pub(super) const fn groups(len: usize) -> usize {
    len.div_ceil(GROUP)
}

/// The group of a number: a part of `logits`, or in `room` what is left of them, filled up with −∞, which excludes.
pub(super) fn group<'a>(logits: &'a [f32], index: usize, room: &'a mut Group) -> &'a Group {
    let rest = logits.get(index * GROUP..).unwrap_or(&[]);
    if let Some(whole) = rest.first_chunk() {
        return whole;
    }
    *room = [f32::NEG_INFINITY; GROUP];
    for (to, &from) in room.iter_mut().zip(rest) {
        *to = from;
    }
    room
}

/// The largest of a group. `None` if one is NaN or +∞.
pub(super) fn largest(group: &Group) -> Option<f32> {
    let nan = group.iter().fold(false, |any, logit| any | logit.is_nan());
    // Halves upon halves: a loop that compares with what it has found so far would be done one by one, for the sake of
    // NaN and of zeros' signs.
    let mut most = *group;
    for half in [GROUP / 2, GROUP / 4, GROUP / 8, GROUP / 16, GROUP / 32, 1] {
        let (low, high) = cut_mut(&mut most, half);
        for (a, &mut b) in low.iter_mut().zip(high) {
            *a = if *a > b { *a } else { b };
        }
    }
    let [most, ..] = most;
    (!nan && most < f32::INFINITY).then_some(most)
}

/// The first of the largest logits.
pub(super) fn likeliest(logits: &[f32]) -> Result<u32, SampleError> {
    let mut room = [0.0; GROUP];
    let (mut at, mut most) = (0, f32::NEG_INFINITY);
    for index in 0..groups(logits.len()) {
        let Some(largest) = largest(group(logits, index, &mut room)) else { return Err(not_finite(logits)) };
        if largest > most {
            (at, most) = (index, largest);
        }
    }
    if most == f32::NEG_INFINITY {
        return Err(not_finite(logits));
    }
    Ok(likeliest_of(group(logits, at, &mut room), at, most))
}

/// The first token of group `index` that has its largest logit.
pub(super) fn likeliest_of(group: &Group, index: usize, largest: f32) -> u32 {
    let place = group.iter().position(|&logit| logit == largest).unwrap_or(0);
    (index * GROUP + place) as u32
}

/// The error of logits of which one is NaN or +∞, or all are −∞.
#[cold]
pub(super) fn not_finite(logits: &[f32]) -> SampleError {
    SampleError::NonFiniteLogits {
        index: logits.iter().position(|logit| !logit.lt(&f32::INFINITY)).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_is_found_in_every_place() {
        let mut logits = [-3.0f32; 150];
        for place in 0..150 {
            logits[place] = 2.0;
            assert_eq!(likeliest(&logits), Ok(place as u32));
            for bad in [f32::NAN, -f32::NAN, f32::INFINITY] {
                logits[place] = bad;
                assert_eq!(likeliest(&logits), Err(SampleError::NonFiniteLogits { index: place }));
            }
            logits[place] = -3.0;
        }
        assert_eq!(likeliest(&[]), Err(SampleError::NonFiniteLogits { index: 0 }));
        assert_eq!(group(&logits, 2, &mut [0.0; GROUP])[21..23], [-3.0, f32::NEG_INFINITY]);
        assert_eq!(largest(&[f32::MIN; GROUP]), Some(f32::MIN));
        assert_eq!(largest(&[f32::NEG_INFINITY; GROUP]), Some(f32::NEG_INFINITY));
    }
}
