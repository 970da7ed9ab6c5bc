//! Memory budgets: what is planned is what is used, what has no room is read in order and once, and nothing of that
//! shows in the bits.

use barre::pool::Pool;
use barre_core::gguf::Gguf;
use barre_core::io::{AbsOffset, IoError, ReadAt, Stream};
use barre_core::kernels::{Executor, Kernels, KvType, MatmulEvent, Mode, Serial, Trace};
use barre_core::model::{Chunks, Limits, MAX_SLOTS, Matrix, Memory, Model, Plan, PlanError, WeightPlacement};
use barre_core::quant::WeightFormat;
use barre_core::session::{Progress, Session, SessionError};
use barre_tests::models::{Run, all_kernels, arena};
use barre_tests::readers::{Clock, Lender, Std};
use barre_tests::synthetic::{Kv, LayerSpec, Rng, Spec, Synthetic, Tensor};
use std::collections::BTreeMap;

const TOKENS: [u32; 11] = [1, 9, 4, 4, 31, 0, 7, 2, 30, 5, 6];

/// Matrices in many formats, of a size that leaves something to be cut.
fn mixed() -> Vec<u8> {
    use WeightFormat::{F16, F32, Q2_K, Q4_0, Q4_K, Q6_K, Q8_0};
    Spec {
        biases: true,
        vocab: 32,
        ..Spec::in_formats(&[Q4_K, F16, Q8_0, Q6_K, F32, Q4_0, Q2_K, Q4_K, Q6_K])
    }
    .build()
    .file()
}

/// Five layers, so that spreading them means something.
fn layered() -> Vec<u8> {
    let layer = Spec::small().layers[0];
    let feed_forward = [24, 80, 24, 160, 56];
    let layers = feed_forward.map(|feed_forward| LayerSpec { feed_forward, ..layer });
    Spec { layers: layers.into(), ..Spec::small() }.build().file()
}

fn load(mut reader: impl ReadAt) -> Model {
    let gguf = Gguf::open(&mut reader).expect("a container");
    Model::load(&gguf, &mut reader).expect("a model")
}

fn best() -> Kernels {
    all_kernels().pop().expect("scalar at least")
}

fn limits(batch: usize, weights: WeightPlacement) -> Limits {
    Limits { context: 16, batch, kv: KvType::F16, mode: Mode::Int8, threads: 1, weights }
}

fn longest_row(model: &Model) -> usize {
    model.matrices().map(Matrix::row_bytes).max().expect("matrices")
}

fn all_bytes(model: &Model) -> u64 {
    model.matrices().map(|m| m.bytes() as u64).sum()
}

fn bits(logits: &[f32]) -> Vec<u32> {
    assert!(!logits.is_empty() && logits.iter().all(|x| x.is_finite()));
    logits.iter().map(|x| x.to_bits()).collect()
}

/// Logits of every token, the first part of them taken in as a prompt.
fn take_in<R: ReadAt>(session: &mut Session<'_, R>) -> Result<Vec<u32>, SessionError> {
    let mut all = Vec::new();
    session.prefill_each(&TOKENS[..5], &mut |_, logits| all.extend(bits(logits)))?;
    all.extend(bits(session.prefill(&TOKENS[5..9])?));
    all.extend(bits(session.step(TOKENS[9])?));
    all.extend(bits(session.step(TOKENS[10])?));
    Ok(all)
}

fn run(model: &Model, plan: &Plan, reader: impl ReadAt, executor: &dyn Executor) -> Vec<u32> {
    let mut memory = arena(plan.bytes(), 0xa5);
    let kernels = best();
    let mut session =
        Session::new(model, reader, plan, memory.bytes_mut(), &kernels, executor).expect("a session");
    take_in(&mut session).expect("room")
}

/// Pinned shares from none to all, cut anywhere.
fn shares(model: &Model) -> Vec<usize> {
    let all = model.packed_bytes() as usize;
    [0, 1, all / 7, all / 3, all / 2 + 13, all - 1, all, usize::MAX].into()
}

#[test]
fn no_share_chunk_or_depth_shows_in_the_bits() {
    let pool = Pool::new(2).expect("threads");
    let mut ways = 0;
    for file in [mixed(), layered()] {
        let model = load(&file[..]);
        let kernels = best();
        let row = longest_row(&model);
        let plan = |batch, weights| Plan::new(&model, &kernels, &limits(batch, weights)).expect("a plan");
        let want = run(&model, &plan(1, WeightPlacement::Mapped), &file[..], &Serial);
        let clock = Clock::default();
        for pinned in shares(&model) {
            for chunk in [row, 3 * row + 5, 1 << 20] {
                for batch in [1, 3, usize::MAX] {
                    let windowed = plan(batch, WeightPlacement::Pinned { pinned, window: chunk });
                    let reader = Stream::new(Std::new(std::io::Cursor::new(&file)));
                    assert!(run(&model, &windowed, reader, &Serial) == want, "{pinned} {chunk} {batch}");
                    for slots in [1, 2, 5] {
                        let lent = plan(batch, WeightPlacement::Lent { pinned, chunk, slots });
                        let reader = Lender::new(&file, slots, 1e6, &clock);
                        let executor: &dyn Executor = if batch == 3 { &pool } else { &Serial };
                        let got = run(&model, &lent, reader, executor);
                        assert!(got == want, "{pinned} {chunk} {batch} {slots}");
                        ways += 1;
                    }
                    // What can be addressed is lent where it lies.
                    let lent = plan(batch, WeightPlacement::Lent { pinned, chunk, slots: 2 });
                    assert!(run(&model, &lent, &file[..], &Serial) == want);
                    ways += 2;
                }
            }
        }
    }
    println!("{ways} ways compared");
}

#[test]
fn what_is_pinned_grows_with_the_memory_for_it() {
    let kernels = best();
    for file in [mixed(), layered()] {
        let model = load(&file[..]);
        let all = model.packed_bytes() as usize;
        let row = longest_row(&model);
        let mut before = 0;
        for pinned in (0..=all).step_by(97).chain([all]) {
            let weights = WeightPlacement::Lent { pinned, chunk: row, slots: 2 };
            let plan = Plan::new(&model, &kernels, &limits(1, weights)).expect("a plan");
            let held = plan.resident_bytes();
            assert!(held >= before && held <= pinned as u64, "{held} of {pinned}");
            // Lost are less than a row and the gaps between matrices.
            assert!(
                held + (row + 64 * model.matrices().count()) as u64 > pinned as u64,
                "{held} of {pinned}"
            );
            assert_eq!(plan.resident_fraction(), held as f64 / all_bytes(&model) as f64);
            let embd_row = model.token_embd().row_bytes() as u64;
            assert_eq!(plan.streamed_bytes_per_token(), all_bytes(&model) - held + embd_row);
            before = held;
        }
        assert_eq!(before, all_bytes(&model));
    }
}

#[test]
fn each_byte_is_read_once_a_batch_in_the_order_of_the_file() {
    let kernels = best();
    for file in [mixed(), layered()] {
        let model = load(&file[..]);
        let row = longest_row(&model);
        for pinned in shares(&model) {
            for (chunk, slots) in [(row, 1), (row, 4), (5 * row, 3)] {
                let weights = WeightPlacement::Lent { pinned, chunk, slots };
                let plan = Plan::new(&model, &kernels, &limits(4, weights)).expect("a plan");
                let (clock, mut memory) = (Clock::default(), arena(plan.bytes(), 0));
                let mut reader = Lender::new(&file, slots, 1e6, &clock);
                let mut session =
                    Session::new(&model, &mut reader, &plan, memory.bytes_mut(), &kernels, &Serial)
                        .expect("a session");
                // Three batches, of which the last has a head, and two tokens.
                session.prefill(&TOKENS[..9]).expect("room");
                session.step(TOKENS[9]).expect("room");
                session.step(TOKENS[10]).expect("room");
                let streamed = all_bytes(&model) - plan.resident_bytes();
                let head = model.output();
                let mut counts = BTreeMap::new();
                for &chunk in &reader.reads {
                    *counts.entry(chunk).or_insert(0) += 1;
                }
                let mut beyond = 0;
                for (&(at, len), &count) in &counts {
                    let is_head = (head.abs().get()..head.abs().get() + head.bytes() as u64).contains(&at);
                    let passes = if is_head { 3 } else { 5 };
                    // What was announced for the next token and never asked for.
                    assert!(count >= passes, "{at}: {count}");
                    beyond += len * (count - passes);
                }
                assert!(beyond <= slots * chunk, "{pinned}");
                assert_eq!(counts.keys().map(|&(_, len)| len as u64).sum::<u64>(), streamed);
                if streamed == 0 {
                    assert!(reader.reads.is_empty());
                    continue;
                }
                // Ahead of every multiplication, as many chunks are on their way as there are buffers.
                assert!(reader.depths.iter().all(|&depth| depth == slots), "{:?}", reader.depths);
                // Inside a layer, offsets grow wherever the order of computation leaves the choice.
                for layer in model.layers() {
                    for group in
                        [&[layer.attn_q, layer.attn_k, layer.attn_v][..], &[layer.ffn_gate, layer.ffn_up]]
                    {
                        let inside = |at: u64| {
                            group
                                .iter()
                                .any(|m| (m.abs().get()..m.abs().get() + m.bytes() as u64).contains(&at))
                        };
                        let places: Vec<u64> =
                            reader.reads.iter().map(|&(at, _)| at).filter(|&at| inside(at)).collect();
                        let first = places.iter().min();
                        for pass in places.chunk_by(|a, b| a < b) {
                            assert_eq!(pass.first(), first, "a pass begins with the first");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_window_is_filled_while_the_next_chunk_is_on_its_way() {
    /// Counts announcements and checks that what is read was announced, once there was an occasion to.
    struct Announced<'a>(&'a [u8], Option<(u64, u64)>, usize);
    impl ReadAt for Announced<'_> {
        fn read_at(&mut self, at: AbsOffset, buf: &mut [u8]) -> Result<(), IoError> {
            if self.1.take() == Some((at.get(), buf.len() as u64)) {
                self.2 += 1;
            }
            self.0.read_at(at, buf)
        }
        fn prefetch(&mut self, at: AbsOffset, len: u64) {
            assert_eq!(self.1.replace((at.get(), len)), None, "one at a time");
        }
        fn len(&mut self) -> Result<u64, IoError> {
            Ok(self.0.len() as u64)
        }
    }
    let file = layered();
    let (model, kernels) = (load(&file[..]), best());
    let row = longest_row(&model);
    let weights = WeightPlacement::Streamed { window: 2 * row };
    let plan = Plan::new(&model, &kernels, &limits(4, weights)).expect("a plan");
    let mut memory = arena(plan.bytes(), 0);
    let mut reader = Announced(&file, None, 0);
    let mut session =
        Session::new(&model, &mut reader, &plan, memory.bytes_mut(), &kernels, &Serial).expect("a session");
    session.step(1).expect("room");
    session.rewind(0).expect("been there");
    session.step(1).expect("room");
    let chunks: usize = model.matrices().map(|m| m.n().div_ceil(2 * row / m.row_bytes())).sum();
    // The first of the second pass was announced before the embedding's row was read.
    assert!(reader.2 + 2 >= 2 * chunks, "{} of {}", reader.2, 2 * chunks);
}

#[test]
fn budgets_from_nothing_to_more_than_enough() {
    let kernels = best();
    let mut refused = 0;
    for (file, chunks) in [
        (mixed(), Chunks::Lent),
        (mixed(), Chunks::Window),
        (layered(), Chunks::Lent),
        (layered(), Chunks::Window),
    ] {
        let model = load(&file[..]);
        let asked = limits(8, WeightPlacement::Mapped);
        let want = run(&model, &Plan::new(&model, &kernels, &asked).expect("a plan"), &file[..], &Serial);
        let least = Plan::minimum(&model, &kernels, &asked, chunks).expect("a plan").total_bytes();
        let within = |budget| Plan::within(&model, &kernels, &asked, chunks, budget);
        for budget in (0..least as usize).step_by(211).chain([least as usize - 1]) {
            match within(budget).expect_err("too little") {
                PlanError::OverBudget { region, need, have } => {
                    assert_eq!((need, have), (least, budget as u64));
                    assert!(!region.is_empty());
                }
                e => panic!("{e}"),
            }
            refused += 1;
        }
        let text = within(least as usize / 2).expect_err("too little").to_string();
        assert!(text.contains(&least.to_string()) && !text.contains('\n'), "{text}");
        let resident = limits(8, WeightPlacement::Resident);
        let full = Plan::new(&model, &kernels, &resident).expect("a plan").total_bytes() as usize;
        let mut held = 0;
        let steps = (least as usize..full).step_by((full - least as usize) / 40);
        for budget in steps.chain([full, full + (1 << 24), 1 << 40]) {
            let plan = within(budget).expect("room");
            assert!(plan.total_bytes() <= budget as u64, "{budget}");
            assert_eq!(plan.total_bytes(), (plan.bytes() + plan.reader_bytes()) as u64);
            assert!(plan.limits().batch <= 8);
            held = held.max(plan.resident_bytes());
            let slots = match plan.limits().weights {
                WeightPlacement::Lent { slots, .. } => slots,
                _ => 1,
            };
            let clock = Clock::default();
            let reader = Lender::new(&file, slots, 1e6, &clock);
            assert!(run(&model, &plan, reader, &Serial) == want, "{budget}");
        }
        assert_eq!(held, all_bytes(&model), "with room for all, all is resident");
        assert_eq!(within(1 << 40).expect("room").limits().weights, WeightPlacement::Resident);
    }
    println!("{refused} budgets refused");
}

#[test]
fn the_arena_of_a_budget_is_used_to_the_byte() {
    let file = layered();
    let (model, kernels) = (load(&file[..]), best());
    let asked = limits(4, WeightPlacement::Mapped);
    for chunks in [Chunks::Lent, Chunks::Window] {
        let least = Plan::minimum(&model, &kernels, &asked, chunks).expect("a plan").total_bytes() as usize;
        for budget in [least, least + 5000, least + 20_000] {
            let plan = Plan::within(&model, &kernels, &asked, chunks, budget).expect("room");
            let mut memory = arena(plan.bytes() + 64, 0xc3);
            let short = &mut memory.bytes_mut()[..plan.bytes() - 1];
            let (need, have) = (plan.bytes(), plan.bytes() - 1);
            let got = Session::new(&model, &file[..], &plan, short, &kernels, &Serial).err();
            assert_eq!(got, Some(SessionError::BufferTooSmall { need, have }));
            let exact = &mut memory.bytes_mut()[..plan.bytes()];
            let mut session = Session::new(&model, &file[..], &plan, exact, &kernels, &Serial).expect("room");
            take_in(&mut session).expect("room");
            assert!(memory.bytes_mut()[plan.bytes()..].iter().all(|&b| b == 0xc3), "nothing beyond it");
            let end = plan.regions().map(|r| r.offset + r.bytes).max().expect("regions");
            assert!(plan.bytes() - end < Plan::ALIGN);
        }
    }
}

#[test]
fn placements_that_no_session_can_have() {
    let file = layered();
    let (model, kernels) = (load(&file[..]), best());
    let row = longest_row(&model);
    let lent = |chunk, slots| WeightPlacement::Lent { pinned: 0, chunk, slots };
    let most = isize::MAX as usize;
    for (weights, limit, value, min, max) in [
        (WeightPlacement::Pinned { pinned: 0, window: row - 1 }, "stream window", row - 1, row, most),
        (lent(row - 1, 2), "lent chunk", row - 1, row, most),
        (lent(most + 1, 2), "lent chunk", most + 1, row, most),
        (lent(row, 0), "read-ahead slots", 0, 1, MAX_SLOTS),
        (lent(row, MAX_SLOTS + 1), "read-ahead slots", MAX_SLOTS + 1, 1, MAX_SLOTS),
    ] {
        let got = Plan::new(&model, &kernels, &limits(1, weights)).expect_err(limit);
        assert_eq!(got, PlanError::BadLimit { limit, value, min, max });
    }
    let huge = Plan::new(&model, &kernels, &limits(1, lent(most, 2))).expect_err("too much");
    assert!(matches!(huge, PlanError::TooBig { region: "read-ahead buffers", .. }), "{huge}");
    // A reader that has neither views nor buffers.
    let plan = Plan::new(&model, &kernels, &limits(1, lent(row, 2))).expect("a plan");
    let mut memory = arena(plan.bytes(), 0);
    let reader = Stream::new(Std::new(std::io::Cursor::new(&file)));
    let mut session =
        Session::new(&model, reader, &plan, memory.bytes_mut(), &kernels, &Serial).expect("a session");
    assert!(matches!(session.step(1), Err(SessionError::NotMapped { .. })));
}

#[test]
fn work_dropped_or_failed_at_any_point_leaves_no_trace() {
    let file = layered();
    let (model, kernels) = (load(&file[..]), best());
    let (row, pinned) = (longest_row(&model), model.packed_bytes() as usize / 3);
    let mut failures = 0;
    for slots in [1, 3] {
        let weights = WeightPlacement::Lent { pinned, chunk: 2 * row, slots };
        let plan = Plan::new(&model, &kernels, &limits(4, weights)).expect("a plan");
        let clock = Clock::default();
        let want = run(&model, &plan, Lender::new(&file, slots, 1e6, &clock), &Serial);
        let mut memory = arena(plan.bytes(), 0xff);
        // Every chunk fails once.
        for fail_at in 1.. {
            let mut reader = Lender::new(&file, slots, 1e6, &clock);
            reader.fail_at = fail_at;
            let mut session = Session::new(&model, &mut reader, &plan, memory.bytes_mut(), &kernels, &Serial)
                .expect("a session");
            let mut failed = 0;
            let got = loop {
                match take_in(&mut session) {
                    Ok(bits) => break bits,
                    Err(e) => {
                        assert!(matches!(e, SessionError::Weights { .. }), "{e}");
                        failed += 1;
                        session.reset();
                    }
                }
            };
            assert!(got == want, "{fail_at}");
            failures += failed;
            if reader.calls < fail_at {
                break;
            }
            assert_eq!(failed, 1, "{fail_at}");
        }
        // Cancelled after any number of pieces, again and again.
        let reader = Lender::new(&file, slots, 1e6, &clock);
        let mut session =
            Session::new(&model, reader, &plan, memory.bytes_mut(), &kernels, &Serial).expect("a session");
        let mut rng = Rng(3);
        for _ in 0..200 {
            session.reset();
            session.begin(&TOKENS[..1 + rng.below(11)]).expect("room");
            for _ in 0..rng.below(40) {
                if session.advance().expect("a piece") == Progress::Ready {
                    break;
                }
            }
            session.cancel();
        }
        session.reset();
        assert!(take_in(&mut session).expect("room") == want);
    }
    println!("{failures} reads failed");
}

#[test]
fn tokens_a_second_are_those_of_the_plan() {
    /// Lets time pass for each multiplication, as a CPU of that speed would take.
    struct Cpu<'a> {
        clock: &'a Clock,
        bytes_per_second: f64,
    }
    impl Trace for Cpu<'_> {
        fn matmul(&self, e: &MatmulEvent<'_>) {
            let bytes = e.format.row_bytes(e.k).expect("whole blocks") * e.n;
            self.clock.advance(bytes as f64 / self.bytes_per_second);
        }
    }
    // Large enough for several chunks a matrix.
    let file = Spec { vocab: 32, ..Spec::in_formats(&[WeightFormat::Q4_K; 9]) }.build().file();
    let (model, kernels) = (load(&file[..]), best());
    let row = longest_row(&model);
    for megabytes in [20.0, 90.0, 500.0] {
        for share in [0, 2, 4] {
            let speed = megabytes * 1e6;
            let weights = WeightPlacement::Lent {
                pinned: model.packed_bytes() as usize * share / 8,
                chunk: 4 * row,
                slots: 8,
            };
            let plan = Plan::new(&model, &kernels, &limits(1, weights)).expect("a plan");
            let (clock, mut memory) = (Clock::default(), arena(plan.bytes(), 0));
            // A CPU at 10 GB/s, as a desktop has.
            let cpu = Cpu { clock: &clock, bytes_per_second: 10e9 };
            let reader = Lender::new(&file, 8, speed, &clock);
            let mut session =
                Session::new(&model, reader, &plan, memory.bytes_mut(), &kernels, &Serial).expect("room");
            session.set_trace(Some(&cpu));
            session.step(1).expect("room");
            let start = clock.0.get();
            for _ in 0..15 {
                session.step(1).expect("room");
            }
            let got = 15.0 / (clock.0.get() - start);
            let want = plan.tokens_per_second(speed).expect("it streams");
            let ratio = got / want;
            assert!((0.9..=1.1).contains(&ratio), "{megabytes} MB/s, {share}/8 pinned: {ratio:.3}");
            println!("{megabytes} MB/s, {share}/8 pinned: {:.1} % of the plan", 100.0 * ratio);
        }
    }
    let resident = Plan::new(&model, &kernels, &limits(1, WeightPlacement::Resident)).expect("a plan");
    assert_eq!(resident.tokens_per_second(1e6), None, "storage is no bound");
}

#[test]
fn a_prompt_of_128_tokens_reads_each_weight_at_most_twice() {
    // TinyLlama's shape, which only a header has, in 58 MiB: 64 MiB less a program.
    let (d, kv, ff, vocab) = (2048, 256, 5632, 32_000);
    let spec = Spec { vocab: vocab as usize, embedding: 1, key_length: Some(2), ..Spec::small() };
    let set = |model: Synthetic, key: &str, n: u64| model.with(&format!("llama.{key}"), Kv::U64(n));
    let mut synthetic = [
        ("block_count", 22),
        ("context_length", 2048),
        ("embedding_length", d),
        ("feed_forward_length", ff),
        ("attention.head_count", 32),
        ("attention.head_count_kv", 4),
        ("attention.key_length", 64),
        ("attention.value_length", 64),
        ("rope.dimension_count", 64),
    ]
    .into_iter()
    .fold(spec.build(), |model, (key, n)| set(model, key, n));
    synthetic.tensors.clear();
    let mut add = |name: &str, dims: &[u64]| {
        synthetic.tensors.push(Tensor::absent(&format!("{name}.weight"), dims));
    };
    add("token_embd", &[d, vocab]);
    add("output", &[d, vocab]);
    add("output_norm", &[d]);
    for i in 0..22 {
        for (stem, dims) in [
            ("attn_norm", &[d][..]),
            ("ffn_norm", &[d]),
            ("attn_q", &[d, d]),
            ("attn_k", &[d, kv]),
            ("attn_v", &[d, kv]),
            ("attn_output", &[d, d]),
            ("ffn_gate", &[d, ff]),
            ("ffn_up", &[d, ff]),
            ("ffn_down", &[ff, d]),
        ] {
            add(&format!("blk.{i}.{stem}"), dims);
        }
    }
    struct Header(Vec<u8>, u64);
    impl ReadAt for Header {
        fn read_at(&mut self, at: AbsOffset, buf: &mut [u8]) -> Result<(), IoError> {
            for (to, at) in buf.iter_mut().zip(at.get()..) {
                *to = self.0.get(at as usize).copied().unwrap_or(0);
            }
            Ok(())
        }
        fn len(&mut self) -> Result<u64, IoError> {
            Ok(self.1)
        }
    }
    let model = load(Header(synthetic.header(), synthetic.file_len()));
    for kernels in all_kernels() {
        let asked = Limits { context: 512, threads: 2, ..limits(512, WeightPlacement::Mapped) };
        let plan = Plan::within(&model, &kernels, &asked, Chunks::Lent, 58 << 20).expect("room");
        assert!(plan.limits().batch >= 64, "{}", plan.limits().batch);
        assert!(128usize.div_ceil(plan.limits().batch) <= 2);
        // The head is multiplied with the last token only.
        assert!(plan.resident_bytes() > 0);
    }

    // And a model that is there, of which hardly anything is resident.
    let spec = Spec { vocab: 32, ..Spec::in_formats(&[WeightFormat::Q4_K; 9]) };
    let file = spec.build().with("llama.context_length", Kv::U32(160)).file();
    let (model, kernels) = (load(&file[..]), best());
    let asked = Limits { context: 160, ..limits(128, WeightPlacement::Mapped) };
    let (slots, chunk) = (2, longest_row(&model));
    let weights = WeightPlacement::Lent { pinned: 4096, chunk, slots };
    let plan = Plan::new(&model, &kernels, &Limits { batch: 64, weights, ..asked }).expect("a plan");
    let (clock, mut memory) = (Clock::default(), arena(plan.bytes(), 0));
    let mut reader = Lender::new(&file, slots, 1e6, &clock);
    let mut session =
        Session::new(&model, &mut reader, &plan, memory.bytes_mut(), &kernels, &Serial).expect("room");
    let prompt: Vec<u32> = (0..128).map(|i| i % 32).collect();
    session.prefill(&prompt).expect("room");
    let read: u64 = reader.reads.iter().map(|&(_, len)| len as u64).sum();
    let streamed = all_bytes(&model) - plan.resident_bytes();
    assert!(read <= 2 * streamed + (slots * chunk) as u64, "{read} of {streamed}");
}

#[test]
fn two_arenas_hold_what_one_would() {
    let file = layered();
    let (model, kernels) = (load(&file[..]), best());
    let row = longest_row(&model);
    let weights = WeightPlacement::Pinned { pinned: model.packed_bytes() as usize / 2, window: 2 * row };
    let one = Plan::new(&model, &kernels, &limits(4, weights)).expect("a plan");
    let want = run(&model, &one, &file[..], &Serial);
    for fast in [0, 1, 64, 1000, 4096, 20_000, one.bytes() / 2, one.bytes() - 1, one.bytes(), usize::MAX] {
        let plan = one.clone().with_fast(fast);
        assert!(plan.fast_bytes() <= fast);
        assert_eq!(plan.bytes() + plan.fast_bytes(), one.bytes(), "nothing is lost or doubled");
        assert_eq!(plan.total_bytes(), one.total_bytes());
        for memory in [Memory::Main, Memory::Fast] {
            let mut end = 0;
            for region in plan.regions().filter(|r| r.memory == memory) {
                assert!(region.offset >= end && region.offset.is_multiple_of(Plan::ALIGN));
                end = region.offset + region.bytes;
            }
            let size = if memory == Memory::Fast { plan.fast_bytes() } else { plan.bytes() };
            assert!(end <= size && size - end < Plan::ALIGN);
        }
        let (mut main, mut tight) = (arena(plan.bytes(), 0xa5), arena(plan.fast_bytes() + 64, 0x5a));
        if plan.fast_bytes() > 0 {
            let have = plan.fast_bytes() - 1;
            for (fast, error) in [
                (0..0, SessionError::BufferTooSmall { need: plan.fast_bytes(), have: 0 }),
                (0..have, SessionError::BufferTooSmall { need: plan.fast_bytes(), have }),
                (1..plan.fast_bytes() + 1, SessionError::Misaligned { align: Plan::ALIGN }),
            ] {
                let (main, fast) = (main.bytes_mut(), &mut tight.bytes_mut()[fast]);
                let got =
                    Session::in_two_arenas(&model, &file[..], &plan, main, fast, &kernels, &Serial).err();
                assert_eq!(got, Some(error));
            }
        }
        let fast = &mut tight.bytes_mut()[..plan.fast_bytes()];
        let mut session =
            Session::in_two_arenas(&model, &file[..], &plan, main.bytes_mut(), fast, &kernels, &Serial)
                .expect("room");
        assert!(take_in(&mut session).expect("room") == want, "{}", plan.fast_bytes());
        assert!(tight.bytes_mut()[plan.fast_bytes()..].iter().all(|&b| b == 0x5a));
    }
    // Scratch is what a token touches most.
    let plan =
        one.clone().with_fast(one.regions().find(|r| r.name == "kernel scratch").map_or(0, |r| r.bytes));
    let fast: Vec<&str> = plan.regions().filter(|r| r.memory == Memory::Fast).map(|r| r.name).collect();
    assert_eq!(fast, ["kernel scratch"]);
}

#[test]
fn weights_in_addressable_flash_are_used_where_they_lie() {
    static FLASH: &[u8] = include_bytes!("../goldens/llama-q4_k_m.gguf");
    let (model, kernels) = (load(FLASH), best());
    let mapped = limits(4, WeightPlacement::Mapped);
    let plan = Plan::new(&model, &kernels, &mapped).expect("a plan");
    let weights = |name: &str| name.contains("weights") || name.contains("window");
    assert!(!plan.regions().any(|r| weights(r.name)), "no byte of RAM for them");
    assert_eq!((plan.resident_fraction(), plan.streamed_bytes_per_token()), (1.0, 0));
    let mut memory = arena(plan.bytes(), 0xff);
    let session: Session<'_, &'static [u8]> =
        Session::new(&model, FLASH, &plan, memory.bytes_mut(), &kernels, &Serial).expect("a session");
    let mut session = session;
    let got = take_in(&mut session).expect("room");
    let streamed =
        Run { weights: WeightPlacement::Streamed { window: 1 << 12 }, ..Run::new(&kernels, &Serial) };
    let reader = Stream::new(Std::new(std::io::Cursor::new(FLASH)));
    let all = bits(&streamed.logits(reader, &TOKENS));
    assert!(all.ends_with(&got[got.len() - 2 * model.hparams().vocab_size..]));
}
