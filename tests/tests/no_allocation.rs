//! After `Session::new` nothing allocates, and a step in a budgeted arena is the arena's alone.

use barre_core::gguf::Gguf;
use barre_core::io::Stream;
use barre_core::kernels::Serial;
use barre_core::model::{Model, Plan, WeightPlacement};
use barre_core::sampler::{Sampler, SamplerParams};
use barre_core::session::Session;
use barre_tests::models::{Golden, Run, all_kernels, arena};
use barre_tests::readers::Std;
use barre_tests::shared::golden_dirs;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(p, layout) }
    }
    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(p, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn nothing_allocates_after_session_new() {
    for golden in golden_dirs().iter().flat_map(|d| Golden::all(d)) {
        for kernels in all_kernels() {
            for weights in [
                WeightPlacement::Resident,
                WeightPlacement::Streamed { window: 8192 },
                WeightPlacement::Pinned { pinned: 100_000, window: 8192 },
            ] {
                let mut reader = Stream::new(Std::new(std::io::Cursor::new(&golden.file)));
                let gguf = Gguf::open(&mut reader).expect("a GGUF file");
                let model = Model::load(&gguf, &mut reader).expect("a model");
                let run = Run { weights, batch: 8, ..Run::new(&kernels, &Serial) };
                let plan = Plan::new(&model, &kernels, &run.limits(64)).expect("a plan");
                let mut arena = arena(plan.bytes(), 0xff);
                let mut session = Session::new(&model, reader, &plan, arena.bytes_mut(), &kernels, &Serial)
                    .expect("a session");
                let vocab_size = model.hparams().vocab_size.try_into().expect("a vocabulary");
                let mut sampler = Sampler::new(SamplerParams::default(), vocab_size).expect("a sampler");
                let before = ALLOCATIONS.load(Ordering::Relaxed);
                session.prefill(&golden.tokens[..20]).expect("a prompt");
                for _ in 0..30 {
                    let token = sampler.sample(session.logits(), session.tokens()).expect("a token");
                    session.step(token).expect("a step");
                }
                assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0, "{} {weights:?}", golden.name);
            }
        }
    }
}
