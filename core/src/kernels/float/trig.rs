//! Sine and cosine of an angle, at once.
//!
//! FreeBSD's msun, as `libm` has it, and the same bits up to 1.6 million radians; what it has for larger angles is more
//! code than all the rest. Those are made small with a 2π of 53 bits here, on every target. A position times a frequency
//! gets there beyond all contexts that models are made for.

// Copyright (C) 1993 by Sun Microsystems, Inc. All rights reserved.
// Developed at SunSoft, a Sun Microsystems, Inc. business.
// Permission to use, copy, modify, and distribute this software is freely granted, provided that this notice is preserved.

use core::f64::consts::{FRAC_2_PI, FRAC_PI_4, TAU};

/// π/2 in pieces of 33 bits, and what is left of it after each.
const PIO2: [(f64, f64); 3] = [
    (f64::from_bits(0x3ff9_21fb_5440_0000), f64::from_bits(0x3dd0_b461_1a62_6331)),
    (f64::from_bits(0x3dd0_b461_1a60_0000), f64::from_bits(0x3ba3_198a_2e03_7073)),
    (f64::from_bits(0x3ba3_198a_2e00_0000), f64::from_bits(0x397b_839a_2520_49c1)),
];

/// The sum of this and a number of less than 52 bits is rounded to a whole number.
const TO_INTEGER: f64 = 1.5 / f64::EPSILON;

/// The upper halves of angles: of 2²⁰·π/2, and of the places between the multiples of π/2.
const LARGE: u32 = 0x4139_21fb;
const BETWEEN: [u32; 4] = [0x4002_d97c, 0x400f_6a7a, 0x4015_fdbc, 0x401c_463b];

/// (sin, cos) of `angle`; NaN of what is not finite.
pub(super) fn sin_cos(angle: f64) -> (f64, f64) {
    let mut x = angle.abs();
    if upper(x) >= LARGE {
        x = (x - (x / TAU) as u64 as f64 * TAU).abs();
        if upper(x) >= LARGE {
            // No bit of it says where in a turn it is; of infinity and NaN this is NaN.
            x -= x;
        }
    }
    let (quadrant, sin, cos) = if upper(x) <= upper(FRAC_PI_4) {
        (0, small_sin(x), near_cos(x, 0.0))
    } else {
        let (quadrant, x, tail) = reduced(x);
        (quadrant, near_sin(x, tail), near_cos(x, tail))
    };
    let (sin, cos) = match quadrant & 3 {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    };
    (if angle.is_sign_negative() { -sin } else { sin }, cos)
}

const fn upper(x: f64) -> u32 {
    (x.to_bits() >> 32) as u32 & 0x7fff_ffff
}

const fn exponent(x: f64) -> u32 {
    upper(x) >> 20
}

/// `x` less a multiple of π/2, as a sum of two numbers, and the multiple (`__rem_pio2`). `x` is positive and not large.
fn reduced(x: f64) -> (i32, f64, f64) {
    let ix = upper(x);
    let (pi, pi_3_2, tau) = (0x0009_21fb, 0x4012_d97c, 0x4019_21fb);
    // Small multiples are subtracted in one step, unless nearly nothing is left.
    let nearly = ix <= BETWEEN[1] && ix & 0x000f_ffff == pi || ix == pi_3_2 || ix == tau;
    let small = BETWEEN.iter().position(|&until| ix <= until).filter(|_| !nearly);
    let n = match small {
        Some(at) => (at + 1) as f64,
        None => x * FRAC_2_PI + TO_INTEGER - TO_INTEGER,
    };
    let mut left = x - n * PIO2[0].0;
    let mut tail = n * PIO2[0].1;
    let mut y = left - tail;
    // What is lost to cancellation is made up for by more of π/2's bits.
    for ((head, rest), lost) in PIO2.into_iter().skip(1).zip([16, 49]) {
        if small.is_some() || exponent(x).saturating_sub(exponent(y)) <= lost {
            break;
        }
        let before = left;
        tail = n * head;
        left = before - tail;
        tail = n * rest - ((before - left) - tail);
        y = left - tail;
    }
    (n as i32, y, (left - y) - tail)
}

const S: [f64; 6] = [
    -1.666_666_666_666_663_2e-1,
    8.333_333_333_322_49e-3,
    -1.984_126_982_985_795e-4,
    2.755_731_370_707_006_8e-6,
    -2.505_076_025_340_686_3e-8,
    1.589_690_995_211_55e-10,
];

/// z, z·x and the polynomial's upper part, z = x².
fn sin_parts(x: f64) -> (f64, f64, f64) {
    let z = x * x;
    let r = S[1] + z * (S[2] + z * S[3]) + z * (z * z) * (S[4] + z * S[5]);
    (z, z * x, r)
}

/// sin of `x`, at most π/4.
fn small_sin(x: f64) -> f64 {
    let (z, v, r) = sin_parts(x);
    x + v * (S[0] + z * r)
}

/// sin of `x + tail`, at most π/4.
fn near_sin(x: f64, tail: f64) -> f64 {
    let (z, v, r) = sin_parts(x);
    x - ((z * (0.5 * tail - v * r) - tail) - v * S[0])
}

const C: [f64; 6] = [
    4.166_666_666_666_66e-2,
    -1.388_888_888_887_411e-3,
    2.480_158_728_947_673e-5,
    -2.755_731_435_139_066_3e-7,
    2.087_572_321_298_175e-9,
    -1.135_964_755_778_819_5e-11,
];

/// cos of `x + tail`, at most π/4.
fn near_cos(x: f64, tail: f64) -> f64 {
    let z = x * x;
    let w = z * z;
    let r = z * (C[0] + z * (C[1] + z * C[2])) + w * w * (C[3] + z * (C[4] + z * C[5]));
    let half = 0.5 * z;
    let w = 1.0 - half;
    w + (((1.0 - w) - half) + (z * r - x * tail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::f64::consts::FRAC_PI_2;

    #[track_caller]
    fn same(x: f64) {
        let (sin, cos) = sin_cos(x);
        let want = (libm::sin(x), libm::cos(x));
        assert_eq!((sin.to_bits(), cos.to_bits()), (want.0.to_bits(), want.1.to_bits()), "{x:e}");
    }

    #[test]
    fn the_bits_are_libms() {
        let mut random = 1u64;
        for _ in 0..300_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Every exponent up to 2^20, every mantissa, both signs.
            let exponent = (random >> 52 & 0x7ff) % (1023 + 20);
            let x = f64::from_bits(random & 0x800f_ffff_ffff_ffff | exponent << 52);
            same(x);
            same(libm::ldexp(x, ((1023 + 18) - exponent as i32).min(1000) - (random % 40) as i32));
        }
        // Positions are whole numbers; near multiples of π/2 and between them the most is lost.
        for position in 0..100_000u32 {
            same(position.into());
            same(f64::from(position) * 0.1);
        }
        for quarter in 1..4000u32 {
            let x = f64::from(quarter) * FRAC_PI_4;
            for near in -40..=40i64 {
                same(f64::from_bits(x.to_bits().wrapping_add_signed(near)));
                same(f64::from_bits(x.to_bits().wrapping_add_signed(near << 26)));
            }
        }
        for bits in BETWEEN.map(|upper| u64::from(upper) << 32) {
            for near in -3..=3i64 {
                same(f64::from_bits(bits.wrapping_add_signed(near << 31)));
            }
        }
        for x in [0.0, -0.0, f64::MIN_POSITIVE, 5e-324] {
            same(x);
        }
    }

    #[test]
    fn large_angles_are_near_and_others_are_nan() {
        for x in [1.65e6, -2e9, 4.3e9 + 0.7] {
            let (sin, cos) = sin_cos(x);
            assert!((sin - libm::sin(x)).abs() < 1e-6 && (cos - libm::cos(x)).abs() < 1e-6, "{x}");
        }
        assert_eq!(sin_cos(1e300), (0.0, 1.0));
        assert!(sin_cos(f64::INFINITY).0.is_nan() && sin_cos(f64::NAN).1.is_nan());
        assert!(libm::fabs(sin_cos(FRAC_PI_2).1) < 1e-16);
    }
}
