//! Arguments that several commands share.

use super::output::{Failure, of_file};
use barre::engine::{Engine, Error, OpenOptions, SessionOptions};
use barre::source::Access;
use barre_core::kernels::{KvType, Mode};
use clap::ValueEnum;
use std::path::Path;

#[derive(clap::Args)]
#[command(next_help_heading = "Machine")]
pub(super) struct MachineArgs {
    /// Threads [default: one a core]
    #[arg(short, long, value_name = "N")]
    pub(super) threads: Option<usize>,
    #[command(flatten)]
    pub(super) access: AccessArgs,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Machine")]
pub(super) struct AccessArgs {
    /// Instruction set: scalar, avx2, avx512, neon [default: BARRE_ISA, or the machine's best]
    #[arg(long, value_name = "NAME")]
    pub(super) isa: Option<String>,
    /// How the file is reached: mapped into memory, or read through a small window
    #[arg(long, value_name = "HOW", default_value = "mmap")]
    pub(super) io: Io,
    /// Whether a mapped file's weights are copied to huge pages as they are used, where the memory holds them twice
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(super) huge_pages: HugePages,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Session")]
pub(super) struct SessionArgs {
    /// Positions of the context, 0 for the model's own [default: the model's own, at most 4096]
    #[arg(short, long = "ctx-size", value_name = "N")]
    pub(super) ctx_size: Option<usize>,
    /// Tokens of a prompt that pass through the layers together
    #[arg(short, long = "batch-size", visible_alias = "batch", value_name = "N", default_value_t = 512)]
    pub(super) batch_size: usize,
    /// How activations are multiplied: 8-bit integers, or f32 accuracy
    #[arg(long, default_value = "int8")]
    pub(super) mode: ModeArg,
    /// How keys and values are stored
    #[arg(long, value_name = "TYPE", default_value = "f16")]
    pub(super) kv: KvArg,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Io {
    Mmap,
    Read,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum HugePages {
    Auto,
    Off,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum ModeArg {
    Int8,
    Exact,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum KvArg {
    F16,
    F32,
}

impl MachineArgs {
    pub(super) fn open(&self, model: &Path) -> Result<Engine, Failure> {
        self.access.open(model, self.threads)
    }
}

impl AccessArgs {
    pub(super) fn open(&self, model: &Path, threads: Option<usize>) -> Result<Engine, Failure> {
        let small_pages = self.huge_pages == HugePages::Off;
        let options = OpenOptions { access: self.access(), isa: self.isa.clone(), threads, small_pages };
        Engine::open(model, &options).map_err(|e| match e {
            Error::Gguf(_) | Error::Model(_) => of_file(model)(e),
            // These name the file themselves, or have nothing to do with it.
            e => e.into(),
        })
    }

    pub(super) const fn access(&self) -> Access {
        match self.io {
            Io::Mmap => Access::Map,
            Io::Read => Access::Read,
        }
    }
}

impl SessionArgs {
    pub(super) fn options(&self, engine: &Engine) -> SessionOptions {
        let context = match self.ctx_size {
            Some(0) => Some(engine.model().hparams().context_length),
            given => given,
        };
        let mode = match self.mode {
            ModeArg::Int8 => Mode::Int8,
            ModeArg::Exact => Mode::Exact,
        };
        let kv = match self.kv {
            KvArg::F16 => KvType::F16,
            KvArg::F32 => KvType::F32,
        };
        SessionOptions { context, batch: self.batch_size, kv, mode }
    }
}
