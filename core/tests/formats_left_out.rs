//! A build without a format, a kind of vocabulary or a way of choosing tokens refuses what needs it, and runs the rest.
//!
//! Says something only if features are left out: `./ci.sh features` runs it without any and with some.

use barre_core::gguf::Gguf;
use barre_core::kernels::{Kernels, KvType, Mode};
use barre_core::model::{Limits, Model, ModelError, Plan, PlanError, WeightPlacement};
use barre_core::quant::{QuantError, WeightFormat, dequantize_row, quantize_row};
use barre_core::sampler::{SampleError, Sampler, SamplerParams};
use barre_core::tokenizer::{
    EncodeError, EncodeOptions, EncodeScratch, Role, Tokenizer, VocabBuilder, VocabError,
};

const Q4_K_M: &[u8] = include_bytes!("../../tests/goldens/llama-q4_k_m.gguf");

#[test]
fn a_model_is_refused_by_the_name_of_tensor_format_and_feature() {
    let mut reader = Q4_K_M;
    let gguf = Gguf::open(&mut reader).expect("the container is read whatever its formats");
    // Vectors are read in every build, in whichever float format.
    let matrices = gguf.tensors().filter(|t| t.dims().len() > 1);
    let left_out = matrices.filter_map(|t| t.format().ok()).any(|f| !f.is_compiled());
    match Model::load(&gguf, &mut reader) {
        Ok(_) => assert!(!left_out, "a tensor's format is left out"),
        Err(e @ ModelError::FormatNotCompiled { tensor, format }) => {
            assert!(left_out && !format.is_compiled());
            let (text, feature) = (e.to_string(), format.feature());
            assert!(text.contains(tensor.as_str()) && text.contains(format.name()), "{text}");
            assert!(text.contains(&format!("feature `{feature}`")), "{text}");
        }
        Err(e) => panic!("{e}"),
    }
}

#[test]
fn a_kind_of_cache_is_refused_by_the_name_of_the_feature() {
    let mut reader = Q4_K_M;
    let gguf = Gguf::open(&mut reader).expect("a container");
    let Ok(model) = Model::load(&gguf, &mut reader) else { return };
    for kv in KvType::ALL {
        let weights = WeightPlacement::Mapped;
        let limits = Limits { context: 4, batch: 1, kv, mode: Mode::Int8, threads: 1, weights };
        match Plan::new(&model, &Kernels::scalar(), &limits) {
            Ok(_) => assert!(kv.is_compiled()),
            Err(e) => {
                assert_eq!(e, PlanError::NotCompiled { feature: "kv-q8_0" });
                assert!(kv == KvType::Q8_0 && !cfg!(feature = "kv-q8_0"), "{e}");
            }
        }
    }
}

#[test]
fn rows_convert_in_the_formats_that_are_there() {
    for format in WeightFormat::ALL {
        let x = [0.5f32; 256];
        let mut bytes = vec![0; format.row_bytes(x.len()).expect("whole blocks")];
        let mut back = x;
        // Vectors may be in a float format whose matrices are left out.
        let want = if format.is_compiled() || format.block_len() == 1 {
            Ok(())
        } else {
            Err(QuantError::NotCompiled { format })
        };
        assert_eq!(quantize_row(format, &x, &mut bytes), want);
        assert_eq!(dequantize_row(format, &bytes, &mut back), want);
    }
}

#[test]
fn a_vocabulary_is_refused_by_the_name_of_the_feature() {
    let left_out = |model: &[u8], pre: &[u8]| match VocabBuilder::new(model, Some(pre)) {
        Ok(_) => None,
        Err(VocabError::NotCompiled { feature, .. }) => Some(feature),
        Err(e) => panic!("{e}"),
    };
    assert_eq!(left_out(b"llama", b""), (!cfg!(feature = "spm")).then_some("spm"));
    assert_eq!(left_out(b"gpt2", b"qwen2"), (!cfg!(feature = "bpe-llama3")).then_some("bpe-llama3"));
    let all = if cfg!(feature = "bpe-llama3") { "bpe" } else { "bpe-llama3" };
    assert_eq!(left_out(b"gpt2", b"gpt-2"), (!cfg!(feature = "bpe")).then_some(all));
}

/// Tokens `a` and `<x>`, the latter of this type.
fn with_special_token(type_of_x: i32) -> Option<Result<Tokenizer, VocabError>> {
    let model: &[u8] = match () {
        () if cfg!(feature = "spm") => b"llama",
        () if cfg!(feature = "bpe-llama3") => b"gpt2",
        () => return None,
    };
    let mut builder = VocabBuilder::new(model, Some(b"qwen2")).expect("compiled");
    for (text, ty) in [("a", 1), ("<x>", type_of_x)] {
        builder.push_token(text.as_bytes()).expect("memory");
        builder.push_type(ty).expect("memory");
    }
    builder.has_merges();
    builder.set_add_space_prefix(false);
    builder.set_id(Role::Unknown, 0);
    Some(builder.build())
}

#[test]
fn tokens_that_text_may_name_are_refused_by_the_name_of_the_feature() {
    let is_compiled = cfg!(feature = "special-tokens");
    let (Some(control), Some(user_defined)) = (with_special_token(3), with_special_token(4)) else { return };
    match user_defined {
        Ok(_) => assert!(is_compiled),
        Err(e) => {
            let (key, feature) = ("tokenizer.ggml.token_type", "special-tokens");
            assert!(!is_compiled);
            assert_eq!(e, VocabError::NotCompiled { key, feature });
        }
    }
    let tokenizer = control.expect("no text names it unasked");
    let encode = |text: &str, parse_special| {
        let options = EncodeOptions { add_special: false, parse_special };
        let mut out = [9; 8];
        let n = tokenizer.encode_into(text.as_bytes(), options, &mut EncodeScratch::default(), &mut out)?;
        Ok(out[..n].to_vec())
    };
    assert_eq!(encode("aa", false), Ok(vec![0, 0]));
    assert_eq!(encode("", false), Ok(vec![]));
    let refused = Err(EncodeError::NotCompiled { feature: "special-tokens" });
    assert_eq!(encode("a<x>", true), if is_compiled { Ok(vec![0, 1]) } else { refused });
}

#[test]
fn chance_is_refused_by_the_name_of_the_feature() {
    let left_out = |params| match Sampler::new(params, 3) {
        Ok(_) => None,
        Err(SampleError::NotCompiled { feature }) => Some(feature),
        Err(e) => panic!("{e}"),
    };
    let want = (!cfg!(feature = "sampling")).then_some("sampling");
    assert_eq!(left_out(SamplerParams { temperature: 1.0, ..SamplerParams::GREEDY }), want);
    assert_eq!(left_out(SamplerParams { repeat_penalty: 2.0, ..SamplerParams::GREEDY }), want);
    let mut greedy = Sampler::new(SamplerParams::GREEDY, 3).expect("in every build");
    assert_eq!(greedy.sample(&[-1.0, f32::NEG_INFINITY, 2.0], &[2]), Ok(2));
}
