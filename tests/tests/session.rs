//! Sessions: work in pieces, dropped, taken back; arenas of every kind; readers that fail.

use barre::pool::Pool;
use barre_core::gguf::{Gguf, GgufError};
use barre_core::io::{AbsOffset, IoError, IoOp, ReadAt, Stream};
use barre_core::kernels::{Kernels, KvType, Mode, Serial};
use barre_core::model::{Limits, Model, ModelError, Plan, WeightPlacement};
use barre_core::quant::WeightFormat;
use barre_core::session::{Progress, Session, SessionError};
use barre_tests::models::{Arena, all_kernels, arena};
use barre_tests::readers::Std;
use barre_tests::synthetic::{LayerSpec, Rng, Spec, Synthetic};
use embedded_io::ErrorKind;
use std::collections::HashMap;

const TOKENS: [u32; 11] = [1, 9, 4, 4, 31, 0, 7, 2, 30, 5, 6];

/// A model with a matrix of each kind of format, biases and norms.
fn mixed() -> Synthetic {
    use WeightFormat::{F16, F32, Q2_K, Q4_0, Q4_K, Q6_K, Q8_0};
    let formats = [Q4_K, F16, Q8_0, Q6_K, F32, Q4_0, Q2_K, Q4_K, Q6_K];
    Spec { biases: true, vocab: 32, ..Spec::in_formats(&formats) }.build()
}

fn load(file: &[u8]) -> Model {
    let mut reader = file;
    let gguf = Gguf::open(&mut reader).expect("a container");
    Model::load(&gguf, &mut reader).expect("a model")
}

fn best() -> Kernels {
    all_kernels().pop().expect("scalar at least")
}

fn limits(batch: usize) -> Limits {
    Limits {
        context: 16,
        batch,
        kv: KvType::F16,
        mode: Mode::Int8,
        threads: 1,
        weights: WeightPlacement::Mapped,
    }
}

/// A model with what a session of it needs.
struct Bench {
    file: Vec<u8>,
    model: Model,
    kernels: Kernels,
    plan: Plan,
}

impl Bench {
    fn new(model: &Synthetic, batch: usize) -> Self {
        Self::with(model, &limits(batch))
    }

    fn with(model: &Synthetic, limits: &Limits) -> Self {
        let (file, kernels) = (model.file(), best());
        let model = load(&file);
        let plan = Plan::new(&model, &kernels, limits).expect("a plan");
        Self { file, model, kernels, plan }
    }

    fn arena(&self) -> Arena {
        arena(self.plan.bytes(), 0xa5)
    }

    fn session<'a>(&'a self, arena: &'a mut Arena) -> Session<'a, &'a [u8]> {
        self.try_session(arena.bytes_mut()).expect("a session")
    }

    fn try_session<'a>(&'a self, arena: &'a mut [u8]) -> Result<Session<'a, &'a [u8]>, SessionError> {
        Session::new(&self.model, &self.file[..], &self.plan, arena, &self.kernels, &Serial)
    }

    /// Logits after each of `TOKENS`, taken in one by one.
    fn stepwise(&self) -> Vec<Vec<u32>> {
        let mut arena = self.arena();
        let mut session = self.session(&mut arena);
        TOKENS.iter().map(|&t| bits(session.step(t).expect("a step"))).collect()
    }
}

fn bits(logits: &[f32]) -> Vec<u32> {
    assert!(!logits.is_empty() && logits.iter().all(|x| x.is_finite()));
    logits.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn however_a_prompt_is_cut_the_logits_are_the_same() {
    let want = Bench::new(&mixed(), 1).stepwise();
    for batch in [1, 2, 3, 7, 11, usize::MAX] {
        let bench = Bench::new(&mixed(), batch);
        let mut arena = bench.arena();
        let mut session = bench.session(&mut arena);
        for split in 0..TOKENS.len() {
            session.reset();
            if split > 0 {
                assert_eq!(bits(session.prefill(&TOKENS[..split]).expect("room")), want[split - 1]);
            }
            assert_eq!(bits(session.prefill(&TOKENS[split..]).expect("room")), want[10], "{batch} {split}");
            assert_eq!(session.tokens(), TOKENS);
        }
        session.reset();
        let mut each = Vec::new();
        session
            .prefill_each(&TOKENS, &mut |position, logits| {
                assert_eq!(position, each.len());
                each.push(bits(logits));
            })
            .expect("room");
        assert!(each == want, "batch {batch}");
        assert_eq!(bits(session.logits()), want[10]);
    }
}

#[test]
fn advance_does_one_piece_at_a_time() {
    let want = Bench::new(&mixed(), 1).stepwise();
    for (batch, pieces) in [(1, 11 * 5 + 1), (4, 3 * 5 + 1), (usize::MAX, 5 + 1)] {
        let bench = Bench::new(&mixed(), batch);
        let mut arena = bench.arena();
        let mut session = bench.session(&mut arena);
        assert_eq!(session.advance(), Ok(Progress::Ready), "there is nothing to do");
        session.begin(&TOKENS).expect("room");
        for done in 1.. {
            assert!(session.logits().is_empty(), "no logits while work is under way");
            assert_eq!(session.prefill(&[1]).err(), Some(SessionError::Busy));
            match session.advance().expect("a piece") {
                Progress::Working { done: d, total } => assert_eq!((d, total), (done, pieces)),
                Progress::Ready => {
                    assert_eq!(done, pieces);
                    break;
                }
            }
        }
        assert_eq!(session.advance(), Ok(Progress::Ready));
        assert_eq!(bits(session.logits()), want[10]);
    }
}

#[test]
fn work_dropped_at_any_piece_leaves_no_trace() {
    for batch in [1, 3, usize::MAX] {
        let bench = Bench::new(&mixed(), batch);
        let want = bench.stepwise();
        let mut arena = bench.arena();
        let mut session = bench.session(&mut arena);
        for pieces in 0.. {
            session.reset();
            session.prefill(&TOKENS[..4]).expect("room");
            // Other tokens than those that follow, so that what they leave in the cache is wrong.
            session.begin(&[20, 21, 22, 23, 24]).expect("room");
            let mut ready = false;
            for _ in 0..pieces {
                ready = session.advance().expect("a piece") == Progress::Ready;
            }
            if ready {
                break;
            }
            session.cancel();
            assert_eq!((session.position(), session.tokens()), (4, &TOKENS[..4]));
            assert!(session.logits().is_empty());
            for (token, want) in TOKENS.iter().zip(&want).skip(4) {
                assert_eq!(&bits(session.step(*token).expect("room")), want, "{batch} {pieces}");
            }
        }
    }
}

#[test]
fn rewound_or_reset_a_session_goes_on_as_if_nothing_had_followed() {
    let bench = Bench::new(&mixed(), 4);
    let want = bench.stepwise();
    let mut arena = bench.arena();
    let mut session = bench.session(&mut arena);
    for back in (0..=TOKENS.len()).rev() {
        session.reset();
        assert_eq!((session.position(), session.tokens(), session.logits()), (0, &[][..], &[][..]));
        session.prefill(&TOKENS).expect("room");
        session.rewind(back).expect("been there");
        assert_eq!((session.position(), session.tokens()), (back, &TOKENS[..back]));
        assert!(session.logits().is_empty());
        session.prefill(&[13; 5]).expect("room");
        session.rewind(back).expect("been there");
        if back < TOKENS.len() {
            assert_eq!(bits(session.prefill(&TOKENS[back..]).expect("room")), want[10], "{back}");
        }
    }
    // Not reached: nothing is forgotten, neither positions nor work begun.
    session.rewind(6).expect("been there");
    assert_eq!(session.rewind(7), Err(SessionError::BadPosition { position: 7, have: 6 }));
    session.begin(&TOKENS[6..]).expect("room");
    for position in [7, 11, usize::MAX] {
        session.advance().expect("a piece");
        assert_eq!(session.rewind(position), Err(SessionError::BadPosition { position, have: 6 }));
    }
    while session.advance().expect("a piece") != Progress::Ready {}
    assert_eq!(bits(session.logits()), want[10]);
    // Reached: the work begun goes too.
    session.rewind(6).expect("been there");
    session.begin(&[1, 2, 3]).expect("room");
    session.advance().expect("a piece");
    session.rewind(5).expect("been there");
    assert_eq!(bits(session.prefill(&TOKENS[5..]).expect("idle")), want[10]);
}

#[test]
fn any_sequence_of_calls_gives_the_logits_of_the_tokens_taken_in() {
    let model = Spec { vocab: 4, ..Spec::small() }.build();
    let mut rng = Rng(11);
    let mut known: HashMap<Vec<u32>, Vec<u32>> = HashMap::new();
    let mut checked = 0;
    for batch in [1, 3, usize::MAX] {
        let bench = Bench::new(&model, batch);
        let mut want = |tokens: &[u32]| {
            known
                .entry(tokens.to_vec())
                .or_insert_with(|| {
                    let mut arena = bench.arena();
                    bits(bench.session(&mut arena).prefill(tokens).expect("room"))
                })
                .clone()
        };
        let mut arena = bench.arena();
        let mut session = bench.session(&mut arena);
        // What should have been taken in, and what is under way.
        let (mut taken, mut begun): (Vec<u32>, Option<Vec<u32>>) = (Vec::new(), None);
        for _ in 0..3000 {
            let tokens: Vec<u32> = (0..rng.below(6)).map(|_| rng.below(4) as u32).collect();
            let fits = !tokens.is_empty() && taken.len() + tokens.len() <= 16;
            match rng.below(12) {
                0..6 => {
                    // Several pieces, to come to the end now and then.
                    for _ in 0..rng.below(8) {
                        if session.advance().expect("a piece") == Progress::Ready {
                            taken.extend(begun.take().unwrap_or_default());
                        }
                    }
                }
                6..8 => match session.begin(&tokens) {
                    Ok(()) => {
                        assert!(fits && begun.is_none());
                        begun = Some(tokens);
                    }
                    Err(SessionError::Busy) => assert!(begun.is_some()),
                    Err(_) => assert!(!fits),
                },
                8 => {
                    let ok = session.prefill(&tokens).is_ok();
                    assert_eq!(ok, fits && begun.is_none());
                    if ok {
                        taken.extend(tokens);
                    }
                }
                9 => {
                    session.cancel();
                    begun = None;
                }
                10 => {
                    let to = rng.below(17);
                    let ok = session.rewind(to).is_ok();
                    assert_eq!(ok, to <= taken.len());
                    if ok {
                        taken.truncate(to);
                        begun = None;
                    }
                }
                _ if rng.below(4) == 0 => {
                    session.reset();
                    taken.clear();
                    begun = None;
                }
                _ => {}
            }
            if begun.is_none() {
                assert_eq!(session.tokens(), taken);
            }
            if !session.logits().is_empty() {
                assert!(begun.is_none());
                assert_eq!(bits(session.logits()), want(&taken), "{taken:?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 1000, "{checked}");
}

#[test]
fn more_threads_than_planned_for_do_no_harm() {
    let bench = Bench::new(&mixed(), 4);
    let want = bench.stepwise();
    for threads in [2, 5] {
        let pool = Pool::new(threads).expect("threads");
        let mut arena = bench.arena();
        let mut session = Session::new(
            &bench.model,
            &bench.file[..],
            &bench.plan,
            arena.bytes_mut(),
            &bench.kernels,
            &pool,
        )
        .expect("a session");
        assert_eq!(bits(session.prefill(&TOKENS).expect("room")), want[10]);
    }
}

#[test]
fn calls_that_are_refused_change_nothing() {
    let bench = Bench::new(&mixed(), 4);
    let want = bench.stepwise();
    let mut arena = bench.arena();
    let mut session = bench.session(&mut arena);
    assert_eq!(session.prefill(&[]).err(), Some(SessionError::NoTokens));
    let bad = |index, token| Some(SessionError::BadToken { index, token, vocab_size: 32 });
    for (split, want) in want.iter().enumerate() {
        assert_eq!(session.prefill(&[32]).err(), bad(0, 32));
        assert_eq!(session.prefill(&[0, 1, u32::MAX, 99]).err(), bad(2, u32::MAX));
        assert_eq!(session.begin(&[]).err(), Some(SessionError::NoTokens));
        let full = SessionError::ContextFull { need: split + 17, have: 16 };
        assert_eq!(session.prefill(&[1; 17]).err(), Some(full));
        assert_eq!(&bits(session.step(TOKENS[split]).expect("room")), want);
        assert_eq!(&bits(session.logits()), want);
    }
    session.prefill(&[1; 5]).expect("room for exactly that");
    assert_eq!(session.step(1).err(), Some(SessionError::ContextFull { need: 17, have: 16 }));
    assert_eq!(session.begin(&[]).err(), Some(SessionError::NoTokens));
    for e in [
        SessionError::NoTokens,
        SessionError::Busy,
        SessionError::ForeignPlan,
        SessionError::ContextFull { need: 17, have: 16 },
        SessionError::BadToken { index: 0, token: 32, vocab_size: 32 },
        SessionError::BadPosition { position: 7, have: 6 },
        SessionError::BufferTooSmall { need: 2, have: 1 },
        SessionError::Misaligned { align: 64 },
    ] {
        let text = e.to_string();
        assert!(!text.is_empty() && !text.contains('\n'));
    }
}

/// Every placement, with a window that is the smallest possible, small, or larger than any matrix.
fn placements(model: &Model) -> Vec<WeightPlacement> {
    let row = model.matrices().map(|m| m.row_bytes()).max().expect("matrices");
    let streamed = [row, 3 * row + 5, 1 << 20].map(|window| WeightPlacement::Streamed { window });
    [WeightPlacement::Mapped, WeightPlacement::Resident].into_iter().chain(streamed).collect()
}

#[test]
fn the_arena_has_the_plans_size_or_the_session_is_refused() {
    let model = mixed();
    for weights in placements(&load(&model.file())) {
        let bench = Bench::with(&model, &Limits { weights, ..limits(4) });
        let need = bench.plan.bytes();
        assert!(need.is_multiple_of(Plan::ALIGN));
        let mut memory = arena(need + 2 * Plan::ALIGN, 0xa5);
        for have in [0, 1, need / 2, need - 1] {
            let got = bench.try_session(&mut memory.bytes_mut()[..have]).err();
            assert_eq!(got, Some(SessionError::BufferTooSmall { need, have }), "{weights:?}");
        }
        for shift in 1..Plan::ALIGN {
            let got = bench.try_session(&mut memory.bytes_mut()[shift..]).err();
            assert_eq!(got, Some(SessionError::Misaligned { align: Plan::ALIGN }), "{weights:?}");
        }
        for range in [0..need, 0..need + 1, Plan::ALIGN..need + Plan::ALIGN] {
            let mut session = bench.try_session(&mut memory.bytes_mut()[range]).expect("room");
            session.prefill(&TOKENS).expect("room");
        }
        // Regions follow each other in bounds and without overlap.
        let mut end = 0;
        for region in bench.plan.regions() {
            assert!(region.offset >= end && region.offset.is_multiple_of(Plan::ALIGN), "{region:?}");
            end = region.offset + region.bytes;
        }
        assert!(end <= need && need - end < Plan::ALIGN);
    }
}

#[test]
fn what_the_arena_holds_does_not_matter_and_what_lies_around_it_is_not_touched() {
    let model = mixed();
    let mut first = None;
    for mode in [Mode::Int8, Mode::Exact] {
        for weights in placements(&load(&model.file())) {
            for dirt in [0x00, 0xff, 0x7f, 0xa5] {
                let bench = Bench::with(&model, &Limits { weights, mode, ..limits(4) });
                let need = bench.plan.bytes();
                let mut memory = arena(need + 2 * Plan::ALIGN, 0xc3);
                memory.bytes_mut()[Plan::ALIGN..][..need].fill(dirt);
                let mut session =
                    bench.try_session(&mut memory.bytes_mut()[Plan::ALIGN..][..need]).expect("room");
                let mut got = bits(session.prefill(&TOKENS[..8]).expect("room"));
                for token in &TOKENS[8..] {
                    got.extend(bits(session.step(*token).expect("room")));
                }
                let memory = memory.bytes_mut();
                let around = memory[..Plan::ALIGN].iter().chain(&memory[Plan::ALIGN + need..]);
                assert!(around.into_iter().all(|&b| b == 0xc3), "{weights:?}");
                match &first {
                    Some((m, want)) if *m == mode => assert!(*want == got, "{weights:?} {dirt:#x}"),
                    _ => first = Some((mode, got)),
                }
            }
        }
    }
}

#[test]
fn a_plan_of_another_model_is_refused() {
    let small = Spec::small();
    let layer = small.layers[0];
    let others = [
        Spec { layers: vec![layer; 3], ..small.clone() },
        Spec { vocab: 48, ..small.clone() },
        Spec { biases: true, ..small.clone() },
        Spec { rope_dims: Some(2), ..small.clone() },
        Spec { layers: vec![LayerSpec { feed_forward: 80, ..layer }; 2], ..small.clone() },
        Spec { embedding: 32, ..small.clone() },
    ];
    for weights in
        [WeightPlacement::Mapped, WeightPlacement::Resident, WeightPlacement::Streamed { window: 4096 }]
    {
        let limits = Limits { weights, ..limits(4) };
        let bench = Bench::with(&small.build(), &limits);
        for other in &others {
            let other = Bench::with(&other.build(), &limits);
            let mut memory = arena(bench.plan.bytes().max(other.plan.bytes()), 0);
            for (a, b) in [(&bench, &other), (&other, &bench)] {
                let got =
                    Session::new(&a.model, &a.file[..], &b.plan, memory.bytes_mut(), &a.kernels, &Serial);
                assert_eq!(got.err(), Some(SessionError::ForeignPlan), "{weights:?}");
            }
        }
    }
}

#[test]
fn weights_planned_as_mapped_must_be_addressable() {
    let bench = Bench::new(&mixed(), 4);
    let mut arena = bench.arena();
    let reader = Stream::new(Std::new(std::io::Cursor::new(&bench.file)));
    let got = Session::new(&bench.model, reader, &bench.plan, arena.bytes_mut(), &bench.kernels, &Serial);
    match got {
        Err(SessionError::NotMapped { tensor }) => assert_eq!(tensor.as_str(), "blk.0.attn_q"),
        other => panic!("{:?}", other.err()),
    }
}

/// A slice that is read, not viewed, and fails in its `at`-th access and the `times - 1` after it.
struct Faulty<'a> {
    bytes: &'a [u8],
    accesses: usize,
    at: usize,
    times: usize,
    failures: usize,
}

impl<'a> Faulty<'a> {
    fn new(bytes: &'a [u8], at: usize, times: usize) -> Self {
        Self { bytes, accesses: 0, at, times, failures: 0 }
    }

    fn access(&mut self, op: IoOp, offset: u64, len: usize) -> Result<(), IoError> {
        let now = self.accesses;
        self.accesses += 1;
        if (self.at..self.at.saturating_add(self.times)).contains(&now) {
            self.failures += 1;
            return Err(IoError::Io { op, kind: ErrorKind::Other, offset, len });
        }
        Ok(())
    }
}

impl ReadAt for Faulty<'_> {
    fn read_at(&mut self, at: AbsOffset, buf: &mut [u8]) -> Result<(), IoError> {
        self.access(IoOp::Read, at.get(), buf.len()).inspect_err(|_| {
            // What a failed read leaves behind is unspecified.
            let half = buf.len() / 2;
            buf[..half].fill(0xee);
        })?;
        self.bytes.read_at(at, buf)
    }

    fn len(&mut self) -> Result<u64, IoError> {
        self.access(IoOp::Len, 0, 0)?;
        Ok(self.bytes.len() as u64)
    }
}

fn injected(error: IoError) -> bool {
    matches!(error, IoError::Io { kind: ErrorKind::Other, .. })
}

/// Runs `call` until it succeeds, counting the failures, each of which must satisfy `typed`.
fn until_ok<T, E: std::fmt::Debug>(
    errors: &mut usize,
    typed: impl Fn(&E) -> bool,
    mut call: impl FnMut() -> Result<T, E>,
) -> T {
    loop {
        match call() {
            Ok(value) => return value,
            Err(e) => {
                assert!(typed(&e), "{e:?}");
                *errors += 1;
            }
        }
    }
}

/// Opens, loads, takes in a prompt and three tokens, trying each call again when it fails: the logits, and how many
/// calls failed.
fn workload(
    reader: &mut Faulty<'_>,
    kernels: &Kernels,
    limits: &Limits,
    in_pieces: bool,
) -> (Vec<u32>, usize) {
    let mut errors = 0;
    let gguf =
        until_ok(&mut errors, |e| matches!(e, GgufError::Io(e) if injected(*e)), || Gguf::open(reader));
    let model = until_ok(
        &mut errors,
        |e| matches!(e, ModelError::Gguf(GgufError::Io(e)) if injected(*e)),
        || Model::load(&gguf, reader),
    );
    let plan = Plan::new(&model, kernels, limits).expect("a plan");
    let mut memory = arena(plan.bytes(), 0xff);
    loop {
        match Session::new(&model, &mut *reader, &plan, memory.bytes_mut(), kernels, &Serial) {
            Ok(session) => return (take_in(session, &mut errors, in_pieces), errors),
            Err(e) => assert!(typed(&e), "{e:?}"),
        }
        errors += 1;
    }
}

/// The reader's failure, and what was being read.
fn typed(e: &SessionError) -> bool {
    match e {
        SessionError::Vector(e) => injected(*e),
        SessionError::Weights { tensor, error } => injected(*error) && !tensor.as_str().is_empty(),
        _ => false,
    }
}

fn take_in(mut session: Session<'_, &mut Faulty<'_>>, errors: &mut usize, in_pieces: bool) -> Vec<u32> {
    let mut logits = Vec::new();
    for part in [&TOKENS[..5], &TOKENS[5..6], &TOKENS[6..7], &TOKENS[7..8]] {
        let before = session.position();
        if in_pieces {
            session.begin(part).expect("room");
            // A piece that failed is tried again; those before it are not.
            while until_ok(errors, typed, || session.advance()) != Progress::Ready {}
        } else {
            while let Err(e) = session.prefill(part) {
                assert!(typed(&e), "{e:?}");
                assert_eq!(session.position(), before, "the call took nothing in");
                *errors += 1;
            }
        }
        logits.extend(bits(session.logits()));
    }
    logits
}

#[test]
fn a_reader_may_fail_at_any_access_and_nothing_is_lost() {
    let kernels = best();
    let wide = mixed().file();
    // Arrays by layer, so that the header is read for them too.
    let layers = [(4, 2, 24), (2, 1, 8)].map(|(heads, heads_kv, feed_forward)| LayerSpec {
        heads,
        heads_kv,
        feed_forward,
    });
    let small =
        Spec { layers: layers.into(), biases: true, rope_freqs: true, ..Spec::small() }.build().file();
    let mut runs = 0;
    for (file, window, faults) in [(&small, 1 << 10, &[1, 3][..]), (&wide, 1 << 17, &[1])] {
        for weights in [WeightPlacement::Streamed { window }, WeightPlacement::Resident] {
            let limits = Limits { weights, ..limits(4) };
            for in_pieces in [false, true] {
                let mut sound = Faulty::new(file, usize::MAX, 0);
                let (want, errors) = workload(&mut sound, &kernels, &limits, in_pieces);
                assert_eq!(errors, 0);
                for at in 0..sound.accesses {
                    for &times in faults {
                        let mut faulty = Faulty::new(file, at, times);
                        let (got, errors) = workload(&mut faulty, &kernels, &limits, in_pieces);
                        assert!(got == want, "{weights:?}: access {at}, {times} times");
                        assert_eq!((errors, faulty.failures), (times.min(faulty.accesses - at), errors));
                        runs += 1;
                    }
                }
            }
        }
    }
    println!("{runs} runs with a fault in each");
}
