//! core as a WebAssembly module: takes a golden model in, gives the fingerprint of its logits, which must be x86's.
//!
//! The host (`run.mjs`) asks for memory, writes the file and the tokens into it, and calls [`fingerprint`]. A trap is a
//! failure.

#![no_std]

extern crate alloc;

use alloc::vec::Vec;
use barre_core::gguf::Gguf;
use barre_core::kernels::{Kernels, KvType, Mode, Serial};
use barre_core::model::{Limits, Model, Plan, WeightPlacement};
use barre_core::session::Session;
use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicUsize, Ordering};

/// Memory that only grows: a check runs once.
struct Grow;

static END: AtomicUsize = AtomicUsize::new(0);

const PAGE: usize = 65536;

// SAFETY: each allocation is a new part of the memory that this allocator alone has grown; modules have one thread.
unsafe impl GlobalAlloc for Grow {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let pages = layout.size().div_ceil(PAGE);
        // Small allocations share pages.
        let end = END.load(Ordering::Relaxed);
        let at = end.next_multiple_of(layout.align());
        let limit = core::arch::wasm32::memory_size::<0>() * PAGE;
        if end != 0 && at + layout.size() <= limit {
            END.store(at + layout.size(), Ordering::Relaxed);
            return at as *mut u8;
        }
        let page = core::arch::wasm32::memory_grow::<0>(pages.max(1));
        if page == usize::MAX {
            return core::ptr::null_mut();
        }
        END.store(page * PAGE + layout.size(), Ordering::Relaxed);
        (page * PAGE) as *mut u8
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static GROW: Grow = Grow;

/// `bytes` bytes of memory aligned to 64, for the host to write to; 0 if there are none.
#[unsafe(no_mangle)]
pub extern "C" fn memory_for(bytes: usize) -> usize {
    match Layout::from_size_align(bytes, 64) {
        // SAFETY: `GROW` takes any layout.
        Ok(layout) => unsafe { GROW.alloc(layout) as usize },
        Err(_) => 0,
    }
}

/// FNV-1a of the bits of all tokens' logits, as `tests` computes it, for the model of `bytes` bytes at `model` and
/// the `count` tokens at `tokens`. `exact`: the mode; `f32`: the KV cache.
///
/// # Safety
/// Both places are of [`memory_for`] and have been written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fingerprint(
    model: *const u8,
    bytes: usize,
    tokens: *const u32,
    count: usize,
    exact: bool,
    f32: bool,
) -> u64 {
    // SAFETY: the caller's word.
    let (file, tokens) =
        unsafe { (core::slice::from_raw_parts(model, bytes), core::slice::from_raw_parts(tokens, count)) };
    let mut reader = file;
    let Ok(gguf) = Gguf::open(&mut reader) else { trap() };
    let Ok(model) = Model::load(&gguf, &mut reader) else { trap() };
    let limits = Limits {
        context: count,
        batch: 8,
        kv: if f32 { KvType::F32 } else { KvType::F16 },
        mode: if exact { Mode::Exact } else { Mode::Int8 },
        threads: 1,
        weights: WeightPlacement::Mapped,
    };
    let kernels = Kernels::scalar();
    let Ok(plan) = Plan::new(&model, &kernels, &limits) else { trap() };
    let arena = memory_for(plan.bytes()) as *mut u8;
    if arena.is_null() {
        trap()
    }
    // SAFETY: fresh memory, zero as the runtime gives it, of that many bytes.
    let arena = unsafe { core::slice::from_raw_parts_mut(arena, plan.bytes()) };
    let Ok(mut session) = Session::new(&model, file, &plan, arena, &kernels, &Serial) else { trap() };
    let mut bits: Vec<u32> = Vec::new();
    let done = session.prefill_each(tokens, &mut |_, logits| bits.extend(logits.iter().map(|x| x.to_bits())));
    if done.is_err() {
        trap()
    }
    fnv1a(&bits)
}

fn fnv1a(bits: &[u32]) -> u64 {
    bits.iter()
        .flat_map(|b| b.to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

fn trap() -> ! {
    core::arch::wasm32::unreachable()
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    trap()
}
