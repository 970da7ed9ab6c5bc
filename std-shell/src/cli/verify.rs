//! `barre verify`: the fused kernels against dequantize-then-multiply, on the file's own weights.
//!
//! Two baselines. (a), as the project's origin did it: every call expands the matrix into fresh f32 memory, then
//! multiplies with a plain scalar loop. (b): expand into a warm buffer, then multiply with barre's own f32 SIMD
//! kernel. Both pay for the expansion in every call, which is what fusing avoids.

mod measure;
mod times;

use super::args::AccessArgs;
use super::output::{Failure, of_file, printable, write};
use barre::detect;
use barre::pool::Pool;
use barre::source::Source;
use barre_core::gguf::{Gguf, TensorInfo};
use barre_core::io::ReadAt as _;
use barre_core::quant::{WeightFormat, first_non_finite_block};
use measure::Bench;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct Args {
    /// GGUF file, of any architecture
    file: PathBuf,
    /// Matrix to measure; one of every other format of the file is measured too [default: blk.0.ffn_gate.weight, or
    /// the first matrix of a file without it]
    #[arg(long, value_name = "NAME")]
    tensor: Option<String>,
    /// Tokens of the batch, which is measured beside a single token
    #[arg(short, long = "batch-size", visible_alias = "batch", value_name = "N", default_value_t = 32)]
    batch_size: usize,
    /// Threads of barre's kernels; the dequantization and the scalar product have one
    #[arg(short, long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// Measured runs of each part, after one that is not counted; the slow baselines take fewer with a batch
    #[arg(short, long, value_name = "N", default_value_t = 15)]
    repetitions: usize,
    #[command(flatten)]
    access: AccessArgs,
}

/// What is measured if nobody says.
const DEFAULT_TENSOR: &str = "blk.0.ffn_gate.weight";

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if args.repetitions == 0 || !(2..=1 << 16).contains(&args.batch_size) {
        return Err(Failure::because("verify needs at least 1 repetition and a batch of 2 to 65536"));
    }
    let kernels = detect::kernels_named(args.access.isa.as_deref())?;
    let pool = Pool::new(args.threads)?;
    let source = Source::open(&args.file, args.access.access(None)?)?;
    let gguf = Gguf::open(&mut &source).map_err(of_file(&args.file))?;
    let matrices = chosen(&gguf, args.tensor.as_deref())?;
    scan(&source, &gguf)?;
    let bench = Bench { kernels: &kernels, pool: &pool, repetitions: args.repetitions };
    for matrix in matrices {
        let weights = bytes_of(&source, &matrix.info)?;
        for part in matrix.report(&bench, &weights, args.batch_size)? {
            write(&part)?;
        }
    }
    Ok(())
}

/// A tensor of at least two dimensions in a format that has a kernel.
struct Matrix<'a> {
    info: TensorInfo<'a>,
    format: WeightFormat,
    k: usize,
    n: usize,
}

impl<'a> Matrix<'a> {
    fn of(info: TensorInfo<'a>) -> Option<Self> {
        let format = info.format().ok()?;
        let (k, n) = (usize::try_from(info.k()).ok()?, usize::try_from(info.n()).ok()?);
        (info.dims().len() >= 2 && k > 0 && n > 0).then_some(Self { info, format, k, n })
    }

    fn report(
        &self,
        bench: &Bench<'_>,
        weights: &[u8],
        batch: usize,
    ) -> Result<impl Iterator<Item = String>, Failure> {
        let name = printable(self.info.name().as_bytes());
        let head = format!("\n{name}  {}, {} inputs, {} outputs\n", self.format, self.k, self.n);
        let parts = bench.compare(self.format, weights, self.k, self.n, &[1, batch])?;
        Ok(std::iter::once(head).chain(parts))
    }
}

/// The matrix asked for, then one of every other format that the file holds.
fn chosen<'a>(gguf: &'a Gguf, name: Option<&str>) -> Result<Vec<Matrix<'a>>, Failure> {
    let matrices = || gguf.tensors().filter_map(Matrix::of);
    let first = match name {
        None => gguf.tensor(DEFAULT_TENSOR).and_then(Matrix::of).or_else(|| matrices().next()),
        Some(name) => {
            let tensor = gguf.tensor(name).or_else(|| gguf.tensor(&format!("{name}.weight")));
            let tensor =
                tensor.ok_or_else(|| Failure::because(format!("the file has no tensor `{name}`")))?;
            let dims = tensor.dims().to_vec();
            let matrix = Matrix::of(tensor).ok_or_else(|| {
                Failure::because(format!(
                    "`{name}` ({dims:?}) is no matrix in a format that barre multiplies"
                ))
            })?;
            Some(matrix)
        }
    };
    let first =
        first.ok_or_else(|| Failure::because("the file has no matrix in a format that barre multiplies"))?;
    // Others as near to it in size as there are, so that all come from the same level of the memory.
    let size = first.k * first.n;
    let mut others: BTreeMap<WeightFormat, Matrix<'a>> = BTreeMap::new();
    for matrix in matrices().filter(|m| m.format != first.format) {
        let distance = |m: &Matrix<'_>| (m.k * m.n).abs_diff(size);
        match others.get(&matrix.format) {
            Some(best) if distance(best) <= distance(&matrix) => {}
            _ => drop(others.insert(matrix.format, matrix)),
        }
    }
    Ok(std::iter::once(first).chain(others.into_values()).collect())
}

/// A tensor's bytes, in place if the file is mapped.
fn bytes_of<'s>(source: &'s Source, tensor: &TensorInfo<'_>) -> Result<Cow<'s, [u8]>, Failure> {
    let len = usize::try_from(tensor.bytes().unwrap_or(0))?;
    if let Some(bytes) = source.bytes(tensor.abs(), len) {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len)?;
    bytes.resize(len, 0);
    let mut reader = source;
    reader.read_at(tensor.abs(), &mut bytes)?;
    Ok(Cow::Owned(bytes))
}

/// Looks for NaN and infinity in the scales of every block of every tensor.
fn scan(source: &Source, gguf: &Gguf) -> Result<(), Failure> {
    let (mut blocks, mut unknown) = (0, 0);
    let mut bad = Vec::new();
    for tensor in gguf.tensors() {
        let Ok(format) = tensor.format() else {
            unknown += 1;
            continue;
        };
        let bytes = bytes_of(source, &tensor)?;
        blocks += bytes.len() / format.block_bytes();
        if let Some(block) = first_non_finite_block(format, &bytes) {
            let at = tensor.abs().get() + (block * format.block_bytes()) as u64;
            bad.push(format!("`{}`, block {block} at byte {at}", printable(tensor.name().as_bytes())));
        }
    }
    if !bad.is_empty() {
        return Err(Failure::because(format!("scales that are not finite: {}", bad.join("; "))));
    }
    let left_out = match unknown {
        0 => String::new(),
        n => format!(", {n} in formats that barre does not know left out"),
    };
    write(&format!(
        "{blocks} blocks of {} tensors scanned: every scale is finite{left_out}\n",
        gguf.tensors().len()
    ))
}
