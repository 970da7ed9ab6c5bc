//! Arguments for `write!` that need none of the standard library's formatters, which are 3 KB of an image.

use core::fmt;

/// Text as it is. The standard library's own can be padded, and brings the code for that.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a>(pub &'a str);

/// A number in decimal.
#[derive(Clone, Copy, Debug)]
pub struct Number(pub u64);

/// A number in hexadecimal, after `0x`.
#[derive(Clone, Copy, Debug)]
pub struct Hex(pub u64);

impl From<usize> for Number {
    fn from(n: usize) -> Self {
        Self(n as u64)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        digits(self.0, 10, f)
    }
}

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        digits(self.0, 16, f)
    }
}

fn digits(mut n: u64, base: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // 2^64 - 1 has 20 digits.
    let mut text = [0; 20];
    let mut first = text.len();
    for (at, digit) in text.iter_mut().enumerate().rev() {
        *digit = b"0123456789abcdef".get((n % base) as usize).copied().unwrap_or(b'0');
        (n, first) = (n / base, at);
        if n == 0 {
            break;
        }
    }
    f.write_str(text.get(first..).and_then(|text| core::str::from_utf8(text).ok()).unwrap_or(""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn numbers_read_as_the_standard_library_writes_them() {
        for n in [0, 7, 10, 99, 4_294_967_296, u64::MAX] {
            assert_eq!(format!("{} {}", Number(n), Hex(n)), format!("{n} {n:#x}"));
        }
    }
}
