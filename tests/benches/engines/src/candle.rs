//! Candle's own quantized Llama.

use crate::Rates;
use candle_core::quantized::gguf_file::Content;
use candle_core::{Device, Tensor};
use candle_transformers::models::quantized_llama::ModelWeights;
use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::time::Instant;

/// Any tokens will do: the time does not depend on them. Its vocabulary is not asked for, so they are small.
fn token(i: usize) -> u32 {
    (i * 31 % 256) as u32
}

/// Position 0 makes candle forget what was before, so that prefill and decode both begin with an empty context.
pub(crate) fn measure(path: &Path, prompt: usize, decoded: usize) -> Result<Rates, Box<dyn Error>> {
    let device = Device::Cpu;
    let mut file = File::open(path)?;
    let content = Content::read(&mut file)?;
    let mut model = ModelWeights::from_gguf(content, &mut file, &device)?;
    let mut take = |first: usize, count: usize| -> Result<(), candle_core::Error> {
        let tokens: Vec<u32> = (first..first + count).map(token).collect();
        model.forward(&Tensor::new(tokens, &device)?.unsqueeze(0)?, first).map(|_| ())
    };
    take(0, 8)?;
    let start = Instant::now();
    take(0, prompt)?;
    let prefill = prompt as f64 / start.elapsed().as_secs_f64();
    let start = Instant::now();
    for i in 0..decoded {
        take(i, 1)?;
    }
    Ok(Rates { prefill, decode: decoded as f64 / start.elapsed().as_secs_f64() })
}
