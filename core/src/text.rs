//! Text of errors, without the standard library's larger formatters.
//!
//! `escape_debug` brings tables of Unicode, and `Display` of a float two algorithms for the shortest and the exact
//! digits: 13 KB of an image, for messages that few devices ever print.

use core::fmt::{self, Write as _};

/// Writes text that a file has made up: what moves the cursor, ends the line or turns its direction as `\u{…}`.
pub(crate) fn write_escaped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            '\r' => f.write_str("\\r")?,
            '\0' => f.write_str("\\0")?,
            // Controls; marks without width, of direction, and of line and paragraph ends.
            '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}' => write!(f, "\\u{{{:x}}}", u32::from(c))?,
            _ => f.write_char(c)?,
        }
    }
    Ok(())
}

/// A number in decimal, by a tenth of the code of the standard library's formatter, which cannot be told to be small.
pub(crate) struct Decimal(pub(crate) u64);

impl Decimal {
    /// Writes the digits to `out`.
    pub(crate) fn write_to(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        // 2^64 - 1 has 20 digits.
        let (mut rest, mut text, mut first) = (self.0, [0; 20], 20);
        for (at, digit) in text.iter_mut().enumerate().rev() {
            (*digit, rest, first) = (b'0' | (rest % 10) as u8, rest / 10, at);
            if rest == 0 {
                break;
            }
        }
        out.write_str(text.get(first..).and_then(|text| core::str::from_utf8(text).ok()).unwrap_or(""))
    }
}

/// A number in an error: an integer in full, any other to six digits.
pub(crate) struct Figure(pub(crate) f64);

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let x = self.0;
        if x.is_nan() {
            return f.write_str("NaN");
        }
        // Saturates: what is beyond stays unequal.
        if x as i64 as f64 == x {
            return write!(f, "{}", x as i64);
        }
        if x < 0.0 {
            f.write_str("-")?;
        }
        if x.is_infinite() {
            return f.write_str("inf");
        }
        let (mut digits, mut exponent) = (x.abs(), 0i32);
        while digits >= 10.0 {
            (digits, exponent) = (digits / 10.0, exponent.saturating_add(1));
        }
        while digits < 1.0 {
            (digits, exponent) = (digits * 10.0, exponent.saturating_sub(1));
        }
        let rounded = (digits * 1e5 + 0.5) as u32;
        let (rounded, exponent) = if rounded >= 1_000_000 {
            (rounded / 10, exponent.saturating_add(1))
        } else {
            (rounded, exponent)
        };
        write!(f, "{}.{:05}e{exponent}", rounded / 100_000, rounded % 100_000)
    }
}

/// Numbers in brackets.
pub(crate) struct Listed<'a>(pub(crate) &'a [u64]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = '[';
        for n in self.0 {
            write!(f, "{before}{}{n}", if before == '[' { "" } else { " " })?;
            before = ',';
        }
        f.write_str(if before == '[' { "[]" } else { "]" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn figures_are_integers_or_six_digits() {
        for (x, text) in [
            (0.0, "0"),
            (-3.0, "-3"),
            (1e15, "1000000000000000"),
            (0.5, "5.00000e-1"),
            (-1e-5, "-1.00000e-5"),
            (9.999_999_9, "1.00000e1"),
            (1.234_567_8, "1.23457e0"),
            (1e30, "1.00000e30"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(Figure(x).to_string(), text);
        }
        assert!(Figure(f64::MAX).to_string().ends_with("e308"));
        assert!(Figure(5e-324).to_string().starts_with("4.9"));
    }

    #[test]
    fn decimals_read_as_the_standard_library_writes_them() {
        for n in [0, 7, 10, 4_294_967_296, u64::MAX] {
            let mut text = std::string::String::new();
            Decimal(n).write_to(&mut text).unwrap();
            assert_eq!(text, n.to_string());
        }
    }

    #[test]
    fn lists_read_as_debug_prints_them() {
        for list in [&[][..], &[7], &[1, 2, 30]] {
            assert_eq!(Listed(list).to_string(), std::format!("{list:?}"));
        }
    }

    struct Escaped(&'static str);

    impl fmt::Display for Escaped {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write_escaped(f, self.0)
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(Escaped("a\x1b[2J\n\"é字\\\u{202e}").to_string(), "a\\u{1b}[2J\\n\\\"é字\\\\\\u{202e}");
    }
}
