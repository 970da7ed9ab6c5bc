//! A model in other formats, made in memory: for measuring what a format costs in accuracy.

use barre_core::gguf::{Gguf, TensorInfo};
use barre_core::quant::{WeightFormat, dequantize_row, quantize_row};
use std::fmt;

/// Which format each matrix gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// The same for all; the embedding, which is the head too where there is no other, in Q6_K at least.
    All(WeightFormat),
    /// llama.cpp's `Q4_K_M`: Q4_K, with Q6_K for the embedding and for half of the values and down projections.
    Q4KM,
}

impl Recipe {
    /// The name that files and tables have for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::All(format) => format.name(),
            Self::Q4KM => "Q4_K_M",
        }
    }

    /// The format for a tensor of that name and row length, in a model of so many layers.
    #[must_use]
    pub fn format(self, name: &str, k: usize, layers: usize) -> WeightFormat {
        let head = matches!(name, "token_embd.weight" | "output.weight");
        let layer = name.strip_prefix("blk.").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
        let sensitive = name.contains("attn_v") || name.contains("ffn_down");
        // llama.cpp's use_more_bits.
        let more_bits = |i: usize| i < layers / 8 || i >= 7 * layers / 8 || (i - layers / 8) % 3 == 2;
        let wanted =
            match self {
                Self::All(
                    WeightFormat::Q4_K | WeightFormat::Q5_K | WeightFormat::Q4_0 | WeightFormat::Q5_0,
                ) if head => WeightFormat::Q6_K,
                Self::All(format) => format,
                Self::Q4KM if head || sensitive && layer.is_some_and(more_bits) => WeightFormat::Q6_K,
                Self::Q4KM => WeightFormat::Q4_K,
            };
        // What rows of no whole blocks get instead.
        [wanted, WeightFormat::Q8_0, WeightFormat::F16]
            .into_iter()
            .find(|format| k.is_multiple_of(format.block_len()))
            .unwrap_or(WeightFormat::F32)
    }
}

/// Why a model cannot be requantized.
#[derive(Debug)]
#[non_exhaustive]
pub enum RequantizeError {
    /// A tensor in a format that barre does not compute with, or larger than this machine can address.
    Unsupported {
        /// Its name.
        tensor: String,
    },
    /// The quantizer refused a row, as one with NaN.
    Quantize {
        /// The tensor's name.
        tensor: String,
        /// Its reason.
        error: barre_core::quant::QuantError,
    },
}

impl fmt::Display for RequantizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported { tensor } => write!(f, "tensor `{tensor}` cannot be requantized"),
            Self::Quantize { tensor, error } => write!(f, "tensor `{tensor}`: {error}"),
        }
    }
}

impl std::error::Error for RequantizeError {}

/// The file `bytes`, which is parsed as `gguf`, with its matrices of `layers` layers in the formats of `recipe`.
/// Metadata and vectors stay as they are.
///
/// # Errors
/// [`RequantizeError`].
pub fn requantize(
    bytes: &[u8],
    gguf: &Gguf,
    layers: usize,
    recipe: Recipe,
) -> Result<Vec<u8>, RequantizeError> {
    let mut data: Vec<u8> = Vec::new();
    let mut infos = Vec::new();
    let alignment = gguf.alignment() as usize;
    for tensor in gguf.tensors() {
        let (format, contents) = convert(bytes, &tensor, layers, recipe)?;
        data.resize(data.len().next_multiple_of(alignment), 0);
        infos.extend((tensor.name().len() as u64).to_le_bytes());
        infos.extend(tensor.name().as_bytes());
        infos.extend((tensor.dims().len() as u32).to_le_bytes());
        for dim in tensor.dims() {
            infos.extend(dim.to_le_bytes());
        }
        infos.extend(format.to_le_bytes());
        infos.extend((data.len() as u64).to_le_bytes());
        data.extend(contents);
    }
    // Everything before the first tensor's info is the same: the numbers of pairs and tensors, and the pairs.
    let header = gguf.tensors().map(|t| t.info_offset().get()).min().unwrap_or(0) as usize;
    let mut out = bytes.get(..header).unwrap_or(&[]).to_vec();
    out.extend(infos);
    out.resize(out.len().next_multiple_of(alignment), 0);
    out.extend(data);
    out.resize(out.len().next_multiple_of(alignment), 0);
    Ok(out)
}

/// GGML's number of the new format, and the bytes.
fn convert(
    bytes: &[u8],
    tensor: &TensorInfo<'_>,
    layers: usize,
    recipe: Recipe,
) -> Result<(u32, Vec<u8>), RequantizeError> {
    let name = || tensor.name().to_owned();
    let unsupported = || RequantizeError::Unsupported { tensor: name() };
    let place = |n: u64| usize::try_from(n).ok();
    let start = place(tensor.abs().get()).ok_or_else(unsupported)?;
    let len = tensor.bytes().and_then(place).ok_or_else(unsupported)?;
    let old = start.checked_add(len).and_then(|end| bytes.get(start..end)).ok_or_else(unsupported)?;
    if tensor.dims().len() != 2 {
        return Ok((tensor.ggml_type(), old.to_vec()));
    }
    let from = tensor.format().map_err(|_| unsupported())?;
    let k = place(tensor.k()).filter(|&k| k > 0).ok_or_else(unsupported)?;
    let to = recipe.format(tensor.name(), k, layers);
    let (Some(old_row), Some(new_row)) = (from.row_bytes(k), to.row_bytes(k)) else {
        return Err(unsupported());
    };
    let mut row = vec![0.0; k];
    let mut new = vec![0; old.len() / old_row * new_row];
    for (old, new) in old.chunks_exact(old_row).zip(new.chunks_exact_mut(new_row)) {
        let result = dequantize_row(from, old, &mut row).and_then(|()| quantize_row(to, &row, new));
        result.map_err(|error| RequantizeError::Quantize { tensor: name(), error })?;
    }
    Ok((to.to_ggml(), new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use barre_core::gguf::Gguf;

    #[test]
    fn the_mix_is_that_of_llama_cpp() {
        let format = |name: &str| Recipe::Q4KM.format(name, 256, 22);
        assert_eq!(format("token_embd.weight"), WeightFormat::Q6_K);
        assert_eq!(format("blk.0.attn_q.weight"), WeightFormat::Q4_K);
        let more: Vec<usize> =
            (0..22).filter(|i| format(&format!("blk.{i}.ffn_down.weight")) == WeightFormat::Q6_K).collect();
        assert_eq!(more, [0, 1, 4, 7, 10, 13, 16, 19, 20, 21]);
        assert_eq!(Recipe::Q4KM.format("blk.3.attn_q.weight", 64, 22), WeightFormat::Q8_0);
        assert_eq!(Recipe::All(WeightFormat::Q4_0).format("blk.3.attn_q.weight", 48, 22), WeightFormat::F16);
    }

    #[test]
    fn a_model_is_the_same_but_for_its_formats() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/goldens/llama-q4_k_m.gguf");
        let old = std::fs::read(path).unwrap();
        let before = Gguf::open(&mut old.as_slice()).unwrap();
        for recipe in [Recipe::Q4KM, Recipe::All(WeightFormat::F32), Recipe::All(WeightFormat::Q8_0)] {
            let new = requantize(&old, &before, 4, recipe).unwrap();
            let after = Gguf::open(&mut new.as_slice()).unwrap();
            assert_eq!(after.metadata().len(), before.metadata().len());
            for (a, b) in before.tensors().zip(after.tensors()) {
                assert_eq!((a.name(), a.dims()), (b.name(), b.dims()));
                let row = a.k() as usize;
                let want =
                    if a.dims().len() == 2 { recipe.format(a.name(), row, 4) } else { a.format().unwrap() };
                assert_eq!(b.format(), Ok(want));
            }
        }
    }
}
