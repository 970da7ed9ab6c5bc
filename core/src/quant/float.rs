//! Half-precision conversions, in integer arithmetic, so that every target gives the same bits.

/// The f32 of an IEEE 754 half. Exact. A NaN keeps its sign and payload and becomes quiet, as F16C and NEON do.
#[must_use]
pub const fn f16_to_f32(h: u16) -> f32 {
    let sign = ((h & 0x8000) as u32) << 16;
    let exponent = ((h >> 10) & 31) as u32;
    let mantissa = (h & 1023) as u32;
    match exponent {
        0 => {
            // Subnormal: mantissa · 2^-24, which f32 holds exactly.
            let magnitude = mantissa as f32 * f32::from_bits(0x3380_0000);
            f32::from_bits(sign | magnitude.to_bits())
        }
        31 if mantissa == 0 => f32::from_bits(sign | 0x7f80_0000),
        31 => f32::from_bits(sign | 0x7fc0_0000 | mantissa << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | mantissa << 13),
    }
}

/// The IEEE 754 half nearest to `x`, ties to even; overflow gives infinity, a NaN stays a quiet NaN.
#[must_use]
pub const fn f32_to_f16(x: f32) -> u16 {
    let bits = x.to_bits();
    let sign = ((bits >> 16) & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return sign | 0x7e00 | ((magnitude >> 13) & 0x1ff) as u16;
    }
    if magnitude >= 0x4780_0000 {
        return sign | 0x7c00;
    }
    if magnitude < 0x3880_0000 {
        // Subnormal half (or zero): adding 0.5 puts the rounding position at 2^-24, where a half's last bit is.
        let rounded = f32::from_bits(magnitude) + 0.5;
        return sign | (rounded.to_bits() - 0x3f00_0000) as u16;
    }
    let odd = (magnitude >> 13) & 1;
    sign | ((magnitude - 0x3800_0000 + 0xfff + odd) >> 13) as u16
}

/// The f32 whose upper half is `b`. Exact.
#[must_use]
pub const fn bf16_to_f32(b: u16) -> f32 {
    f32::from_bits((b as u32) << 16)
}

/// The bfloat16 nearest to `x`, ties to even; a NaN becomes quiet.
#[must_use]
pub const fn f32_to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    if bits & 0x7fff_ffff > 0x7f80_0000 {
        return ((bits >> 16) | 64) as u16;
    }
    ((bits + (0x7fff + ((bits >> 16) & 1))) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_survives_the_round_trip() {
        for h in 0..=u16::MAX {
            let x = f16_to_f32(h);
            let back = f32_to_f16(x);
            if x.is_nan() {
                assert_eq!(back, h | 0x200, "{h:04x}");
            } else {
                assert_eq!(back, h, "{h:04x}");
            }
            assert!(bf16_to_f32(h).is_nan() || f32_to_bf16(bf16_to_f32(h)) == h);
        }
    }

    #[test]
    fn halves_round_to_the_nearest_even() {
        for h in 0..0x7bffu16 {
            let (lo, hi) = (f64::from(f16_to_f32(h)), f64::from(f16_to_f32(h + 1)));
            let mid = ((lo + hi) / 2.0) as f32;
            assert_eq!(f32_to_f16(mid), if h & 1 == 0 { h } else { h + 1 }, "{h:04x}");
            assert_eq!(f32_to_f16(mid.next_down()), h);
            assert_eq!(f32_to_f16(mid.next_up()), h + 1);
        }
        assert_eq!(f32_to_f16(65519.996), 0x7bff);
        assert_eq!(f32_to_f16(65520.0), 0x7c00);
    }
}
