//! Memory that is not there: every allocation fails, every arena is too small, misaligned or dirty.

use barre_core::gguf::Gguf;
use barre_core::io::Stream;
use barre_core::kernels::{Kernels, Serial};
use barre_core::model::{Model, Plan, WeightPlacement};
use barre_core::session::{Session, SessionError};
use barre_core::tokenizer::{EncodeOptions, EncodeScratch, Tokenizer};
use barre_tests::faults::{
    Failure, Fault, FaultyIo, KINDS, Outcome, Schedule, Site, Work, limits, small_file,
};
use barre_tests::models::arena;
use barre_tests::synthetic::{Kv, Rng, Synthetic};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Failing;

// Per thread: tests run side by side, and the core stays on its caller's thread.
thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
    static FAIL_FROM: Cell<usize> = const { Cell::new(usize::MAX) };
    static FAIL_TO: Cell<usize> = const { Cell::new(usize::MAX) };
    static HELD: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to `System` with the arguments it came with, or answers null, which a caller must expect.
// `realloc` is the trait's own: allocate, copy, free.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let call = CALLS.get();
        CALLS.set(call.wrapping_add(1));
        if call >= FAIL_FROM.get() && call < FAIL_TO.get() {
            return std::ptr::null_mut();
        }
        HELD.set(HELD.get().wrapping_add(layout.size()));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.set(HELD.get().wrapping_sub(layout.size()));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Failing = Failing;

/// What the allocator saw while `f` ran, whose allocations number `from..to` failed.
struct Seen {
    calls: usize,
    held: usize,
}

fn with_failures<T>(from: usize, to: usize, f: impl FnOnce() -> T) -> (T, Seen) {
    CALLS.set(0);
    HELD.set(0);
    FAIL_FROM.set(from);
    FAIL_TO.set(to);
    let out = f();
    FAIL_FROM.set(usize::MAX);
    (out, Seen { calls: CALLS.get(), held: HELD.get() })
}

const STREAMED: WeightPlacement = WeightPlacement::Streamed { window: 512 };
const PLACEMENTS: [WeightPlacement; 4] = [
    WeightPlacement::Mapped,
    WeightPlacement::Resident,
    STREAMED,
    WeightPlacement::Pinned { pinned: 4096, window: 512 },
];

fn bytes_of(file: &[u8], weights: WeightPlacement) -> usize {
    let mut reader = file;
    let gguf = Gguf::open(&mut reader).expect("a container");
    let model = Model::load(&gguf, &mut reader).expect("a model");
    Plan::new(&model, &Kernels::scalar(), &limits(weights)).expect("a plan").bytes()
}

fn unfaulted(file: &[u8]) -> Outcome {
    let kernels = Kernels::scalar();
    let mut memory = arena(bytes_of(file, STREAMED), 0);
    let mut work = Work { kernels: &kernels, limits: limits(STREAMED), arena: memory.bytes_mut() };
    let mut outcome = Outcome::with_room();
    work.run(&mut &file[..], &mut outcome, &mut |e| panic!("{}", e.text())).expect("an outcome");
    outcome
}

#[test]
fn f14_every_allocation_fails_once_and_for_good() {
    let file = small_file();
    let kernels = Kernels::scalar();
    let want = unfaulted(&file);
    let mut memory = arena(bytes_of(&file, STREAMED), 0);
    let mut work = Work { kernels: &kernels, limits: limits(STREAMED), arena: memory.bytes_mut() };
    // How often each call may be tried again before memory is there once more.
    let mut run = |from: usize, to: usize, tries: usize| {
        let mut outcome = Outcome::with_room();
        let mut errors = 0;
        let (done, seen) = with_failures(from, to, || {
            work.run(&mut &file[..], &mut outcome, &mut |e| {
                // Nothing that allocates may stand here before memory is back.
                let out_of_memory = e.out_of_memory();
                errors += 1;
                if errors == tries || !out_of_memory {
                    FAIL_FROM.set(usize::MAX);
                }
                assert!(out_of_memory, "{e:?}");
                true
            })
        });
        assert!(done.is_some() && outcome == want, "allocation {from}: other bits");
        assert_eq!(seen.held, 0, "allocation {from}: a leak");
        (errors, seen.calls)
    };
    let (errors, sites) = run(usize::MAX, usize::MAX, 1);
    assert_eq!(errors, 0);
    let mut counted = 0;
    for site in 0..sites {
        let (once, _) = run(site, site + 1, usize::MAX);
        let (lasting, _) = run(site, usize::MAX, 3);
        assert_eq!((once, lasting), (1, 3), "allocation {site}");
        counted += once + lasting;
    }
    println!("F14: {sites} sites, {} schedules, {counted} errors, each typed, 0 bytes leaked", 2 * sites);
}

#[test]
fn f14_text_of_any_kind_is_encoded_or_memory_is_out() {
    let file = small_file();
    let mut reader = &file[..];
    let gguf = Gguf::open(&mut reader).expect("a container");
    let tokenizer = Tokenizer::from_gguf(&gguf, &mut reader).expect("a vocabulary");
    let text = "ab a<s> \u{1f4a1}b ".repeat(40);
    let options = EncodeOptions { add_special: true, parse_special: true };
    let encode = || {
        let (mut scratch, mut out) = (EncodeScratch::default(), Vec::new());
        tokenizer.encode(text.as_bytes(), options, &mut scratch, &mut out).map(|()| out.len())
    };
    let (want, seen) = with_failures(usize::MAX, usize::MAX, encode);
    for site in 0..seen.calls {
        let (failed, after) = with_failures(site, usize::MAX, encode);
        assert!(matches!(failed, Err(barre_core::tokenizer::EncodeError::OutOfMemory { .. })), "{failed:?}");
        assert_eq!(after.held, 0, "allocation {site}: a leak");
        assert_eq!(encode(), want);
    }
    println!("F14, encode: {} sites", seen.calls);
}

#[test]
fn f14_a_byte_level_vocabulary_loads_or_memory_is_out() {
    let texts = |all: &[&str]| Kv::Strs(all.iter().map(|s| (*s).to_owned()).collect());
    let file = Synthetic { kv: Vec::new(), tensors: Vec::new() }
        .with("tokenizer.ggml.model", Kv::text("gpt2"))
        .with("tokenizer.ggml.pre", Kv::text("llama-bpe"))
        .with("tokenizer.ggml.tokens", texts(&["a", "b", "ab", "<|x|>", "Ġ", "Ġa", "<|end|>", "c", "bc"]))
        .with("tokenizer.ggml.token_type", Kv::I32s(vec![1, 1, 1, 3, 1, 1, 4, 1, 1]))
        .with("tokenizer.ggml.merges", texts(&["a b", "Ġ a", "b c", "x y"]))
        .with("tokenizer.ggml.suppress_tokens", Kv::I32s(vec![3, 6]))
        .with("tokenizer.ggml.eos_token_id", Kv::U32(6))
        .file();
    let gguf = Gguf::open(&mut &file[..]).expect("a container");
    let load = || Tokenizer::from_gguf(&gguf, &mut &file[..]).map(|t| t.len()).map_err(Failure::from);
    let (loaded, seen) = with_failures(usize::MAX, usize::MAX, load);
    assert!(matches!(loaded, Ok(9)), "{loaded:?}");
    for site in 0..seen.calls {
        let (failed, after) = with_failures(site, site + 1, load);
        assert!(failed.as_ref().is_err_and(Failure::out_of_memory), "allocation {site}: {failed:?}");
        assert_eq!(after.held, 0, "allocation {site}: a leak");
    }
    println!("F14, byte-level vocabulary: {} sites", seen.calls);
}

#[test]
fn f24_memory_and_reader_fail_together() {
    let file = small_file();
    let kernels = Kernels::scalar();
    let want = unfaulted(&file);
    let mut memory = arena(bytes_of(&file, STREAMED), 0);
    let mut rng = Rng(24);
    let (mut runs, mut errors) = (0, 0);
    for _ in 0..1000 {
        let fault = Fault::Fails(rng.one_of(&KINDS));
        let site = Site { seek: false, call: rng.below(120), times: rng.below(3) + 1, fault };
        let schedule = Schedule::new([Some(site), None]);
        let (from, len) = (rng.below(60), rng.below(4) + 1);
        let mut outcome = Outcome::with_room();
        let mut work = Work { kernels: &kernels, limits: limits(STREAMED), arena: memory.bytes_mut() };
        let mut reader = Stream::new(FaultyIo::new(&file, &schedule));
        let (done, seen) = with_failures(from, from + len, || {
            work.run(&mut reader, &mut outcome, &mut |e| {
                assert!(e.out_of_memory() || e.io().is_some());
                errors += 1;
                true
            })
        });
        assert!(done.is_some() && outcome == want && seen.held == 0, "{site:?}, allocations from {from}");
        runs += 1;
    }
    println!("F24: {runs} pairs of a reader's fault and of memory's, {errors} errors, each typed");
}

#[test]
fn f17_r06_every_size_of_arena_below_the_plans_is_refused_and_the_plans_works() {
    let file = small_file();
    let kernels = Kernels::scalar();
    let want = unfaulted(&file);
    for weights in PLACEMENTS {
        let mut reader = &file[..];
        let gguf = Gguf::open(&mut reader).expect("a container");
        let model = Model::load(&gguf, &mut reader).expect("a model");
        let plan = Plan::new(&model, &kernels, &limits(weights)).expect("a plan");
        let need = plan.bytes();
        let mut memory = arena(need + 64, 0);
        let new = |arena: &mut [u8]| Session::new(&model, &file[..], &plan, arena, &kernels, &Serial).err();
        for have in 0..need {
            let got = new(&mut memory.bytes_mut()[..have]);
            assert_eq!(got, Some(SessionError::BufferTooSmall { need, have }), "{weights:?}");
        }
        for have in [need, need + 1, need + 64] {
            assert_eq!(new(&mut memory.bytes_mut()[..have]), None, "{weights:?}");
        }
        for skew in 1..64 {
            let misaligned = SessionError::Misaligned { align: Plan::ALIGN };
            assert_eq!(new(&mut memory.bytes_mut()[skew..][..need]), Some(misaligned), "F18 {skew}");
        }
        // What the arena holds does not matter, and what lies around it is not touched.
        let patterns: [[u8; 4]; 5] = [
            [0; 4],
            [0xff; 4],
            f32::NAN.to_le_bytes(),
            f32::NEG_INFINITY.to_le_bytes(),
            [0xa5, 1, 0x80, 0x7f],
        ];
        for pattern in patterns {
            let mut memory = arena(need + 128, 0x5a);
            let bytes = memory.bytes_mut();
            for (to, from) in bytes[64..][..need].iter_mut().zip(pattern.iter().cycle()) {
                *to = *from;
            }
            let mut outcome = Outcome::with_room();
            let arena = &mut bytes[64..][..need];
            let mut work = Work { kernels: &kernels, limits: limits(weights), arena };
            work.run(&mut &file[..], &mut outcome, &mut |e| panic!("{}", e.text())).expect("an outcome");
            assert!(outcome == want, "F19 {weights:?} {pattern:02x?}");
            assert!(bytes[..64].iter().chain(&bytes[64 + need..]).all(|&b| b == 0x5a), "F19: a canary");
        }
        println!("F17 F18 F19 R06: {weights:?}: {need} sizes too small, 63 misaligned, 5 patterns identical");
    }
}
