//! Contexts and limits that no memory holds: an error before any is asked for, and nothing written.

use barre_core::gguf::Gguf;
use barre_core::io::{AbsOffset, IoError, ReadAt};
use barre_core::kernels::{Kernels, KvType, Mode, Serial};
use barre_core::model::{Limits, Model, Plan, PlanError, WeightPlacement};
use barre_core::session::{Session, SessionError};
use barre_tests::models::{Run, arena};
use barre_tests::synthetic::{Kv, Spec, Synthetic, Tensor};

fn small() -> Synthetic {
    Spec::small().build()
}

fn load(file: &[u8]) -> Model {
    let mut reader = file;
    let gguf = Gguf::open(&mut reader).expect("a container");
    Model::load(&gguf, &mut reader).expect("a model")
}

#[track_caller]
fn one_line(id: &str, text: &str) {
    assert!(!text.is_empty() && !text.contains(char::is_control), "{id}: {text}");
}

/// A file of which only the header exists: zeros up to `len`.
struct Sparse {
    header: Vec<u8>,
    len: u64,
}

impl ReadAt for Sparse {
    fn read_at(&mut self, at: AbsOffset, buf: &mut [u8]) -> Result<(), IoError> {
        for (i, to) in buf.iter_mut().enumerate() {
            let at = at.get() + i as u64;
            assert!(at < self.len);
            *to = usize::try_from(at).ok().and_then(|at| self.header.get(at).copied()).unwrap_or(0);
        }
        Ok(())
    }

    fn len(&mut self) -> Result<u64, IoError> {
        Ok(self.len)
    }
}

fn limits(context: usize) -> Limits {
    Limits {
        context,
        batch: 8,
        kv: KvType::F16,
        mode: Mode::Int8,
        threads: 1,
        weights: WeightPlacement::Streamed { window: 1 << 24 },
    }
}

#[test]
fn a_cache_that_cannot_be_addressed_but_a_smaller_can() {
    // 512 layers with 2 · 2^20 key and value floats a position, for 2^32 − 1 positions: 2^64 bytes, almost.
    let (heads, key_length) = (1 << 13, 1 << 7);
    let width = (heads * key_length) as u64;
    let spec = Spec { embedding: 1, key_length: Some(2), ..Spec::small() };
    let set = |model: Synthetic, key: &str, n: u64| model.with(&format!("llama.{key}"), Kv::U64(n));
    let mut model = [
        ("block_count", 512),
        ("context_length", u32::MAX.into()),
        ("feed_forward_length", 1),
        ("attention.head_count", heads as u64),
        ("attention.head_count_kv", heads as u64),
        ("attention.key_length", key_length as u64),
        ("attention.value_length", key_length as u64),
    ]
    .into_iter()
    .fold(spec.build(), |model, (key, n)| set(model, key, n));
    model.tensors.retain(|t| !t.name.starts_with("blk."));
    for i in 0..512 {
        for (stem, dims) in [
            ("attn_norm", &[1][..]),
            ("ffn_norm", &[1]),
            ("attn_q", &[1, width]),
            ("attn_k", &[1, width]),
            ("attn_v", &[1, width]),
            ("attn_output", &[width, 1]),
            ("ffn_gate", &[1, 1]),
            ("ffn_up", &[1, 1]),
            ("ffn_down", &[1, 1]),
        ] {
            model.tensors.push(Tensor::absent(&format!("blk.{i}.{stem}.weight"), dims));
        }
    }
    let mut reader = Sparse { header: model.header(), len: model.file_len() };
    let gguf = Gguf::open(&mut reader).expect("a container");
    let model = Model::load(&gguf, &mut reader).expect("a model");
    let kernels = Kernels::scalar();
    let all = u32::MAX as usize;
    let have = isize::MAX as u64;
    let region = "KV cache";
    let too_big = |limits: &Limits| match Plan::new(&model, &kernels, limits) {
        Err(e @ PlanError::TooBig { region, need, have: most }) => {
            one_line("P23", &e.to_string());
            assert!(need > have && most == have, "{e}");
            (region, need)
        }
        other => panic!("P23: {:?}", other.map(|p| p.bytes())),
    };
    let need = (1u64 << 30) * u64::from(u32::MAX) * 4;
    assert_eq!(too_big(&Limits { kv: KvType::F32, ..limits(all) }), (region, need));
    // A cache of halves fits 63 bits by a hair; what follows it does not.
    let (next, _) = too_big(&limits(all));
    assert_ne!(next, region);
    let plan = Plan::new(&model, &kernels, &limits(16)).expect("a smaller context fits");
    assert_eq!(plan.regions().find(|r| r.name == region).map(|r| r.bytes), Some(16 << 31));
    let resident = Limits { weights: WeightPlacement::Resident, ..limits(1) };
    let plan = Plan::new(&model, &kernels, &resident).expect("8 GiB are addressable");
    assert!(plan.bytes() as u64 > 4 * 512 * 4 * width);
}

#[test]
fn a_context_of_2_to_the_32_positions_runs_in_less() {
    let file = small().with("llama.context_length", Kv::U32(u32::MAX)).file();
    let model = load(&file);
    assert_eq!(model.hparams().context_length, u32::MAX as usize);
    let kernels = Kernels::scalar();
    assert!(Plan::new(&model, &kernels, &limits(128)).is_ok(), "P23");
    let logits = Run::new(&kernels, &Serial).logits(&file[..], &[1, 2, 3]);
    assert!(logits == Run::new(&kernels, &Serial).logits(&small().file()[..], &[1, 2, 3]), "P23");
    let all = Limits { kv: KvType::F32, batch: usize::MAX, ..limits(u32::MAX as usize) };
    match Plan::new(&model, &kernels, &all) {
        // 128 + 4 bytes a position of cache and history, some hundred more of state for a batch as long.
        Ok(plan) => assert!(plan.bytes() > 132 << 32),
        Err(e) => assert!(matches!(e, PlanError::TooBig { .. }) && usize::BITS < 64, "{e}"),
    }
}

#[test]
fn limits_that_no_session_can_have() {
    let file = small().file();
    let model = load(&file);
    let kernels = Kernels::scalar();
    let mapped = Limits { weights: WeightPlacement::Mapped, ..limits(8) };
    let window = |window| Limits { weights: WeightPlacement::Streamed { window }, ..mapped };
    // Rows of 24 floats are the longest.
    let most = isize::MAX as usize;
    for (limits, limit, value, min, max) in [
        (Limits { context: 0, ..mapped }, "context", 0, 1, 64),
        (Limits { context: 65, ..mapped }, "context", 65, 1, 64),
        (Limits { context: usize::MAX, ..mapped }, "context", usize::MAX, 1, 64),
        (Limits { batch: 0, ..mapped }, "batch", 0, 1, usize::MAX),
        (Limits { threads: 0, ..mapped }, "threads", 0, 1, 1024),
        (Limits { threads: 10_000, ..mapped }, "threads", 10_000, 1, 1024),
        (window(0), "stream window", 0, 96, most),
        (window(95), "stream window", 95, 96, most),
        (window(most + 1), "stream window", most + 1, 96, most),
    ] {
        let got = Plan::new(&model, &kernels, &limits).expect_err(limit);
        assert_eq!(got, PlanError::BadLimit { limit, value, min, max }, "R08");
        one_line(limit, &got.to_string());
    }
    assert!(Plan::new(&model, &kernels, &window(96)).is_ok());
    let huge = Plan::new(&model, &kernels, &window(most)).expect_err("nothing else would fit beside it");
    assert!(matches!(huge, PlanError::TooBig { region: "stream window", .. }), "{huge}");
}

#[test]
fn a_cache_of_blocks_wants_whole_ones_and_takes_the_bytes_that_are_planned() {
    let kernels = Kernels::scalar();
    let plan = |key_length, value_length, kv| {
        let (key_length, value_length) = (Some(key_length), Some(value_length));
        let spec = Spec { key_length, value_length, rope_dims: Some(4), ..Spec::small() };
        let file = spec.build().file();
        let limits = Limits { kv, weights: WeightPlacement::Mapped, ..limits(8) };
        let model = load(&file);
        Plan::new(&model, &kernels, &limits).map(|plan| (file, model, plan))
    };
    for (key_length, value_length, key, len) in [
        (4, 32, "attention.key_length", 4),
        (48, 64, "attention.key_length", 48),
        (32, 80, "attention.value_length", 80),
    ] {
        let got = plan(key_length, value_length, KvType::Q8_0).map(|_| ()).expect_err(key);
        assert_eq!(got, PlanError::BrokenBlock { key, len, block: 32 });
        one_line(key, &got.to_string());
        assert!(got.to_string().contains(key) && plan(key_length, value_length, KvType::F16).is_ok());
    }
    // Two layers with two heads of 32 + 64 numbers, and 8 positions.
    for (kv, bytes) in [(KvType::F32, 4 * 32), (KvType::F16, 2 * 32), (KvType::Q8_0, 34)] {
        let (file, model, plan) = plan(32, 64, kv).expect("a plan");
        let position = 2 * 2 * 3 * bytes;
        assert_eq!(plan.regions().find(|r| r.name == "KV cache").map(|r| r.bytes), Some(8 * position));
        assert_eq!(plan.kv_bytes_per_position(), position as u64);
        // That is what a session takes, to the byte, and enough for a full context.
        let mut memory = arena(plan.bytes() + Plan::ALIGN, 0xa5);
        let (short, _) = memory.bytes_mut().split_at_mut(plan.bytes() - 1);
        assert!(Session::new(&model, &file[..], &plan, short, &kernels, &Serial).is_err());
        let (whole, behind) = memory.bytes_mut().split_at_mut(plan.bytes());
        let mut session =
            Session::new(&model, &file[..], &plan, whole, &kernels, &Serial).expect("a session");
        session.prefill(&[1, 2, 3, 4, 5]).expect("room");
        for token in [6, 7, 8] {
            assert!(session.step(token).expect("room").iter().all(|x| x.is_finite()));
        }
        assert!(behind.iter().all(|&b| b == 0xa5));
    }
}

#[test]
fn a_prompt_too_long_for_the_context_writes_nothing() {
    let file = small().file();
    let model = load(&file);
    let kernels = Kernels::scalar();
    let limits = Limits { weights: WeightPlacement::Mapped, ..limits(8) };
    let plan = Plan::new(&model, &kernels, &limits).expect("a plan");
    let run = |overlong: bool| {
        let mut arena = arena(plan.bytes(), 0xa5);
        let mut session =
            Session::new(&model, &file[..], &plan, arena.bytes_mut(), &kernels, &Serial).expect("a session");
        if overlong {
            let full = SessionError::ContextFull { need: 9, have: 8 };
            assert_eq!(session.prefill(&[31; 9]).err(), Some(full), "R02");
        }
        let logits = session.prefill(&[1, 2, 3, 4, 5]).expect("room").to_vec();
        if overlong {
            for len in [4usize, 100_000] {
                let full = SessionError::ContextFull { need: 5 + len, have: 8 };
                // Tokens that are none: what does not fit is not looked at.
                assert_eq!(session.prefill(&vec![u32::MAX; len]).err(), Some(full), "R02 X04");
                assert_eq!(session.prefill_each(&vec![7; len], &mut |_, _| {}), Err(full), "R02 X04");
            }
            assert_eq!(session.logits(), logits, "the logits are still those of the last token");
            assert_eq!(session.tokens(), [1, 2, 3, 4, 5]);
        }
        arena.bytes_mut().to_vec()
    };
    assert!(run(false) == run(true), "R02: the arena is the same to the byte");
}
