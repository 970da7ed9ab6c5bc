//! Small llama models, made to measure: any hyperparameters, any formats, any damage.
//!
//! Files are written with [`Raw`], so nothing here trusts the core's writer.

use crate::raw::{Raw, ty};
use barre_core::quant::float::f32_to_f16;
use barre_core::quant::{WeightFormat, dequantize_row};

/// A metadata value.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each is the value type of its name")]
pub enum Kv {
    U16(u16),
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
    Str(String),
    Strs(Vec<String>),
    U32s(Vec<u32>),
    I32s(Vec<i32>),
    U64s(Vec<u64>),
    F32s(Vec<f32>),
}

impl Kv {
    /// A text.
    #[must_use]
    pub fn text(s: &str) -> Self {
        Self::Str(s.to_owned())
    }

    fn write(&self, key: &str, raw: Raw) -> Raw {
        // Numbers that `raw::ty` does not name.
        const U16: u32 = 2;
        const F32: u32 = 6;
        const I64: u32 = 11;
        const F64: u32 = 12;
        match self {
            Self::U16(v) => raw.key(key, U16).raw(&v.to_le_bytes()),
            Self::U32(v) => raw.key(key, ty::U32).u32(*v),
            Self::I32(v) => raw.key(key, ty::I32).raw(&v.to_le_bytes()),
            Self::U64(v) => raw.key(key, ty::U64).u64(*v),
            Self::I64(v) => raw.key(key, I64).raw(&v.to_le_bytes()),
            Self::F32(v) => raw.key(key, F32).raw(&v.to_le_bytes()),
            Self::F64(v) => raw.key(key, F64).raw(&v.to_le_bytes()),
            Self::Str(v) => raw.kv_str(key, v),
            Self::Strs(v) => v.iter().fold(raw.array(key, ty::STRING, v.len() as u64), |raw, s| raw.str(s)),
            Self::U32s(v) => v.iter().fold(raw.array(key, ty::U32, v.len() as u64), |raw, &n| raw.u32(n)),
            Self::I32s(v) => {
                v.iter().fold(raw.array(key, ty::I32, v.len() as u64), |raw, n| raw.raw(&n.to_le_bytes()))
            }
            Self::U64s(v) => v.iter().fold(raw.array(key, ty::U64, v.len() as u64), |raw, &n| raw.u64(n)),
            Self::F32s(v) => {
                v.iter().fold(raw.array(key, F32, v.len() as u64), |raw, n| raw.raw(&n.to_le_bytes()))
            }
        }
    }
}

/// A tensor of the file.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// GGUF's order: inputs first.
    pub dims: Vec<u64>,
    /// GGML's number of the type.
    pub ggml_type: u32,
    /// Its bytes.
    pub data: Vec<u8>,
    /// Bytes that follow in principle: the header counts them, but no file with them is made.
    pub absent: u64,
}

impl Tensor {
    /// A tensor of those bytes.
    #[must_use]
    pub fn of(name: &str, dims: &[u64], ggml_type: u32, data: Vec<u8>) -> Self {
        Self { name: name.to_owned(), dims: dims.to_vec(), ggml_type, data, absent: 0 }
    }

    /// An F32 tensor that only the header knows of.
    #[must_use]
    pub fn absent(name: &str, dims: &[u64]) -> Self {
        let bytes = 4 * dims.iter().product::<u64>();
        Self { absent: bytes, ..Self::of(name, dims, WeightFormat::F32.to_ggml(), Vec::new()) }
    }

    fn bytes(&self) -> u64 {
        self.data.len() as u64 + self.absent
    }

    /// A tensor of those floats.
    #[must_use]
    pub fn f32(name: &str, dims: &[u64], values: &[f32]) -> Self {
        let data = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        Self::of(name, dims, WeightFormat::F32.to_ggml(), data)
    }

    /// Gives it another shape, with as many zero bytes as that takes.
    ///
    /// # Panics
    /// If the format has no such rows.
    pub fn reshape(&mut self, dims: &[u64]) {
        let format = WeightFormat::from_ggml(self.ggml_type).expect("a known format");
        let row = format.row_bytes(dims[0] as usize).expect("whole blocks");
        self.dims = dims.to_vec();
        self.data = vec![0; row * dims[1..].iter().product::<u64>() as usize];
    }

    /// The weights, dequantized.
    ///
    /// # Panics
    /// If the format is unknown or the data has another length than the shape says.
    #[must_use]
    pub fn values(&self) -> Vec<f32> {
        let format = WeightFormat::from_ggml(self.ggml_type).expect("a known format");
        let mut out = vec![0.0; self.dims.iter().product::<u64>() as usize];
        dequantize_row(format, &self.data, &mut out).expect("data of the shape's length");
        out
    }
}

/// The lengths of one layer.
#[derive(Clone, Copy, Debug)]
pub struct LayerSpec {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub heads_kv: usize,
    /// Hidden width.
    pub feed_forward: usize,
}

/// The hyperparameters of a model.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the fields are named as GGUF names them")]
pub struct Spec {
    pub vocab: usize,
    pub embedding: usize,
    pub context: usize,
    /// `None`: not in the file, which makes it embedding / heads.
    pub key_length: Option<usize>,
    /// As `key_length`.
    pub value_length: Option<usize>,
    /// `None`: not in the file, which makes it the key's length.
    pub rope_dims: Option<usize>,
    pub rope_base: f32,
    /// `rope.scaling.factor` of linear scaling, if any.
    pub rope_factor: Option<f32>,
    pub epsilon: f32,
    pub layers: Vec<LayerSpec>,
    /// Whether the head is the embedding.
    pub tied: bool,
    /// Whether every projection and the head have a bias.
    pub biases: bool,
    /// Whether there is a tensor of frequency factors.
    pub rope_freqs: bool,
    /// Formats of the matrices, in turn.
    pub formats: Vec<WeightFormat>,
    /// Where the random weights begin.
    pub seed: u64,
}

impl Spec {
    /// Two layers, 32 tokens, width 16.
    #[must_use]
    pub fn small() -> Self {
        Self {
            vocab: 32,
            embedding: 16,
            context: 64,
            key_length: None,
            value_length: None,
            rope_dims: None,
            rope_base: 10_000.0,
            rope_factor: None,
            epsilon: 1e-5,
            layers: vec![LayerSpec { heads: 4, heads_kv: 2, feed_forward: 24 }; 2],
            tied: false,
            biases: false,
            rope_freqs: false,
            formats: vec![WeightFormat::F32],
            seed: 1,
        }
    }

    /// As [`small`](Self::small), wide enough for whole super-blocks everywhere, its matrices in `formats` in turn.
    #[must_use]
    pub fn in_formats(formats: &[WeightFormat]) -> Self {
        Self {
            vocab: 64,
            embedding: 256,
            layers: vec![LayerSpec { heads: 8, heads_kv: 2, feed_forward: 512 }; 2],
            formats: formats.to_vec(),
            ..Self::small()
        }
    }

    /// The length of a query or key head.
    #[must_use]
    pub fn key_len(&self) -> usize {
        self.key_length.unwrap_or(self.embedding / self.layers[0].heads)
    }

    /// The length of a value head.
    #[must_use]
    pub fn value_len(&self) -> usize {
        self.value_length.unwrap_or(self.embedding / self.layers[0].heads)
    }

    /// Rotated elements of a head.
    #[must_use]
    pub fn n_rot(&self) -> usize {
        self.rope_dims.unwrap_or(self.key_len())
    }

    /// The model, with random weights.
    #[must_use]
    pub fn build(&self) -> Synthetic {
        let mut make =
            Maker { rng: Rng(self.seed), formats: &self.formats, matrices: 0, tensors: Vec::new() };
        let (d, kl, vl) = (self.embedding, self.key_len(), self.value_len());
        make.matrix("token_embd.weight", d, self.vocab);
        make.around("output_norm.weight", d, 1.0, 0.3);
        if !self.tied {
            make.matrix("output.weight", d, self.vocab);
        }
        if self.biases {
            make.around("output.bias", self.vocab, 0.0, 0.2);
        }
        if self.rope_freqs {
            make.around("rope_freqs.weight", self.n_rot() / 2, 2.5, 1.5);
        }
        for (i, l) in self.layers.iter().enumerate() {
            make.around(&format!("blk.{i}.attn_norm.weight"), d, 1.0, 0.3);
            make.around(&format!("blk.{i}.ffn_norm.weight"), d, 1.0, 0.3);
            for (stem, k, n) in [
                ("attn_q", d, l.heads * kl),
                ("attn_k", d, l.heads_kv * kl),
                ("attn_v", d, l.heads_kv * vl),
                ("attn_output", l.heads * vl, d),
                ("ffn_gate", d, l.feed_forward),
                ("ffn_up", d, l.feed_forward),
                ("ffn_down", l.feed_forward, d),
            ] {
                make.matrix(&format!("blk.{i}.{stem}.weight"), k, n);
                if self.biases {
                    make.around(&format!("blk.{i}.{stem}.bias"), n, 0.0, 0.2);
                }
            }
        }
        Synthetic { kv: self.metadata(), tensors: make.tensors }
    }

    fn metadata(&self) -> Vec<(String, Kv)> {
        let number = |n: usize| Kv::U32(u32::try_from(n).expect("a small number"));
        let per_layer = |f: fn(&LayerSpec) -> usize| {
            let all: Vec<usize> = self.layers.iter().map(f).collect();
            match all.iter().all(|n| *n == all[0]) {
                true => number(all[0]),
                false => Kv::U32s(all.into_iter().map(|n| n as u32).collect()),
            }
        };
        let mut kv = vec![
            ("general.architecture", Kv::text("llama")),
            ("llama.block_count", number(self.layers.len())),
            ("llama.embedding_length", number(self.embedding)),
            ("llama.context_length", number(self.context)),
            ("llama.feed_forward_length", per_layer(|l| l.feed_forward)),
            ("llama.attention.head_count", per_layer(|l| l.heads)),
            ("llama.attention.head_count_kv", per_layer(|l| l.heads_kv)),
            ("llama.attention.layer_norm_rms_epsilon", Kv::F32(self.epsilon)),
            ("llama.rope.freq_base", Kv::F32(self.rope_base)),
            ("tokenizer.ggml.tokens", Kv::Strs((0..self.vocab).map(|i| format!("t{i}")).collect())),
        ];
        let lengths = [
            ("llama.attention.key_length", self.key_length),
            ("llama.attention.value_length", self.value_length),
            ("llama.rope.dimension_count", self.rope_dims),
        ];
        kv.extend(lengths.into_iter().filter_map(|(key, n)| Some((key, number(n?)))));
        if let Some(factor) = self.rope_factor {
            kv.push(("llama.rope.scaling.type", Kv::text("linear")));
            kv.push(("llama.rope.scaling.factor", Kv::F32(factor)));
        }
        kv.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

/// A file in the making. Its parts may be changed at will.
#[derive(Clone, Debug)]
pub struct Synthetic {
    /// Metadata, in the file's order.
    pub kv: Vec<(String, Kv)>,
    /// Tensors, in the file's order.
    pub tensors: Vec<Tensor>,
}

impl Synthetic {
    /// Sets `key` (new or not) to `value`.
    #[must_use]
    pub fn with(mut self, key: &str, value: Kv) -> Self {
        match self.kv.iter_mut().find(|(k, _)| k == key) {
            Some((_, old)) => *old = value,
            None => self.kv.push((key.to_owned(), value)),
        }
        self
    }

    /// Takes `key` out.
    #[must_use]
    pub fn without(mut self, key: &str) -> Self {
        self.kv.retain(|(k, _)| k != key);
        self
    }

    /// Changes the tensor `name`.
    ///
    /// # Panics
    /// If there is none of that name.
    #[must_use]
    pub fn edit(mut self, name: &str, change: impl FnOnce(&mut Tensor)) -> Self {
        change(self.tensors.iter_mut().find(|t| t.name == name).expect(name));
        self
    }

    /// Gives the tensor `name` another shape and zero weights.
    #[must_use]
    pub fn reshaped(self, name: &str, dims: &[u64]) -> Self {
        self.edit(name, |t| t.reshape(dims))
    }

    /// Sets element `index` of the F32 tensor `name`.
    #[must_use]
    pub fn poked(self, name: &str, index: usize, value: f32) -> Self {
        self.edit(name, |t| t.data[4 * index..][..4].copy_from_slice(&value.to_le_bytes()))
    }

    /// Takes the tensor `name` out.
    #[must_use]
    pub fn dropped(mut self, name: &str) -> Self {
        self.tensors.retain(|t| t.name != name);
        self
    }

    /// Adds a tensor.
    #[must_use]
    pub fn plus(mut self, tensor: Tensor) -> Self {
        self.tensors.push(tensor);
        self
    }

    /// The tensor `name`.
    ///
    /// # Panics
    /// If there is none of that name.
    #[must_use]
    pub fn tensor(&self, name: &str) -> &Tensor {
        self.tensors.iter().find(|t| t.name == name).expect(name)
    }

    /// The weights of `name`, `None` if there is no such tensor.
    #[must_use]
    pub fn values(&self, name: &str) -> Option<Vec<f32>> {
        self.tensors.iter().find(|t| t.name == name).map(Tensor::values)
    }

    /// The file up to the first byte of tensor data.
    #[must_use]
    pub fn header(&self) -> Vec<u8> {
        let raw = Raw::new(self.tensors.len() as u64, self.kv.len() as u64);
        let raw = self.kv.iter().fold(raw, |raw, (key, value)| value.write(key, raw));
        let (raw, _) = self.tensors.iter().fold((raw, 0), |(raw, rel), t| {
            (raw.info(&t.name, &t.dims, t.ggml_type, rel), (rel + t.bytes()).next_multiple_of(32))
        });
        raw.pad(32).0
    }

    /// The length of the whole file.
    #[must_use]
    pub fn file_len(&self) -> u64 {
        self.tensors.iter().fold(self.header().len() as u64, |at, t| (at + t.bytes()).next_multiple_of(32))
    }

    /// The whole file.
    ///
    /// # Panics
    /// If a tensor is absent.
    #[must_use]
    pub fn file(&self) -> Vec<u8> {
        assert!(self.tensors.iter().all(|t| t.absent == 0), "every tensor has its bytes");
        let header = Raw(self.header());
        self.tensors.iter().fold(header, |raw, t| raw.raw(&t.data).pad(32)).0
    }
}

/// SplitMix64 (Steele, Lea & Flood 2014).
#[derive(Clone, Debug)]
pub struct Rng(pub u64);

impl Rng {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// −1 to 1.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// One of several.
    ///
    /// # Panics
    /// If there are none.
    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

struct Maker<'a> {
    rng: Rng,
    formats: &'a [WeightFormat],
    matrices: usize,
    tensors: Vec<Tensor>,
}

impl Maker<'_> {
    fn around(&mut self, name: &str, len: usize, middle: f32, spread: f32) {
        let values: Vec<f32> = (0..len).map(|_| middle + spread * self.rng.unit()).collect();
        self.tensors.push(Tensor::f32(name, &[len as u64], &values));
    }

    /// Weights whose products with a normed input are around 1.
    fn matrix(&mut self, name: &str, k: usize, n: usize) {
        let format = self.formats[self.matrices % self.formats.len()];
        self.matrices += 1;
        let row = format.row_bytes(k).expect("whole blocks");
        let mut data: Vec<u8> = (0..row * n).map(|_| self.rng.bits() as u8).collect();
        for block in data.chunks_exact_mut(format.block_bytes()) {
            self.scale_block(format, block, (k as f32).sqrt().recip());
        }
        self.tensors.push(Tensor::of(name, &[k as u64, n as u64], format.to_ggml(), data));
    }

    /// Keeps a random block's quants and gives it scales that make its weights about `rms` large.
    fn scale_block(&mut self, format: WeightFormat, block: &mut [u8], rms: f32) {
        // Where the scale lies, where the offset (if any), and how many scales the offset must be to centre the weights.
        let (scale, offset) = match format {
            WeightFormat::F32 | WeightFormat::F16 | WeightFormat::BF16 => {
                let x = self.rng.unit() * rms * 3f32.sqrt();
                match format {
                    WeightFormat::F32 => block.copy_from_slice(&x.to_le_bytes()),
                    WeightFormat::F16 => block.copy_from_slice(&f32_to_f16(x).to_le_bytes()),
                    _ => block.copy_from_slice(&x.to_le_bytes()[2..]),
                }
                return;
            }
            WeightFormat::Q4_0 | WeightFormat::Q5_0 | WeightFormat::Q8_0 | WeightFormat::Q8_K => (0, None),
            WeightFormat::Q4_1 => (0, Some((2, -7.5))),
            WeightFormat::Q5_1 => (0, Some((2, -15.5))),
            WeightFormat::Q2_K => (80, Some((82, 1.5))),
            WeightFormat::Q3_K => (108, None),
            WeightFormat::Q4_K => (0, Some((2, 7.5))),
            WeightFormat::Q5_K => (0, Some((2, 15.5))),
            WeightFormat::Q6_K => (208, None),
        };
        let set = |block: &mut [u8], d: f32| {
            if format == WeightFormat::Q8_K {
                block[..4].copy_from_slice(&d.to_le_bytes());
                return;
            }
            block[scale..][..2].copy_from_slice(&f32_to_f16(d).to_le_bytes());
            if let Some((at, times)) = offset {
                block[at..][..2].copy_from_slice(&f32_to_f16(d * times).to_le_bytes());
            }
        };
        let mut out = vec![0.0; format.block_len()];
        set(block, 1.0);
        dequantize_row(format, block, &mut out).expect("one block");
        let mean_square = out.iter().map(|x| x * x).sum::<f32>() / out.len() as f32;
        set(block, rms / mean_square.sqrt());
    }
}
