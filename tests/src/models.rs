//! Running a model the way a test wants it.

use crate::shared::{golden_dirs, shared};
use barre_core::gguf::Gguf;
use barre_core::io::ReadAt;
use barre_core::kernels::{Executor, Kernels, KvType, Mode};
use barre_core::model::{Limits, Model, Plan, WeightPlacement};
use barre_core::session::Session;
use barre_core::simd::IsaKind;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A golden model: a file, tokens, and the float64 logits of their dequantized weights.
#[derive(Debug)]
pub struct Golden {
    /// The file's name without its ending.
    pub name: String,
    /// The file's bytes.
    pub file: Vec<u8>,
    /// The tokens.
    pub tokens: Vec<u32>,
    /// Reference logits, `[tokens][n_vocab]`.
    pub logits: Vec<f32>,
    /// llama.cpp's normalised mean squared error against them.
    pub llama_cpp_nmse: f64,
}

impl Golden {
    /// Reads the model that an entry of a manifest describes.
    ///
    /// # Panics
    /// If a file or field is missing.
    #[must_use]
    pub fn read(dir: &Path, entry: &serde_json::Value) -> Self {
        let text = |key: &str| entry[key].as_str().unwrap_or_else(|| panic!("{key} of {entry}"));
        let bytes = |name: &str| {
            let path: PathBuf = dir.join(name);
            std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        };
        let logits = bytes(text("logits"));
        Self {
            name: text("model").trim_end_matches(".gguf").to_owned(),
            file: bytes(text("model")),
            tokens: entry["tokens"]
                .as_array()
                .expect("tokens")
                .iter()
                .map(|t| u32::try_from(t.as_u64().expect("a token")).expect("a token"))
                .collect(),
            logits: logits.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            llama_cpp_nmse: entry["llama_cpp_nmse"].as_f64().expect("llama_cpp_nmse"),
        }
    }

    /// Whether a cache of this type can hold the model's heads: they are whole blocks of it.
    ///
    /// # Panics
    /// If the model cannot be loaded.
    #[must_use]
    pub fn fits(&self, kv: KvType) -> bool {
        let mut reader = &self.file[..];
        let gguf = Gguf::open(&mut reader).expect("a GGUF file");
        let model = Model::load(&gguf, &mut reader).expect("a model");
        let hparams = model.hparams();
        [hparams.key_length, hparams.value_length].iter().all(|len| len.is_multiple_of(kv.block_len()))
    }

    /// Every golden model of a folder's manifest.
    ///
    /// # Panics
    /// If the manifest or a file of it is missing.
    #[must_use]
    pub fn all(dir: &Path) -> Vec<Self> {
        let manifest = std::fs::read_to_string(dir.join("manifest.json")).expect("manifest.json");
        let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("a manifest");
        manifest.as_array().expect("a list").iter().map(|e| Self::read(dir, e)).collect()
    }
}

/// Every golden model: those kept in the tree and, where `BARRE_SHARED` is set, all the others and a trained one.
///
/// # Panics
/// If a file is missing.
#[must_use]
pub fn goldens() -> Vec<Golden> {
    let mut goldens = BTreeMap::new();
    for dir in golden_dirs() {
        goldens.extend(Golden::all(&dir).into_iter().map(|g| (g.name.clone(), g)));
    }
    if let Some(models) = shared("models") {
        let entry = std::fs::read_to_string(models.join("stories260K.json")).expect("stories260K.json");
        let golden = Golden::read(&models, &serde_json::from_str(&entry).expect("an entry"));
        goldens.insert(golden.name.clone(), golden);
    }
    goldens.into_values().collect()
}

/// How a test wants a model run.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// Kernels.
    pub kernels: &'a Kernels,
    /// Threads.
    pub executor: &'a dyn Executor,
    /// Tokens that pass together.
    pub batch: usize,
    /// How activations are multiplied.
    pub mode: Mode,
    /// How keys and values are stored.
    pub kv: KvType,
    /// Where the weights are.
    pub weights: WeightPlacement,
}

impl<'a> Run<'a> {
    /// Whole prompt at once, int8, f16 cache, mapped weights.
    #[must_use]
    pub fn new(kernels: &'a Kernels, executor: &'a dyn Executor) -> Self {
        Self {
            kernels,
            executor,
            batch: usize::MAX,
            mode: Mode::Int8,
            kv: KvType::F16,
            weights: WeightPlacement::Mapped,
        }
    }

    /// The limits for a context.
    #[must_use]
    pub fn limits(&self, context: usize) -> Limits {
        Limits {
            context,
            batch: self.batch,
            kv: self.kv,
            mode: self.mode,
            threads: self.executor.threads(),
            weights: self.weights,
        }
    }

    /// Logits of every position of `tokens`, `[tokens][vocab_size]`. The arena is dirty on purpose.
    ///
    /// # Panics
    /// If the model cannot be run.
    #[must_use]
    pub fn logits(&self, mut reader: impl ReadAt, tokens: &[u32]) -> Vec<f32> {
        let gguf = Gguf::open(&mut reader).expect("a GGUF file");
        let model = Model::load(&gguf, &mut reader).expect("a model");
        let plan = Plan::new(&model, self.kernels, &self.limits(tokens.len())).expect("a plan");
        let mut arena = arena(plan.bytes(), 0xa5);
        let mut session = Session::new(&model, reader, &plan, arena.bytes_mut(), self.kernels, self.executor)
            .expect("a session");
        let mut all = Vec::new();
        session.prefill_each(tokens, &mut |_, logits| all.extend_from_slice(logits)).expect("logits");
        all
    }
}

/// Aligned memory of exactly so many bytes.
#[derive(Debug)]
pub struct Arena {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

/// `len` bytes aligned to [`Plan::ALIGN`], filled with `dirt`.
#[must_use]
pub fn arena(len: usize, dirt: u8) -> Arena {
    let memory = vec![dirt; len + Plan::ALIGN];
    let start = memory.as_ptr().align_offset(Plan::ALIGN);
    Arena { memory, start, len }
}

impl Arena {
    /// The bytes.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..self.len]
    }
}

/// Normalised mean squared error: Σ(x − reference)² / Σ reference².
#[must_use]
pub fn nmse(x: &[f32], reference: &[f32]) -> f64 {
    assert_eq!(x.len(), reference.len(), "as many values as the reference has");
    let square = |v: f64| v * v;
    let error: f64 = x.iter().zip(reference).map(|(&a, &b)| square(f64::from(a) - f64::from(b))).sum();
    error / reference.iter().map(|&b| square(f64::from(b))).sum::<f64>()
}

/// FNV-1a (64 bits) over the little-endian bytes of the logits: one number stands for a file of them.
#[must_use]
pub fn fingerprint(logits: &[f32]) -> u64 {
    logits
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// Instruction sets (names, a comma between two) to which [`all_kernels`] is held, for emulators: a CPU with one more
/// than another need not repeat what passed there.
const ISAS: &str = "BARRE_TEST_ISAS";

/// Kernels of every instruction set that this machine has, scalar first.
///
/// # Panics
/// If the environment holds it to one that the machine lacks.
#[must_use]
pub fn all_kernels() -> Vec<Kernels> {
    let available = barre::detect::available();
    let named = |names: String| -> Vec<IsaKind> {
        println!("{ISAS}={names}: the others of {available:?} are left out");
        names
            .split(',')
            .map(|name| name.parse().unwrap_or_else(|_| panic!("{ISAS}: {name} is none")))
            .collect()
    };
    std::env::var(ISAS)
        .map_or_else(|_| available.clone(), named)
        .into_iter()
        .map(|isa| barre::detect::kernels(Some(isa)).expect("available"))
        .collect()
}
