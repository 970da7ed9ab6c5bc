//! Parts of buffers, and lists with room, for code that must not be able to panic.
//!
//! Inside core the lengths are a plan's, checked when it was made, so what these functions do about a part that is not
//! there matters to nobody: they give what is harmless, and a build with debug assertions stops. In exchange no panic is
//! linked, with its message and its place: 12 KB of an image, and a question less for who reviews it.

use alloc::vec::Vec;

/// Whether the caller has kept a contract. A build with debug assertions stops if not.
#[inline(always)]
#[track_caller]
pub(crate) fn holds(contract: bool, what: &str) -> bool {
    debug_assert!(contract, "{what}");
    contract
}

/// `all[start..start + len]`.
#[inline(always)]
#[track_caller]
pub(crate) fn part<T>(all: &[T], start: usize, len: usize) -> &[T] {
    let part = start.checked_add(len).and_then(|end| all.get(start..end));
    debug_assert!(part.is_some(), "{start}+{len} of {}", all.len());
    part.unwrap_or(&[])
}

/// `all[start..start + len]`.
#[inline(always)]
#[track_caller]
pub(crate) fn part_mut<T>(all: &mut [T], start: usize, len: usize) -> &mut [T] {
    debug_assert!(start <= all.len() && len <= all.len() - start, "{start}+{len} of {}", all.len());
    start.checked_add(len).and_then(|end| all.get_mut(start..end)).unwrap_or(&mut [])
}

/// `all`, cut at `at`.
#[inline(always)]
#[track_caller]
pub(crate) fn cut<T>(all: &[T], at: usize) -> (&[T], &[T]) {
    debug_assert!(at <= all.len(), "{at} of {}", all.len());
    all.split_at_checked(at).unwrap_or((all, &[]))
}

/// `all`, cut at `at`.
#[inline(always)]
#[track_caller]
pub(crate) fn cut_mut<T>(all: &mut [T], at: usize) -> (&mut [T], &mut [T]) {
    debug_assert!(at <= all.len(), "{at} of {}", all.len());
    all.split_at_mut_checked(at).unwrap_or((&mut [], &mut []))
}

/// Copies what there is of both.
#[inline(always)]
#[track_caller]
pub(crate) fn copy<T: Copy>(to: &mut [T], from: &[T]) {
    debug_assert!(to.len() == from.len(), "{} to {}", from.len(), to.len());
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

/// Appends `item` to a list that has room for it.
#[inline(always)]
#[track_caller]
pub(crate) fn push<T>(list: &mut Vec<T>, item: T) {
    debug_assert!(list.len() < list.capacity(), "no room was made");
    if list.len() < list.capacity() {
        list.push(item);
    }
}

/// Appends `items` to a list that has room for them.
#[inline(always)]
#[track_caller]
pub(crate) fn append<T: Copy>(list: &mut Vec<T>, items: &[T]) {
    let room = list.capacity().wrapping_sub(list.len());
    debug_assert!(items.len() <= room, "no room was made");
    // `extend_from_slice` is a function of its own where code is to be small, and brings its growth and panic.
    for &item in items.get(..items.len().min(room)).unwrap_or(&[]) {
        push(list, item);
    }
}

/// Appends `items` to a list that has room for them.
#[inline(always)]
#[track_caller]
pub(crate) fn extend<T>(list: &mut Vec<T>, items: impl IntoIterator<Item = T>) {
    for item in items {
        push(list, item);
    }
}

/// Gives a list that has room for it `len` items, `item` in the new places.
#[inline(always)]
#[track_caller]
pub(crate) fn resize<T: Copy>(list: &mut Vec<T>, len: usize, item: T) {
    debug_assert!(len <= list.capacity(), "no room was made");
    list.truncate(len);
    for _ in list.len()..len.min(list.capacity()) {
        push(list, item);
    }
}
