//! Arrays of numbers, registers and references, made element by element.
//!
//! [`core::array::from_fn`] and `map` also see to what has to be dropped when `f` panics. Before it is optimised away, that is
//! several times the code, for each closure and each instance of a kernel: half of the time in which core was compiled. And
//! some of it is not optimised away but called. Firmware is compiled for size, where it makes less code: it has the library's.

#[cfg(target_os = "none")]
pub(crate) use core::array::from_fn;

/// `[f(0), f(1), ..]`
#[cfg(not(target_os = "none"))]
#[inline(always)]
pub(crate) fn from_fn<T: Copy, const N: usize>(f: impl Fn(usize) -> T) -> [T; N] {
    const { assert!(N > 0) };
    let mut all = [f(0); N];
    // An iterator would be half of the code.
    let mut i = 1;
    while i < N {
        all[i] = f(i);
        i += 1;
    }
    all
}

/// `[f(all[0]), f(all[1]), ..]`
#[cfg(feature = "batch")]
#[inline(always)]
pub(crate) fn map<A: Copy, T: Copy, const N: usize>(all: &[A; N], f: impl Fn(A) -> T) -> [T; N] {
    #[cfg(target_os = "none")]
    return all.map(f);
    #[cfg(not(target_os = "none"))]
    {
        const { assert!(N > 0) };
        let mut mapped = [f(all[0]); N];
        let mut i = 1;
        while i < N {
            mapped[i] = f(all[i]);
            i += 1;
        }
        mapped
    }
}
