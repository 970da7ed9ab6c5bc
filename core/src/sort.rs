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
    heapsort(items, &mut |a, b| key(a) < key(b));
}

/// Brings the `n` smallest items to the front, in any order. `n` is 1 to the number of items.
#[cfg(all(feature = "sampling", not(target_os = "none")))]
pub(crate) fn smallest_first<T: Copy + Ord>(items: &mut [T], n: usize) {
    items.select_nth_unstable(n - 1);
}

/// Brings the `n` smallest items to the front, in any order. `n` is 1 to the number of items.
#[cfg(all(feature = "sampling", target_os = "none"))]
pub(crate) fn smallest_first<T: Copy + Ord>(items: &mut [T], _: usize) {
    sort(items);
}

/// Sorts items by themselves: one instance of the code a type.
#[cfg(feature = "sampling")]
#[inline(never)]
pub(crate) fn sort<T: Copy + Ord>(items: &mut [T]) {
    sort_by_key(items, |item| item);
}

/// Heapsort (Williams 1964, Floyd's construction): in place, never worse than n log n.
#[cfg(any(test, target_os = "none"))]
fn heapsort<T: Copy>(items: &mut [T], less: &mut dyn FnMut(T, T) -> bool) {
    let n = items.len();
    for i in (0..n / 2).rev() {
        sift(items, i, n, less);
    }
    for end in (1..n).rev() {
        swap(items, 0, end);
        sift(items, 0, end, less);
    }
}

/// Lets the item at `i` sink to its place in the heap `items[..end]`.
#[cfg(any(test, target_os = "none"))]
fn sift<T: Copy>(items: &mut [T], mut i: usize, end: usize, less: &mut dyn FnMut(T, T) -> bool) {
    let Some(items) = items.get_mut(..end) else { return };
    loop {
        let mut largest = i;
        for child in [2 * i + 1, 2 * i + 2] {
            if let (Some(&c), Some(&l)) = (items.get(child), items.get(largest))
                && less(l, c)
            {
                largest = child;
            }
        }
        if largest == i {
            return;
        }
        swap(items, i, largest);
        i = largest;
    }
}

#[cfg(any(test, target_os = "none"))]
fn swap<T>(items: &mut [T], i: usize, j: usize) {
    if let Ok([a, b]) = items.get_disjoint_mut([i, j]) {
        core::mem::swap(a, b);
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
            heapsort(&mut items, &mut |a, b| a < b);
            assert_eq!(items, want);
        }
    }
}
