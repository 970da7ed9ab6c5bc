//! Containers in order that hold no model, or an odd one: each gets its one error at load, or runs.

use barre_core::gguf::{Gguf, GgufError, Name, ValueType};
use barre_core::io::{AbsOffset, Stream};
use barre_core::kernels::{Kernels, Serial};
use barre_core::model::{Model, ModelError, TensorName};
use barre_core::quant::WeightFormat;
use barre_tests::models::Run;
use barre_tests::readers::Std;
use barre_tests::synthetic::{Kv, LayerSpec, Spec, Synthetic, Tensor};
use std::mem::discriminant;

fn small() -> Synthetic {
    Spec::small().build()
}

fn name(s: &str) -> TensorName {
    TensorName::new(s)
}

fn shape(tensor: &str, want: [u64; 2], [k, n]: [u64; 2]) -> ModelError {
    ModelError::ShapeMismatch { tensor: name(tensor), want, got: [k, n, 1, 1] }
}

/// The verdict on `file` from memory, a stream, byte by byte and inside a larger file: it is one.
fn load(file: &[u8]) -> Result<Model, ModelError> {
    let mut reader = file;
    let gguf = Gguf::open(&mut reader).expect("the container is in order");
    let model = Model::load(&gguf, &mut reader);
    for most in [usize::MAX, 1] {
        let mut reader = Stream::new(Std::short(file, most));
        let gguf = Gguf::open(&mut reader).expect("the container is in order");
        let streamed = Model::load(&gguf, &mut reader).err().map(|e| e.to_string());
        assert_eq!(streamed, model.as_ref().err().map(ToString::to_string), "at most {most} bytes a read");
    }
    let larger = [&[0xee; 7][..], file].concat();
    let mut reader = &larger[..];
    let gguf = Gguf::open_at(&mut reader, AbsOffset::new(7)).expect("the container is in order");
    match (&model, Model::load(&gguf, &mut reader)) {
        (Ok(_), Ok(_)) => {}
        (Err(ModelError::Gguf(a)), Err(ModelError::Gguf(b))) => {
            assert_eq!(discriminant(a), discriminant(&b), "{a} | {b}");
            assert_eq!(a.offset().map(|o| o + 7), b.offset(), "{a} | {b}");
        }
        // What has no offset is the same; of a value that is not a number no two are equal.
        (Err(a), Err(b)) => assert_eq!(a.to_string(), b.to_string()),
        (a, b) => panic!("inside a larger file: {:?} {:?}", a.as_ref().err(), b.err()),
    }
    model
}

#[track_caller]
fn refused(id: &str, model: &Synthetic, want: ModelError) {
    let got = load(&model.file()).expect_err(id);
    assert_eq!(got, want, "{id}: {got}");
    one_line(id, &got.to_string());
}

#[track_caller]
fn one_line(id: &str, text: &str) {
    assert!(!text.is_empty() && !text.contains(char::is_control), "{id}: {text}");
}

/// The model loads, and a few tokens through it give finite logits.
#[track_caller]
fn runs(id: &str, model: &Synthetic) -> Vec<f32> {
    let file = model.file();
    if let Err(e) = load(&file) {
        panic!("{id}: {e}");
    }
    let kernels = Kernels::scalar();
    let logits = Run::new(&kernels, &Serial).logits(&file[..], &[1, 2, 3, 2]);
    assert!(logits.iter().all(|x| x.is_finite()), "{id}");
    logits
}

/// `key` of the model set to `value` is refused as out of range.
#[track_caller]
fn bad_hparam(id: &str, key: &'static str, value: Kv, shown: f64) {
    let got = load(&small().with(&format!("llama.{key}"), value).file()).expect_err(id);
    match got {
        ModelError::BadHparam { key: k, value: v, must } => {
            assert!(k == key && (v == shown || v.is_nan() && shown.is_nan()), "{id}: {got}");
            assert!(!must.is_empty(), "{id}: {got}");
        }
        _ => panic!("{id}: {got}"),
    }
    one_line(id, &got.to_string());
}

#[track_caller]
fn over_limit(id: &str, key: &'static str, value: Kv, shown: u64) {
    match load(&small().with(&format!("llama.{key}"), value).file()).expect_err(id) {
        ModelError::Limit { key: k, value, max } => {
            assert!(k == key && value == shown && max < shown, "{id}: {k} {value} {max}");
        }
        got => panic!("{id}: {got}"),
    }
}

/// The value of `key` is of a type that it can't be.
#[track_caller]
fn wrong_type(id: &str, key: &str, value: Kv, got_type: ValueType) {
    match load(&small().with(key, value).file()).expect_err(id) {
        ModelError::Gguf(GgufError::WrongType { key: k, got, offset, .. }) => {
            assert!(
                k == Name::new(key.as_bytes()) && got == got_type && offset > 24,
                "{id}: {k} {got:?} at {offset}"
            );
        }
        got => panic!("{id}: {got}"),
    }
}

const LENGTHS: [&str; 6] = [
    "block_count",
    "embedding_length",
    "context_length",
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
];

#[test]
fn kinds_of_file() {
    for arch in ["qwen9", "Llama", "llama ", "mamba-2", "", "two\nlines", "\x1b[2J\0"] {
        let model = small().with("general.architecture", Kv::text(arch));
        refused("P02", &model, ModelError::UnsupportedArch { name: name(arch) });
    }
    let missing = ModelError::MissingKey { key: "general.architecture" };
    refused("P02", &small().without("general.architecture"), missing);
    for kind in ["adapter", "mmproj", "imatrix", "two\nlines"] {
        let model = small().with("general.type", Kv::text(kind));
        refused("P36", &model, ModelError::UnsupportedKind { kind: name(kind) });
    }
    runs("P36", &small().with("general.type", Kv::text("model")));
    wrong_type("P02", "general.architecture", Kv::U32(7), ValueType::U32);
    wrong_type("P36", "general.type", Kv::U32(7), ValueType::U32);
    // A name that goes on and on is no architecture either.
    let long = small().with("general.architecture", Kv::Str("x".repeat(70_000)));
    assert!(matches!(load(&long.file()), Err(ModelError::Gguf(GgufError::Limit { .. }))));
}

#[test]
fn keys_that_are_needed() {
    for key in LENGTHS.into_iter().chain(["attention.layer_norm_rms_epsilon"]) {
        let model = small().without(&format!("llama.{key}"));
        if key == "attention.head_count_kv" {
            // Absent: as many as query heads, so the tensors no longer fit.
            refused(key, &model, shape("blk.0.attn_k.weight", [16, 16], [16, 8]));
        } else {
            refused(key, &model, ModelError::MissingKey { key });
        }
    }
    // "Minimum viable": a header and a name.
    let nothing = Synthetic { kv: vec![("general.architecture".into(), Kv::text("llama"))], tensors: vec![] };
    refused("P37", &nothing, ModelError::MissingKey { key: "block_count" });
    let no_tensors = Synthetic { kv: small().kv, tensors: vec![] };
    refused("P37", &no_tensors, ModelError::MissingTensor { name: name("token_embd.weight") });
}

#[test]
fn lengths_out_of_range() {
    for key in LENGTHS {
        bad_hparam("P07 P08 P09 P24", key, Kv::U32(0), 0.0);
        bad_hparam("P28", key, Kv::I32(-1), -1.0);
        bad_hparam("P28", key, Kv::I64(i64::MIN), i64::MIN as f64);
        over_limit("P27", key, Kv::U64(1 << 32), 1 << 32);
        over_limit("P27", key, Kv::U64(u64::MAX), u64::MAX);
        wrong_type("K28", &format!("llama.{key}"), Kv::text("4"), ValueType::String);
        wrong_type("K28", &format!("llama.{key}"), Kv::F32(4.0), ValueType::F32);
    }
    for key in ["attention.key_length", "attention.value_length"] {
        bad_hparam("P13", key, Kv::U32(0), 0.0);
        bad_hparam("P28", key, Kv::I32(-8), -8.0);
        over_limit("P14", key, Kv::U32(u32::MAX), u32::MAX.into());
        over_limit("P14", key, Kv::U64(1 << 62), 1 << 62);
        // Within its own limit, but not times four heads.
        bad_hparam("P14", key, Kv::U32(1 << 20), f64::from(1 << 20));
    }
    over_limit("P05", "block_count", Kv::U32(513), 513);
    over_limit("P05", "block_count", Kv::U32(u32::MAX), u32::MAX.into());
    // More layers than tensors, within the limit.
    let model = small().with("llama.block_count", Kv::U32(512));
    refused("P05", &model, ModelError::MissingTensor { name: name("blk.2.attn_norm.weight") });
}

#[test]
fn heads_that_do_not_divide() {
    bad_hparam("P11", "attention.head_count_kv", Kv::U32(3), 3.0);
    bad_hparam("P11", "attention.head_count_kv", Kv::U32(8), 8.0);
    // 16 wide, no length of its own.
    bad_hparam("P11", "attention.head_count", Kv::U32(3), 3.0);
    bad_hparam("P15", "rope.dimension_count", Kv::U32(3), 3.0);
    bad_hparam("P16", "rope.dimension_count", Kv::U32(6), 6.0);
    over_limit("P16", "rope.dimension_count", Kv::U32(u32::MAX), u32::MAX.into());
    bad_hparam("P28", "rope.dimension_count", Kv::I32(-2), -2.0);
    // An odd head has no whole number of pairs.
    let odd = Spec { embedding: 20, ..Spec::small() }.build();
    let want = ModelError::BadHparam { key: "rope.dimension_count", value: 5.0, must: "even" };
    refused("P15", &odd, want);
    runs("P15", &odd.with("llama.rope.dimension_count", Kv::U32(4)));
    runs("P15", &small().with("llama.rope.dimension_count", Kv::U32(0)));
}

#[test]
fn floats_out_of_range() {
    for x in [0.0, -0.0, -1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for key in
            ["rope.freq_base", "attention.layer_norm_rms_epsilon", "rope.scaling.factor", "rope.scale_linear"]
        {
            bad_hparam("P18 P19 P21", key, Kv::F32(x), x.into());
        }
    }
    for key in ["rope.freq_base", "attention.layer_norm_rms_epsilon", "rope.scaling.factor"] {
        wrong_type("K28", &format!("llama.{key}"), Kv::U32(1), ValueType::U32);
        wrong_type("K28", &format!("llama.{key}"), Kv::text("1"), ValueType::String);
        // Rounded to f32, this is 0, and that infinite.
        bad_hparam("P18 P19 P21", key, Kv::F64(1e-60), 0.0);
        bad_hparam("P18 P19 P21", key, Kv::F64(1e60), f64::INFINITY);
    }
    // Positive and finite, but its inverse is not.
    bad_hparam("P19", "rope.scaling.factor", Kv::F32(1e-40), 1e-40f32.into());
    runs("P19", &small().with("llama.rope.scaling.factor", Kv::F32(f32::MAX)));
    runs("P18", &small().with("llama.rope.freq_base", Kv::F32(f32::MIN_POSITIVE)));
    runs("P18", &small().with("llama.rope.freq_base", Kv::F32(f32::MAX)));
    runs("P21", &small().with("llama.attention.layer_norm_rms_epsilon", Kv::F32(f32::MAX)));
    runs("P21", &small().with("llama.attention.layer_norm_rms_epsilon", Kv::F64(1e-6)));
}

#[test]
fn kinds_of_rope_scaling() {
    for kind in ["yarn", "longrope", "banana", "", "LINEAR"] {
        match load(&small().with("llama.rope.scaling.type", Kv::text(kind)).file()) {
            Err(ModelError::Unsupported { key: "rope.scaling.type", .. }) => {}
            other => panic!("P20: {:?}", other.err()),
        }
    }
    wrong_type("P20", "llama.rope.scaling.type", Kv::U32(1), ValueType::U32);
    let factor = |kind: &str| {
        small()
            .with("llama.rope.scaling.type", Kv::text(kind))
            .with("llama.rope.scaling.factor", Kv::F32(4.0))
    };
    let plain = runs("P20", &small());
    assert_eq!(runs("none", &factor("none")), plain);
    assert_ne!(runs("linear", &factor("linear")), plain);
}

#[test]
fn arrays_by_layer() {
    for key in ["attention.head_count", "attention.head_count_kv", "feed_forward_length"] {
        let full = format!("llama.{key}");
        for len in [0, 1, 3, 513] {
            let model = small().with(&full, Kv::U32s(vec![4; len]));
            refused("P25", &model, ModelError::BadLayerArray { key, len: len as u64, layers: 2 });
        }
        for (array, got) in [
            (Kv::F32s(vec![4.0, 4.0]), ValueType::F32),
            (Kv::Strs(vec!["4".into(), "4".into()]), ValueType::String),
        ] {
            wrong_type("P26", &full, array, got);
        }
        let zero = small().with(&full, Kv::U32s(vec![4, 0]));
        match load(&zero.file()) {
            Err(ModelError::BadHparam { key: k, value: 0.0, .. }) if k == key => {}
            other => panic!("P25: {:?}", other.err()),
        }
        let large = small().with(&full, Kv::U64s(vec![4, 1 << 40]));
        match load(&large.file()) {
            Err(ModelError::Limit { key: k, value, .. }) if k == key && value == 1 << 40 => {}
            other => panic!("P27: {:?}", other.err()),
        }
        let negative = small().with(&full, Kv::I32s(vec![4, -4]));
        match load(&negative.file()) {
            Err(ModelError::Gguf(GgufError::OutOfRange { key: k, offset })) => {
                assert!(k == Name::new(full.as_bytes()) && offset > 24);
            }
            other => panic!("P28: {:?}", other.err()),
        }
    }
    // An array where the architecture has one number.
    wrong_type("K15", "llama.embedding_length", Kv::U32s(vec![16, 16]), ValueType::Array);
    wrong_type("K15", "llama.block_count", Kv::U32s(vec![2]), ValueType::Array);
}

#[test]
fn experts() {
    let key = "expert_used_count";
    let must = "1 to expert_count";
    let with = |experts: u32, used: Option<u32>| {
        let model = small().with("llama.expert_count", Kv::U32(experts));
        match used {
            Some(n) => model.with("llama.expert_used_count", Kv::U32(n)),
            None => model,
        }
    };
    refused("P29", &with(8, Some(0)), ModelError::BadHparam { key, value: 0.0, must });
    refused("P29", &with(8, None), ModelError::BadHparam { key, value: 0.0, must });
    refused("P30", &with(8, Some(9)), ModelError::BadHparam { key, value: 9.0, must });
    refused("P30", &with(0, Some(1)), ModelError::BadHparam { key, value: 1.0, must });
    let want = ModelError::Unsupported { key: "expert_count", what: "a mixture of experts" };
    refused("experts", &with(8, Some(2)), want);
    runs("experts", &with(0, Some(0)));
}

#[test]
fn vocabularies_of_another_size() {
    let tokens = |n: usize| Kv::Strs(vec!["x".to_owned(); n]);
    for n in [1, 31, 33, 1000] {
        let model = small().dropped("output.weight").with("tokenizer.ggml.tokens", tokens(n));
        refused("P31", &model, shape("token_embd.weight", [16, n as u64], [16, 32]));
    }
    let head = small().reshaped("output.weight", &[16, 33]);
    refused("P31", &head, shape("output.weight", [16, 32], [16, 33]));
    let none = small().with("tokenizer.ggml.tokens", tokens(0));
    refused("V04", &none, ModelError::BadHparam { key: "vocab_size", value: 0.0, must: "at least 1" });
    wrong_type("V02", "tokenizer.ggml.tokens", Kv::U32(32), ValueType::U32);

    // Without a list the number counts, and without a number the embedding's rows.
    let bare = small().without("tokenizer.ggml.tokens");
    runs("no tokens", &bare);
    runs("no tokens", &bare.clone().with("llama.vocab_size", Kv::U64(32)));
    let more = bare.clone().dropped("output.weight").with("llama.vocab_size", Kv::U32(33));
    refused("P31", &more, shape("token_embd.weight", [16, 33], [16, 32]));
    let empty = bare.clone().reshaped("token_embd.weight", &[16, 0]);
    refused("T11", &empty, ModelError::BadHparam { key: "vocab_size", value: 0.0, must: "at least 1" });
    refused(
        "P34",
        &bare.dropped("token_embd.weight"),
        ModelError::MissingTensor { name: name("token_embd.weight") },
    );
}

/// Every tensor of a model that has them all, with what its shape must be.
fn all_tensors() -> (Synthetic, Vec<(String, [u64; 2])>) {
    let model = Spec { biases: true, rope_freqs: true, ..Spec::small() }.build();
    let names =
        model.tensors.iter().map(|t| (t.name.clone(), [t.dims[0], *t.dims.get(1).unwrap_or(&1)])).collect();
    (model, names)
}

#[test]
fn tensors_that_are_needed() {
    let (model, tensors) = all_tensors();
    for (tensor, _) in tensors {
        let optional =
            tensor.ends_with(".bias") || tensor == "rope_freqs.weight" || tensor == "output.weight";
        let without = model.clone().dropped(&tensor);
        if optional {
            runs(&format!("without {tensor}"), &without);
        } else {
            refused("P34", &without, ModelError::MissingTensor { name: name(&tensor) });
        }
    }
}

#[test]
fn tensors_of_another_shape() {
    let (model, tensors) = all_tensors();
    for (tensor, want) in tensors {
        let [k, n] = want;
        let mut shapes = vec![[k + 1, n], [k * 2, n], [k, n + 1], [1, n * k]];
        if k != n && n != 1 {
            // Inputs and outputs exchanged: as many bytes, another meaning.
            shapes.push([n, k]);
        }
        for got in shapes.into_iter().filter(|s| *s != want) {
            let other = model.clone().reshaped(&tensor, &got);
            refused("T32 P24", &other, shape(&tensor, want, got));
        }
        for zero in [&[0, n][..], &[k, 0]] {
            refused(
                "T11",
                &model.clone().reshaped(&tensor, zero),
                ModelError::BadDim { tensor: name(&tensor) },
            );
        }
        // As many weights in three dimensions; but a rank padded with ones is the same shape.
        let deep = model.clone().edit(&tensor, |t| t.dims = vec![1, k, n]);
        let got = load(&deep.file()).expect_err("T32");
        assert!(matches!(got, ModelError::ShapeMismatch { tensor: t, .. } if t == name(&tensor)), "{got}");
        runs("rank", &model.clone().edit(&tensor, |t| t.dims = vec![k, n, 1, 1]));
    }
    let stacked = small().reshaped("blk.0.attn_q.weight", &[16, 16, 2]);
    let got = load(&stacked.file()).expect_err("T32").to_string();
    assert!(got.contains("[16, 16, 2]"), "{got}");
}

#[test]
fn tensors_of_another_type() {
    const IQ4_XS: u32 = 23;
    let (_, tensors) = all_tensors();
    // 256 inputs everywhere, so that every format has whole blocks.
    let wide = Spec {
        biases: true,
        rope_freqs: true,
        rope_dims: Some(16),
        ..Spec::in_formats(&[WeightFormat::F32])
    };
    for (tensor, [_, n]) in tensors {
        let id = format!("P32 {tensor}");
        let retyped = |ty: u32, block_bytes: usize, block_len: usize| {
            wide.build().edit(&tensor, |t| {
                let weights = t.dims.iter().product::<u64>() as usize;
                t.ggml_type = ty;
                t.data = vec![0; weights.div_ceil(block_len) * block_bytes];
            })
        };
        let error = |ggml_type| ModelError::TypeNotSupported { tensor: name(&tensor), ggml_type };
        let whole = |len: u64| wide.build().tensor(&tensor).dims[0].is_multiple_of(len);
        if whole(256) {
            refused(&id, &retyped(IQ4_XS, 136, 256), error(IQ4_XS));
        }
        for (format, bytes, len) in [(WeightFormat::Q4_0, 18, 32), (WeightFormat::Q8_K, 292, 256)] {
            if n == 1 && whole(len) {
                refused(&id, &retyped(format.to_ggml(), bytes, len as usize), error(format.to_ggml()));
            }
        }
        if n == 1 {
            const I32: u32 = 26;
            refused(&id, &retyped(I32, 4, 1), error(I32));
            for half in [WeightFormat::F16, WeightFormat::BF16] {
                load(&retyped(half.to_ggml(), 2, 1).file()).unwrap_or_else(|e| panic!("{id}: {e}"));
            }
        }
    }
}

#[test]
fn numbers_of_every_integer_type() {
    let plain = runs("M08", &small());
    for key in LENGTHS {
        let full = format!("llama.{key}");
        let (_, old) = small().kv.into_iter().find(|(k, _)| *k == full).expect(key);
        let Kv::U32(n) = old else { panic!("{key} is a u32") };
        for value in [Kv::U64(n.into()), Kv::I32(n as i32), Kv::I64(n.into()), Kv::U16(n as u16)] {
            assert_eq!(runs("M08 P27", &small().with(&full, value)), plain, "{key}");
        }
        if ["attention.head_count", "attention.head_count_kv", "feed_forward_length"].contains(&key) {
            for value in [Kv::U32s(vec![n; 2]), Kv::U64s(vec![n.into(); 2]), Kv::I32s(vec![n as i32; 2])] {
                assert_eq!(runs("M08", &small().with(&full, value)), plain, "{key}");
            }
        }
    }
    let by_layer = Spec {
        layers: vec![
            LayerSpec { heads: 4, heads_kv: 2, feed_forward: 24 },
            LayerSpec { heads: 8, heads_kv: 8, feed_forward: 40 },
            LayerSpec { heads: 2, heads_kv: 1, feed_forward: 8 },
        ],
        ..Spec::small()
    };
    runs("M08", &by_layer.build());
}

#[test]
fn models_that_must_be_accepted() {
    let plain = runs("plain", &small());
    // Tied: the head is the embedding.
    let tied = Spec { tied: true, ..Spec::small() }.build();
    let copy = tied.tensor("token_embd.weight").values();
    let untied = tied.clone().plus(Tensor::f32("output.weight", &[16, 32], &copy));
    assert_eq!(runs("M10", &tied), runs("M10", &untied));
    // Tensors in any order.
    let mut model = small();
    model.tensors.reverse();
    assert_eq!(runs("M11", &model), plain);
    model.tensors.rotate_left(5);
    assert_eq!(runs("M11", &model), plain);
    model.kv.reverse();
    assert_eq!(runs("M11", &model), plain);
    // Tensors that the model does not use: of a type without a kernel here, of none at all, of no elements.
    let unused = |name: &str, dims: &[u64], ty, bytes: usize| Tensor::of(name, dims, ty, vec![0xff; bytes]);
    let model = small().plus(unused("blk.2.nextn.eh_proj.weight", &[256, 3], 23, 3 * 136));
    assert_eq!(runs("M13", &model), plain);
    let model = small().plus(unused("blk.2.attn_q.weight", &[16, 16], 0, 1024));
    assert_eq!(runs("M13", &model), plain);
    for dims in [&[0][..], &[16, 0], &[0, 16, 0, 1]] {
        let model = small().plus(unused("nothing.weight", dims, 0, 0));
        assert_eq!(runs("M14", &model), plain);
    }
}

#[test]
fn a_value_head_defaults_to_the_embedding_s_share() {
    // As the specification and llama.cpp have it: not the length of the key.
    let spec = Spec { key_length: Some(6), ..Spec::small() };
    let model = load(&spec.build().file()).expect("a model");
    assert_eq!((model.hparams().key_length, model.hparams().value_length), (6, 4));
    let spec = Spec { value_length: Some(6), ..Spec::small() };
    let model = load(&spec.build().file()).expect("a model");
    assert_eq!((model.hparams().key_length, model.hparams().value_length), (4, 6));
    runs("value_length", &spec.build());
    // Where heads do not share the embedding evenly, both lengths must be there.
    let uneven = Spec { embedding: 18, key_length: Some(4), value_length: Some(4), ..Spec::small() };
    runs("uneven", &uneven.build());
    for key in ["attention.key_length", "attention.value_length"] {
        let got = load(&uneven.build().without(&format!("llama.{key}")).file()).expect_err(key);
        assert!(
            matches!(got, ModelError::BadHparam { key: "attention.head_count", value: 4.0, .. }),
            "{got}"
        );
    }
}

#[test]
fn errors_are_one_line_each() {
    // What the tests above do not meet.
    let tensor = name("blk.0.attn_q.weight");
    for e in [
        ModelError::RowNotBlockMultiple { tensor, format: WeightFormat::Q4_K, k: 3 },
        ModelError::TooBigForTarget { tensor, bytes: u64::MAX },
        ModelError::OutOfMemory { what: "the layers' lengths" },
        ModelError::from(GgufError::MissingKey { key: Name::from("a") }),
    ] {
        one_line("Display", &e.to_string());
        assert_eq!(discriminant(&e), discriminant(&e.clone()));
    }
}
