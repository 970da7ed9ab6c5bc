//! Sorting, where code size matters more than speed.
//!
//! The standard library's unstable sort is 6 KB of code for every type and order: in firmware, more than the rest of the
//! container's parser. Bare-metal targets (no operating system) get a heapsort of a few hundred bytes instead. Callers
//! sort by orders in which no two items are equal, so that both give the same result.

/// Sorts by `key`.
#[cfg(not(target_os = "none"))]
pub(crate) fn sort_by_key<T: Copy, K: Ord>(items: &mut [T], key: impl Fn(T) -> K) {
    items.sort_unstable_by_key(|&item| key(item));
}

/// Sorts by `key`.
#[cfg(target_os = "none")]
pub(crate) fn sort_by_key<T: Copy, K: Ord>(items: &mut [T], key: impl Fn(T) -> K) {
    heapsort(items, &mut |items, i, j| less(items, i, j, &key));
}

/// Brings the `n` smallest items to the front, in any order. `n` is 1 to the number of items.
#[cfg(not(target_os = "none"))]
pub(crate) fn smallest_first<T: Copy + Ord>(items: &mut [T], n: usize) {
    items.select_nth_unstable(n - 1);
}

/// Brings the `n` smallest items to the front, in any order. `n` is 1 to the number of items.
#[cfg(target_os = "none")]
pub(crate) fn smallest_first<T: Copy + Ord>(items: &mut [T], _: usize) {
    sort_by_key(items, |item| item);
}

/// Whether the key of item `i` is less than that of item `j`.
#[cfg(any(test, target_os = "none"))]
fn less<T: Copy, K: Ord>(items: &[T], i: usize, j: usize, key: impl Fn(T) -> K) -> bool {
    matches!((items.get(i), items.get(j)), (Some(&a), Some(&b)) if key(a) < key(b))
}

/// Heapsort (Williams 1964, Floyd's construction): in place, never worse than n log n.
#[cfg(any(test, target_os = "none"))]
fn heapsort<T>(items: &mut [T], less: &mut dyn FnMut(&[T], usize, usize) -> bool) {
    let n = items.len();
    steps(n, &mut |step, i, j| match step {
        Step::Less => less(items, i, j),
        Step::Swap => {
            if let Ok([a, b]) = items.get_disjoint_mut([i, j]) {
                core::mem::swap(a, b);
            }
            true
        }
    });
}

/// What heapsort does to the items at two places. It knows nothing else of them, so that its code is there once.
#[cfg(any(test, target_os = "none"))]
enum Step {
    /// Tells whether the first is less.
    Less,
    /// Swaps them.
    Swap,
}

#[cfg(any(test, target_os = "none"))]
fn steps(n: usize, at: &mut dyn FnMut(Step, usize, usize) -> bool) {
    for i in (0..n / 2).rev() {
        sift(i, n, at);
    }
    for end in (1..n).rev() {
        at(Step::Swap, 0, end);
        sift(0, end, at);
    }
}

/// Lets the item at `i` sink to its place in the heap of the first `end` items.
#[cfg(any(test, target_os = "none"))]
fn sift(mut i: usize, end: usize, at: &mut dyn FnMut(Step, usize, usize) -> bool) {
    loop {
        let mut largest = i;
        for child in [2 * i + 1, 2 * i + 2] {
            if child < end && at(Step::Less, largest, child) {
                largest = child;
            }
        }
        if largest == i {
            return;
        }
        at(Step::Swap, i, largest);
        i = largest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn heapsort_gives_what_the_standard_library_gives() {
        let mut state = 1u64;
        for len in 0..200 {
            let mut items: Vec<u64> = (0..len)
                .map(|i| {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 60) << 32 | i
                })
                .collect();
            let mut want = items.clone();
            want.sort_unstable();
            heapsort(&mut items, &mut |items, i, j| less(items, i, j, |item| item));
            assert_eq!(items, want);
        }
    }
}
