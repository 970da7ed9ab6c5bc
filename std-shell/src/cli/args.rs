//! Arguments that several commands share.

use super::output::{Failure, note, of_file};
use barre::engine::{Engine, Error, OpenOptions, SessionOptions};
use barre::source::{Access, MAX_RETRIES, Retry, SourceOptions};
use barre_core::kernels::{KvType, Mode};
#[cfg(feature = "demo")]
use barre_core::model::Limits;
use clap::ValueEnum;
use std::path::Path;

#[derive(clap::Args)]
#[command(next_help_heading = "Machine")]
pub(super) struct MachineArgs {
    /// Threads [default: one a core]
    #[arg(short, long, value_name = "N")]
    pub(super) threads: Option<usize>,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    pub(super) storage: StorageArgs,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Machine")]
pub(super) struct AccessArgs {
    /// Instruction set: scalar, avx2, avxvnni, avx512, amx, neon, dotprod, i8mm [default: BARRE_ISA, or the machine's best]
    #[arg(long, value_name = "NAME")]
    pub(super) isa: Option<String>,
    /// How the file is reached [default: mmap, or read with --ram]
    #[arg(long, value_name = "HOW")]
    io: Option<Io>,
    /// Whether a mapped file's weights are copied to huge pages as they are used, where the memory holds them twice
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(super) huge_pages: HugePages,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Machine")]
pub(super) struct StorageArgs {
    /// The most memory that the whole process may hold, in bytes or with K, M or G (powers of 1024); weights that
    /// have no room in it are read each time they are needed, and nothing is mapped
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(super) ram: Option<u64>,
    /// Read the file no faster than so many MB (10^6 bytes) a second, as from slower storage
    #[arg(long, value_name = "MB/S", value_parser = speed)]
    throttle: Option<f64>,
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
    /// How keys and values are stored: halves, floats, or blocks of 32 8-bit numbers (half the memory of halves)
    #[arg(long, value_name = "TYPE", default_value = "f16")]
    pub(super) kv: KvArg,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Io {
    /// Mapped into memory
    Mmap,
    /// Read ahead by threads, a megabyte at a time
    Read,
    /// As read, around the system's page cache
    Direct,
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
    #[value(name = "q8_0")]
    Q8,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Int8 => Self::Int8,
            ModeArg::Exact => Self::Exact,
        }
    }
}

impl From<KvArg> for KvType {
    fn from(kv: KvArg) -> Self {
        match kv {
            KvArg::F16 => Self::F16,
            KvArg::F32 => Self::F32,
            KvArg::Q8 => Self::Q8_0,
        }
    }
}

impl MachineArgs {
    /// The instruction set asked for.
    #[cfg(feature = "demo")]
    pub(super) fn isa(&self) -> Option<&str> {
        self.access.isa.as_deref()
    }

    /// Whether anything is asked that only a file can do.
    #[cfg(feature = "demo")]
    pub(super) const fn wants_a_file(&self) -> bool {
        self.access.io.is_some() || self.storage.ram.is_some() || self.storage.throttle.is_some()
    }

    pub(super) fn open(&self, model: &Path) -> Result<Engine, Failure> {
        self.access.open(model, self.threads, &self.storage)
    }
}

impl StorageArgs {
    /// Without any bound.
    pub(super) const fn unlimited() -> Self {
        Self { ram: None, throttle: None }
    }
}

impl AccessArgs {
    pub(super) fn open(
        &self,
        model: &Path,
        threads: Option<usize>,
        storage: &StorageArgs,
    ) -> Result<Engine, Failure> {
        let small_pages = self.huge_pages == HugePages::Off;
        let source = SourceOptions {
            access: self.access(storage.ram)?,
            read_speed: storage.throttle.map(|mb| mb * 1e6),
            on_retry: Some(tell_of_retry),
        };
        let options = OpenOptions { source, isa: self.isa.clone(), threads, small_pages };
        Engine::open(model, &options).map_err(|e| match e {
            Error::Gguf(_) | Error::Model(_) => of_file(model)(e),
            // These name the file themselves, or have nothing to do with it.
            e => e.into(),
        })
    }

    pub(super) fn access(&self, ram: Option<u64>) -> Result<Access, Failure> {
        Ok(match (self.io, ram) {
            (Some(Io::Mmap), Some(_)) => {
                return Err(Failure::because("--ram maps nothing: it goes with --io read or direct"));
            }
            (Some(Io::Mmap), None) | (None, None) => Access::Map,
            (Some(Io::Read), _) | (None, Some(_)) => Access::Read,
            (Some(Io::Direct), _) => Access::Direct,
        })
    }
}

fn tell_of_retry(retry: &Retry<'_>) {
    let Retry { offset, attempt, error } = retry;
    note(format_args!("reading byte {offset}: {error}; trying again, {attempt} of {MAX_RETRIES}\n"));
}

/// A number of bytes, or of their multiples by powers of 1024.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1 << 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    let number: u64 = digits.parse().map_err(|_| "a number of bytes, or one with K, M or G, is wanted")?;
    number.checked_mul(unit).ok_or_else(|| "more bytes than can be counted".to_owned())
}

/// A speed above zero.
pub(super) fn speed(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|s: &f64| *s > 0.0 && s.is_finite())
        .ok_or_else(|| "a speed above 0 is wanted".to_owned())
}

impl SessionArgs {
    /// `limits` as these arguments change them.
    #[cfg(feature = "demo")]
    pub(super) fn apply(&self, limits: Limits) -> Limits {
        let context = self.ctx_size.filter(|&n| n > 0).unwrap_or(limits.context);
        Limits { context, batch: self.batch_size, kv: self.kv.into(), mode: self.mode.into(), ..limits }
    }

    pub(super) fn options(&self, engine: &Engine, storage: &StorageArgs) -> SessionOptions {
        let context = match self.ctx_size {
            Some(0) => Some(engine.model().hparams().context_length),
            given => given,
        };
        let (mode, kv) = (self.mode.into(), self.kv.into());
        SessionOptions { context, batch: self.batch_size, kv, mode, ram: storage.ram }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(size("64M"), Ok(64 << 20));
        assert_eq!((size("1g"), size("3k"), size("17")), (Ok(1 << 30), Ok(3072), Ok(17)));
        for bad in ["", "M", "-1", "1.5G", "1T", "99999999999G", "64MB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn speeds_are_above_zero() {
        assert_eq!(speed("90.5"), Ok(90.5));
        for bad in ["0", "-1", "inf", "nan", "x"] {
            assert!(speed(bad).is_err(), "{bad}");
        }
    }
}
