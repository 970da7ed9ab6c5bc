//! A build without a format or a kind of vocabulary refuses the models that need it, and runs the others.
//!
//! Says something only if features are left out: `./ci.sh features` runs it without any and with some.

use barre_core::gguf::Gguf;
use barre_core::model::{Model, ModelError};
use barre_core::quant::{QuantError, WeightFormat, dequantize_row, quantize_row};
use barre_core::tokenizer::{VocabBuilder, VocabError};

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
