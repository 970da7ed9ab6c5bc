//! Saved sessions: they go on with the same bits, and what is torn, foreign or damaged leaves the live session alone.

use barre_core::gguf::Gguf;
use barre_core::io::{AbsOffset, IoError, ReadAt};
use barre_core::kernels::{Kernels, KvType, Mode, Serial};
use barre_core::model::{Limits, Matrix, Model, Plan, WeightPlacement};
use barre_core::quant::WeightFormat;
use barre_core::session::{SAVED_VERSION, SavedError, SavedPart, Session, SessionError};
use barre_tests::models::{Arena, all_kernels, arena};
use barre_tests::readers::Std;
use barre_tests::synthetic::{Kv, LayerSpec, Rng, Spec, Synthetic};
use embedded_io::{ErrorKind, ErrorType, Read, Write};
use std::cell::Cell;

const SAVED: [u32; 5] = [1, 9, 4, 4, 31];
const MORE: [u32; 3] = [0, 7, 2];
const LIVE: [u32; 4] = [30, 5, 6, 11];

/// Layers of unlike shapes, keys and values of unlike lengths.
fn spec() -> Spec {
    let layer = |heads, heads_kv| LayerSpec { heads, heads_kv, feed_forward: 24 };
    Spec {
        key_length: Some(6),
        value_length: Some(10),
        biases: true,
        layers: vec![layer(4, 2), layer(3, 1), layer(4, 4)],
        ..Spec::small()
    }
}

/// The same, with heads of whole blocks for every type of keys and values.
fn spec_of(kv: KvType) -> Spec {
    match kv {
        KvType::Q8_0 => Spec { key_length: Some(32), value_length: Some(64), ..spec() },
        _ => spec(),
    }
}

const LIMITS: Limits = Limits {
    context: 16,
    batch: 3,
    kv: KvType::F16,
    mode: Mode::Int8,
    threads: 1,
    weights: WeightPlacement::Mapped,
};

struct Bench {
    file: Vec<u8>,
    model: Model,
    kernels: Kernels,
    plan: Plan,
}

impl Bench {
    fn new(model: &Synthetic, limits: Limits) -> Self {
        Self::on(model, limits, Kernels::scalar())
    }

    fn on(model: &Synthetic, limits: Limits, kernels: Kernels) -> Self {
        let file = model.file();
        let mut reader = &file[..];
        let gguf = Gguf::open(&mut reader).expect("a container");
        let model = Model::load(&gguf, &mut reader).expect("a model");
        let plan = Plan::new(&model, &kernels, &limits).expect("a plan");
        Self { file, model, kernels, plan }
    }

    fn arena(&self) -> Arena {
        arena(self.plan.bytes(), 0xa5)
    }

    fn session<'a>(&'a self, arena: &'a mut Arena) -> Session<'a, &'a [u8]> {
        Session::new(&self.model, &self.file[..], &self.plan, arena.bytes_mut(), &self.kernels, &Serial)
            .expect("a session")
    }

    /// `tokens` taken in and saved.
    fn saved(&self, tokens: &[u32]) -> Vec<u8> {
        let mut arena = self.arena();
        let mut session = self.session(&mut arena);
        if !tokens.is_empty() {
            session.prefill(tokens).expect("room");
        }
        let mut saved = Vec::new();
        session.save(&mut Std::new(&mut saved)).expect("saved");
        assert_eq!(saved.len() as u64, session.saved_bytes());
        saved
    }

    /// The logits after each of `tokens`.
    fn logits(&self, tokens: &[u32]) -> Vec<Vec<u32>> {
        let mut arena = self.arena();
        steps(&mut self.session(&mut arena), tokens)
    }

    /// Bytes of scratch for `n` positions.
    fn scratch(&self, n: usize) -> usize {
        (self.plan.limits().kv.row_bytes(self.model.hparams().kv_len_all) + 4) * n
    }
}

fn bits(logits: &[f32]) -> Vec<u32> {
    assert!(!logits.is_empty() && logits.iter().all(|x| x.is_finite()));
    logits.iter().map(|x| x.to_bits()).collect()
}

fn steps(session: &mut Session<'_, &[u8]>, tokens: &[u32]) -> Vec<Vec<u32>> {
    tokens.iter().map(|&t| bits(session.step(t).expect("a step"))).collect()
}

fn restore(session: &mut Session<'_, &[u8]>, saved: &[u8], scratch: &mut [u8]) -> Result<usize, SavedError> {
    session.restore(&mut Std::new(saved), scratch)
}

/// The checksum, bit by bit from its definition: not the engine's.
fn crc64(bytes: &[u8]) -> u64 {
    !bytes.iter().fold(!0, |crc, &b| {
        (0..8).fold(crc ^ u64::from(b), |c, _| c >> 1 ^ if c & 1 == 1 { 0xc96c_5795_d787_0f42 } else { 0 })
    })
}

/// Where the checksums of a saved session of `n` positions lie.
fn checksums(bench: &Bench, n: usize) -> Vec<usize> {
    let mut at = vec![32, 40 + 4 * n];
    for l in &bench.model.hparams().layers {
        let last = at[at.len() - 1] + 8;
        at.push(last + bench.plan.limits().kv.row_bytes(l.key_len_all + l.value_len_all) * n);
    }
    at
}

/// `saved` with `change` made and every checksum put right again.
fn resealed(bench: &Bench, n: usize, saved: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = saved.to_vec();
    change(&mut out);
    let mut content = Vec::new();
    let mut start = 0;
    for at in checksums(bench, n) {
        content.extend_from_slice(&out[start..at]);
        out[at..at + 8].copy_from_slice(&crc64(&content).to_le_bytes());
        start = at + 8;
    }
    out
}

#[test]
fn the_checksum_is_crc_64_xz() {
    assert_eq!(crc64(b"123456789"), 0x995d_c9bb_df19_39fa, "the check value of the catalogue");
    let bench = Bench::new(&spec().build(), LIMITS);
    let saved = bench.saved(&SAVED);
    assert_eq!(&saved[..8], b"barre-kv");
    assert_eq!(saved[8..16], [SAVED_VERSION as u8, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(saved[24..32], 5u64.to_le_bytes());
    assert_eq!(saved[40..60], SAVED.map(u32::to_le_bytes).concat());
    assert!(resealed(&bench, 5, &saved, |_| {}) == saved, "the layout that the documentation gives");
}

#[test]
fn a_restored_session_goes_on_with_the_same_bits() {
    let mut checked = 0;
    for (kv, mode) in [
        (KvType::F16, Mode::Int8),
        (KvType::F32, Mode::Int8),
        (KvType::Q8_0, Mode::Int8),
        (KvType::F16, Mode::Exact),
    ] {
        let limits = Limits { kv, mode, ..LIMITS };
        let model = spec_of(kv).build();
        let bench = Bench::new(&model, limits);
        let want = &bench.logits(&[&SAVED[..], &MORE].concat())[SAVED.len()..];
        let last = &bench.logits(&SAVED)[SAVED.len() - 1];
        let window = bench.model.matrices().map(Matrix::row_bytes).max().expect("matrices");
        let saved = bench.saved(&SAVED);
        for kernels in all_kernels() {
            assert!(Bench::on(&model, limits, kernels).saved(&SAVED) == saved, "{}", kernels.isa());
            // Other contexts, batches and placements; sessions with nothing, something and much of their own.
            for (context, batch, weights) in [
                (16, 1, WeightPlacement::Resident),
                (64, 7, WeightPlacement::Streamed { window }),
                (32, 3, WeightPlacement::Pinned { pinned: 2048, window }),
                (8, 8, WeightPlacement::Mapped),
            ] {
                for live in [0, 3, 8] {
                    let limits = Limits { context, batch, weights, ..limits };
                    let bench = Bench::on(&model, limits, kernels);
                    let mut arena = bench.arena();
                    let mut session = bench.session(&mut arena);
                    steps(&mut session, &vec![17; live]);
                    let need = if live + SAVED.len() <= context { 0 } else { bench.scratch(SAVED.len()) };
                    if let Some(have) = need.checked_sub(1) {
                        let small = Err(SavedError::BufferTooSmall { need, have });
                        assert_eq!(restore(&mut session, &saved, &mut vec![0; have]), small);
                    }
                    assert_eq!(restore(&mut session, &saved, &mut vec![0xee; need]), Ok(5));
                    assert_eq!(session.tokens(), SAVED);
                    assert!(session.logits().is_empty());
                    assert!(steps(&mut session, &MORE) == want, "{context} {batch} {live}");
                    session.rewind(SAVED.len() - 1).expect("positions");
                    assert!(&bits(session.step(SAVED[4]).expect("a step")) == last);
                    // Saved again, it is the same file.
                    let mut again = Vec::new();
                    session.save(&mut Std::new(&mut again)).expect("saved");
                    assert!(again == saved);
                    checked += 1;
                }
            }
        }
    }
    println!("{checked} restored sessions went on with the same bits");
}

#[test]
fn nothing_is_saved_of_nothing_and_a_full_context_comes_back() {
    let bench = Bench::new(&spec().build(), LIMITS);
    let empty = bench.saved(&[]);
    let full = bench.saved(&[3; 16]);
    let mut arena = bench.arena();
    let mut session = bench.session(&mut arena);
    session.prefill(&LIVE).expect("room");
    assert_eq!(restore(&mut session, &empty, &mut []), Ok(0));
    assert_eq!((session.position(), session.tokens(), session.logits()), (0, &[][..], &[][..]));
    assert_eq!(restore(&mut session, &full, &mut []), Ok(16));
    assert_eq!(session.step(1).err(), Some(SessionError::ContextFull { need: 17, have: 16 }));
    // What follows the last checksum is none of its business.
    let mut reader = Std::new(&*[&full[..], b"more"].concat().leak());
    assert_eq!(session.restore(&mut reader, &mut vec![0; bench.scratch(16)]), Ok(16));
    let mut rest = [0; 8];
    assert_eq!((reader.read(&mut rest).unwrap(), &rest[..4]), (4, &b"more"[..]));
    session.reset();
    session.begin(&LIVE).expect("room");
    assert_eq!(restore(&mut session, &full, &mut []), Err(SavedError::Busy));
    assert_eq!(session.save(&mut Std::new(Vec::new())), Err(SavedError::Busy));
}

/// A session with a past of its own, which a restoration that fails must not touch.
struct Watched<'a> {
    session: Session<'a, &'a [u8]>,
    scratch: Vec<u8>,
    logits: Vec<u32>,
    next: Vec<u32>,
    refused: usize,
}

impl<'a> Watched<'a> {
    fn new(bench: &'a Bench, arena: &'a mut Arena, live: &[u32]) -> Self {
        let mut session = bench.session(arena);
        let logits = bits(session.prefill(live).expect("room"));
        let next = bits(session.step(12).expect("room"));
        session.rewind(live.len() - 1).expect("positions");
        session.step(live[live.len() - 1]).expect("room");
        let scratch = vec![0xff; bench.scratch(16)];
        Self { session, scratch, logits, next, refused: 0 }
    }

    #[track_caller]
    fn refuses(&mut self, reader: &mut impl Read, what: &str) -> SavedError {
        let (position, tokens) = (self.session.position(), self.session.tokens().to_vec());
        let error = self.session.restore(reader, &mut self.scratch).expect_err(what);
        assert!(!error.to_string().contains(char::is_control), "{error}");
        assert_eq!((self.session.position(), self.session.tokens()), (position, &tokens[..]), "{what}");
        assert_eq!(bits(self.session.logits()), self.logits, "{what}: its logits");
        self.refused += 1;
        error
    }

    /// The live session goes on as if nothing had been tried.
    #[track_caller]
    fn is_untouched(&mut self) {
        let live = self.session.tokens().to_vec();
        assert_eq!(bits(self.session.step(12).expect("room")), self.next, "its next step");
        self.session.rewind(live.len() - 1).expect("positions");
        assert_eq!(bits(self.session.step(live[live.len() - 1]).expect("room")), self.logits);
    }
}

#[test]
fn a_file_cut_anywhere_is_refused_at_the_cut() {
    let bench = Bench::new(&spec().build(), LIMITS);
    let saved = bench.saved(&SAVED);
    let ends = checksums(&bench, SAVED.len());
    // With room beside the live session, and without.
    for live in [&LIVE[..], &[19; 13]] {
        let mut arena = bench.arena();
        let mut watched = Watched::new(&bench, &mut arena, live);
        for cut in 0..saved.len() {
            let index = ends.iter().position(|&end| cut < end + 8).expect("a part");
            let part = match index {
                0 => SavedPart::Header,
                1 => SavedPart::Tokens,
                layer => SavedPart::Layer(layer as u32 - 2),
            };
            let got = watched.refuses(&mut Std::new(&saved[..cut]), "a torn file");
            assert_eq!(got, SavedError::Truncated { part, offset: cut as u64 });
        }
        watched.is_untouched();
        println!("{} torn files refused", watched.refused);
    }
}

#[test]
fn every_changed_bit_is_found() {
    let bench = Bench::new(&spec().build(), LIMITS);
    let saved = bench.saved(&SAVED);
    let mut arena = bench.arena();
    let mut watched = Watched::new(&bench, &mut arena, &LIVE);
    for bit in 0..saved.len() * 8 {
        let mut bad = saved.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        match (bit / 8, watched.refuses(&mut Std::new(&*bad), "a changed bit")) {
            (0..8, SavedError::BadMagic { .. })
            | (8..12, SavedError::UnsupportedVersion { .. })
            | (12.., SavedError::Corrupt { .. }) => {}
            (at, got) => panic!("byte {at}: {got}"),
        }
    }
    // Parts that have changed places, and a body of 0xff (Q03).
    let ends = checksums(&bench, SAVED.len());
    let mut swapped = saved.clone();
    swapped.truncate(ends[1] + 8);
    swapped.extend_from_slice(&saved[ends[2] + 8..ends[3] + 8]);
    swapped.extend_from_slice(&saved[ends[1] + 8..ends[2] + 8]);
    swapped.extend_from_slice(&saved[ends[3] + 8..]);
    let got = watched.refuses(&mut Std::new(&*swapped), "swapped layers");
    assert!(matches!(got, SavedError::Corrupt { part: SavedPart::Layer(0), .. }), "{got}");
    for (at, part) in [(32, SavedPart::Header), (40, SavedPart::Tokens), (68, SavedPart::Layer(0))] {
        let mut filled = saved.clone();
        filled[at..].fill(0xff);
        let got = watched.refuses(&mut Std::new(&*filled), "Q03");
        assert!(matches!(got, SavedError::Corrupt { part: p, .. } if p == part), "Q03: {got}");
    }
    watched.is_untouched();
    println!("{} damaged files refused", watched.refused);
}

#[test]
fn what_was_saved_elsewhere_is_refused() {
    let bench = Bench::new(&spec().build(), LIMITS);
    let saved = bench.saved(&SAVED);
    let mut arena = bench.arena();
    let mut watched = Watched::new(&bench, &mut arena, &LIVE);

    // The same header, other weights; one tensor changed; other hyperparameters of the same shapes.
    let build = || spec().build();
    for (what, model) in [
        ("another fine-tune", Spec { seed: 2, ..spec() }.build()),
        ("one norm", build().poked("blk.1.ffn_norm.weight", 3, 0.5)),
        ("one matrix", build().poked("blk.2.ffn_down.weight", 24 * 8, 0.5)),
        ("the head", build().poked("output.weight", 16 * 16, 0.5)),
        ("the rotary base", build().with("llama.rope.freq_base", Kv::F32(500_000.0))),
        ("the epsilon", build().with("llama.attention.layer_norm_rms_epsilon", Kv::F32(1e-6))),
        ("fewer layers", Spec { layers: spec().layers[..2].to_vec(), ..spec() }.build()),
        ("other formats", Spec { formats: vec![WeightFormat::F16], ..spec() }.build()),
    ] {
        let other = Bench::new(&model, LIMITS).saved(&SAVED);
        let got = watched.refuses(&mut Std::new(&*other), what);
        assert!(matches!(got, SavedError::OtherModel { got, want } if got != want), "{what}: {got}");
    }
    // The same model is the same wherever its tensors and other metadata lie in a file.
    let mut moved = build().with("general.name", Kv::text("another name"));
    moved.tensors.reverse();
    assert!(Bench::new(&moved, LIMITS).saved(&SAVED) == saved);

    for (limit, limits) in
        [("kv", Limits { kv: KvType::F32, ..LIMITS }), ("mode", Limits { mode: Mode::Exact, ..LIMITS })]
    {
        let other = Bench::new(&build(), limits).saved(&SAVED);
        let got = watched.refuses(&mut Std::new(&*other), limit);
        assert_eq!(got, SavedError::OtherLimits { limit });
    }
    let long = Bench::new(&build(), Limits { context: 64, ..LIMITS }).saved(&[5; 17]);
    let got = watched.refuses(&mut Std::new(&*long), "too long");
    assert_eq!(got, SavedError::ContextFull { need: 17, have: 16 });

    // Whoever can compute a checksum still cannot break in.
    let mut forged = |change: fn(&mut Vec<u8>), want| {
        let file = resealed(&bench, 5, &saved, change);
        assert_eq!(watched.refuses(&mut Std::new(&*file), "forged"), want);
    };
    let corrupt = SavedError::Corrupt { part: SavedPart::Header, offset: 32 };
    let full = |need| SavedError::ContextFull { need, have: 16 };
    let token = |token| SavedError::BadToken { index: 1, token, vocab_size: 32 };
    forged(|f| f[15] = 1, corrupt);
    forged(|f| f[12] = 9, SavedError::OtherLimits { limit: "kv" });
    forged(|f| f[13] = 9, SavedError::OtherLimits { limit: "mode" });
    forged(|f| f[24..32].fill(0xff), full(usize::MAX));
    forged(|f| f[24] = 17, full(17));
    forged(|f| f[44] = 32, token(32));
    forged(|f| f[44..48].fill(0xff), token(u32::MAX));
    forged(|f| f[8] = 2, SavedError::UnsupportedVersion { version: 2 });
    forged(|f| f[..8].copy_from_slice(b"GGUF\x03\0\0\0"), SavedError::BadMagic { got: *b"GGUF\x03\0\0\0" });
    watched.is_untouched();
    // Numbers that are none are a past that a session may have; the sampler reports what comes of it.
    let nan = resealed(&bench, 5, &saved, |f| f[68..68 + 400].fill(0xff));
    assert_eq!(restore(&mut watched.session, &nan, &mut []), Ok(5));
    assert!(watched.session.step(1).expect("a step").iter().any(|x| x.is_nan()));
}

/// Blocks are as well guarded as halves are: cut, changed, foreign, or with scales that are none.
#[test]
fn a_cache_of_blocks_is_guarded_as_any_other() {
    let limits = Limits { kv: KvType::Q8_0, ..LIMITS };
    let build = || spec_of(KvType::Q8_0).build();
    let bench = Bench::new(&build(), limits);
    let saved = bench.saved(&SAVED);
    assert_eq!(saved[12], 2);
    let layers = &bench.model.hparams().layers;
    let blocks: usize = layers.iter().map(|l| (l.key_len_all + l.value_len_all) / 32).sum();
    assert_eq!(saved.len(), 40 + (4 * 5 + 8) + 34 * 5 * blocks + 8 * layers.len());
    let mut arena = bench.arena();
    let mut watched = Watched::new(&bench, &mut arena, &LIVE);
    for cut in (0..saved.len()).step_by(7) {
        let got = watched.refuses(&mut Std::new(&saved[..cut]), "a torn file");
        assert!(matches!(got, SavedError::Truncated { offset, .. } if offset == cut as u64), "{got}");
    }
    for at in (32..saved.len()).step_by(5) {
        let mut bad = saved.clone();
        bad[at] ^= 0x10;
        let got = watched.refuses(&mut Std::new(&*bad), "a changed bit");
        assert!(matches!(got, SavedError::Corrupt { .. }), "{got}");
    }
    // Of another type, truly and by its header alone: a file of halves has another length.
    for kv in [KvType::F16, KvType::F32] {
        let other = Bench::new(&build(), Limits { kv, ..limits }).saved(&SAVED);
        let got = watched.refuses(&mut Std::new(&*other), kv.name());
        assert_eq!(got, SavedError::OtherLimits { limit: "kv" });
        let mut forged = other.clone();
        forged[12] = 2;
        let sum = crc64(&forged[..32]);
        forged[32..40].copy_from_slice(&sum.to_le_bytes());
        let got = watched.refuses(&mut Std::new(&*forged), kv.name());
        assert!(matches!(got, SavedError::Corrupt { part: SavedPart::Tokens, .. }), "{got}");
    }
    watched.is_untouched();
    // Scales that are NaN, infinite and negative under right checksums are a past that a session may have.
    for (scale, finite) in [([0, 0x7e], false), ([1, 0xfc], false), ([0, 0x7c], false), ([0, 0xbc], true)] {
        let bad = resealed(&bench, 5, &saved, |f| {
            for block in f[68..68 + 34 * 5 * 6].chunks_mut(34) {
                block[..2].copy_from_slice(&scale);
            }
        });
        for kernels in all_kernels() {
            let bench = Bench::on(&build(), limits, kernels);
            let mut arena = bench.arena();
            let mut session = bench.session(&mut arena);
            assert_eq!(restore(&mut session, &bad, &mut []), Ok(5));
            let logits = session.step(1).expect("a step");
            assert_eq!(logits.iter().all(|x| x.is_finite()), finite, "{scale:x?}");
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Fails(ErrorKind),
    Nothing,
    TooMany,
}

/// A stream that gives or takes `most` bytes a call and whose calls from number `at` on fail `times` times.
struct Faulty<'a> {
    bytes: &'a [u8],
    written: Vec<u8>,
    most: usize,
    call: usize,
    at: usize,
    times: usize,
    fault: Fault,
}

impl<'a> Faulty<'a> {
    fn new(bytes: &'a [u8], most: usize, at: usize, times: usize, fault: Fault) -> Self {
        Self { bytes, written: Vec::new(), most, call: 0, at, times, fault }
    }

    fn call(&mut self, len: usize) -> Option<Result<usize, ErrorKind>> {
        self.call += 1;
        let now = self.call > self.at && self.call <= self.at.saturating_add(self.times);
        now.then_some(match self.fault {
            Fault::Fails(kind) => Err(kind),
            Fault::Nothing => Ok(0),
            Fault::TooMany => Ok(len + 1),
        })
    }
}

impl ErrorType for Faulty<'_> {
    type Error = ErrorKind;
}

impl Read for Faulty<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        if let Some(fault) = self.call(buf.len()) {
            return fault;
        }
        let n = buf.len().min(self.most).min(self.bytes.len());
        buf[..n].copy_from_slice(&self.bytes[..n]);
        self.bytes = &self.bytes[n..];
        Ok(n)
    }
}

impl Write for Faulty<'_> {
    fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        if let Some(fault) = self.call(buf.len()) {
            return fault;
        }
        let n = buf.len().min(self.most);
        self.written.extend_from_slice(&buf[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        self.call(0).map_or(Ok(()), |fault| fault.map(|_| ()))
    }
}

const KINDS: [ErrorKind; 17] = [
    ErrorKind::Other,
    ErrorKind::NotFound,
    ErrorKind::PermissionDenied,
    ErrorKind::ConnectionRefused,
    ErrorKind::ConnectionReset,
    ErrorKind::ConnectionAborted,
    ErrorKind::NotConnected,
    ErrorKind::AddrInUse,
    ErrorKind::AddrNotAvailable,
    ErrorKind::BrokenPipe,
    ErrorKind::AlreadyExists,
    ErrorKind::InvalidInput,
    ErrorKind::InvalidData,
    ErrorKind::TimedOut,
    ErrorKind::Unsupported,
    ErrorKind::OutOfMemory,
    ErrorKind::WriteZero,
];

#[test]
fn readers_and_writers_may_fail_at_any_call() {
    let bench = Bench::new(&spec().build(), LIMITS);
    let saved = bench.saved(&SAVED);
    let mut arena = bench.arena();
    let mut watched = Watched::new(&bench, &mut arena, &LIVE);
    let faults: Vec<Fault> =
        KINDS.map(Fault::Fails).into_iter().chain([Fault::Nothing, Fault::TooMany]).collect();

    let mut calls = Faulty::new(&saved, 50, usize::MAX, 0, Fault::Nothing);
    let mut spare = bench.arena();
    let mut other = bench.session(&mut spare);
    other.restore(&mut calls, &mut []).expect("no fault");
    let reads = calls.call;
    for at in 0..reads {
        for &fault in &faults {
            let mut reader = Faulty::new(&saved, 50, at, 1, fault);
            match (fault, watched.refuses(&mut reader, "a failing reader")) {
                (Fault::Fails(kind), SavedError::Read { kind: got, .. }) => assert_eq!(got, kind),
                (Fault::Nothing, SavedError::Truncated { .. }) => {}
                (Fault::TooMany, SavedError::Contract { got, most, .. }) => assert_eq!(got, most + 1),
                (fault, got) => panic!("read {at}, {fault:?}: {got}"),
            }
        }
        for (times, fails) in [(1, false), (3, false), (16, false), (17, true), (usize::MAX, true)] {
            let mut reader = Faulty::new(&saved, 50, at, times, Fault::Fails(ErrorKind::Interrupted));
            if fails {
                let got = watched.refuses(&mut reader, "interrupted for ever");
                assert!(matches!(got, SavedError::Read { kind: ErrorKind::Interrupted, .. }));
            } else {
                other.reset();
                assert_eq!(other.restore(&mut reader, &mut []), Ok(5));
            }
        }
    }
    watched.is_untouched();

    other.reset();
    restore(&mut other, &saved, &mut []).expect("sound");
    let mut calls = Faulty::new(&[], 50, usize::MAX, 0, Fault::Nothing);
    other.save(&mut calls).expect("no fault");
    let writes = calls.call;
    for at in 0..writes {
        for &fault in &faults {
            let mut writer = Faulty::new(&[], 50, at, 1, fault);
            let flushing = at + 1 == writes;
            match (fault, other.save(&mut writer)) {
                (Fault::Fails(kind), Err(SavedError::Write { kind: got, .. })) => assert_eq!(got, kind),
                (Fault::Nothing, Err(SavedError::Write { kind, .. })) => {
                    assert_eq!(kind, ErrorKind::WriteZero);
                }
                (Fault::TooMany, Err(SavedError::Contract { got, most, .. })) => assert_eq!(got, most + 1),
                (Fault::Nothing | Fault::TooMany, Ok(())) if flushing => {}
                (fault, got) => panic!("write {at}, {fault:?}: {got:?}"),
            }
        }
        let mut writer = Faulty::new(&[], 50, at, 3, Fault::Fails(ErrorKind::Interrupted));
        other.save(&mut writer).expect("interrupted three times");
        assert!(writer.written == saved);
    }
    let one_byte_reads = other.restore(&mut Faulty::new(&saved, 1, usize::MAX, 0, Fault::Nothing), &mut []);
    assert_eq!(one_byte_reads, Ok(5));
    println!("{reads} reads and {writes} writes, each failing in {} ways", faults.len() + 5);
}

/// A slice whose bytes are gone while `gone` says so.
struct Switched<'a> {
    bytes: &'a [u8],
    gone: &'a Cell<bool>,
}

impl ReadAt for Switched<'_> {
    fn read_at(&mut self, at: AbsOffset, buf: &mut [u8]) -> Result<(), IoError> {
        let mut bytes = if self.gone.get() { &[][..] } else { self.bytes };
        bytes.read_at(at, buf)
    }

    fn len(&mut self) -> Result<u64, IoError> {
        Ok(self.bytes.len() as u64)
    }
}

#[test]
fn weights_that_cannot_be_read_are_named() {
    let bench = Bench::new(&spec().build(), Limits { weights: WeightPlacement::Resident, ..LIMITS });
    let saved = bench.saved(&SAVED);
    let mut arena = bench.arena();
    // Gone after the session was made: only the fingerprint needs the file.
    let truncated = |e: SavedError| matches!(e, SavedError::Weights { error: IoError::Truncated { .. }, .. });
    let cell = Cell::new(false);
    let shared = Switched { bytes: &bench.file, gone: &cell };
    let mut session =
        Session::new(&bench.model, shared, &bench.plan, arena.bytes_mut(), &bench.kernels, &Serial)
            .expect("a session");
    let logits = bits(session.prefill(&LIVE).expect("room"));
    cell.set(true);
    assert!(session.restore(&mut Std::new(&*saved), &mut []).is_err_and(truncated));
    assert!(session.save(&mut Std::new(Vec::new())).is_err_and(truncated));
    assert_eq!((session.tokens(), bits(session.logits())), (&LIVE[..], logits));
    cell.set(false);
    assert_eq!(session.restore(&mut Std::new(&*saved), &mut []), Ok(5));
}

#[test]
fn random_bytes_are_refused() {
    let bench = Bench::new(&spec().build(), LIMITS);
    let saved = bench.saved(&SAVED);
    let mut arena = bench.arena();
    let mut watched = Watched::new(&bench, &mut arena, &LIVE);
    let mut rng = Rng(3);
    for _ in 0..2000 {
        // Some of the saved bytes, then chaos.
        let keep = rng.below(saved.len());
        let mut bad = saved[..keep].to_vec();
        bad.extend((0..rng.below(600) + 1).map(|_| rng.bits() as u8));
        watched.refuses(&mut Std::new(&*bad), "random bytes");
    }
    watched.is_untouched();
}
