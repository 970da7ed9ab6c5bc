//! `barre quantize`: a file's weights in another format.
//!
//! The formats of a mix (`Q4_K_M` and its like) go to the tensors as llama.cpp b6000 and later give them
//! (`llama_tensor_get_type`, without an importance matrix, for models without experts and with fewer than 80
//! layers). One tensor is held at a time.

mod mix;

use super::output::{Failure, note, of_file, printable};
use barre::source::{Access, Source};
use barre_core::gguf::writer::{Builder, Value};
use barre_core::gguf::{Gguf, MetaEntry, TensorInfo, ValueType};
use barre_core::io::ReadAt as _;
use barre_core::quant::{WeightFormat, dequantize_row, quantize_row};
use embedded_io::{ErrorType, Write};
use mix::Mix;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Model (GGUF), best in F32, BF16 or F16
    input: PathBuf,
    /// File to be written
    output: PathBuf,
    /// Format, or a mix of formats with llama.cpp's name
    #[arg(long = "type", value_name = "TYPE", value_parser = mix_named)]
    mix: Mix,
    /// Every matrix in the format itself, none in a better one
    #[arg(long)]
    pure: bool,
}

/// What a tensor becomes, and why not what the mix asks for.
struct Planned<'a> {
    info: TensorInfo<'a>,
    format: WeightFormat,
    wanted: WeightFormat,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let source = Source::open(&args.input, Access::Read)?;
    let gguf = Gguf::open(&mut &source).map_err(of_file(&args.input))?;
    // Reading goes on while writing does.
    if same_file(&args.input, &args.output) {
        return Err(Failure::because("the output must be another file than the input"));
    }
    let plan = plan(&gguf, args).map_err(of_file(&args.input))?;
    let header = header(&gguf, &source, &plan, args.mix).map_err(of_file(&args.input))?;

    // Under another name until it is whole: an interrupted run leaves no torn model behind.
    let unfinished = args.output.with_added_extension("unfinished");
    let done = write_file(&header, &plan, &source, &unfinished)
        .and_then(|()| std::fs::rename(&unfinished, &args.output).map_err(|e| e.to_string()));
    if let Err(e) = done {
        let _ = std::fs::remove_file(&unfinished);
        return Err(of_file(&args.output)(e));
    }
    report(&plan, &args.output)
}

fn mix_named(name: &str) -> Result<Mix, String> {
    Mix::named(name)
        .ok_or_else(|| format!("unknown type; known are {}", Mix::names().collect::<Vec<_>>().join(", ")))
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

fn plan<'a>(gguf: &'a Gguf, args: &Args) -> Result<Vec<Planned<'a>>, String> {
    let arch = gguf.text("general.architecture").map_err(|e| e.to_string())?.unwrap_or("llama");
    let number = |key: &str| gguf.uint(&format!("{arch}.{key}")).map_err(|e| e.to_string());
    let layers = number("block_count")?.unwrap_or(0);
    let heads = number("attention.head_count")?.unwrap_or(1);
    let groups = heads / number("attention.head_count_kv")?.unwrap_or(heads).max(1);
    let model = mix::Shape { layers, groups, tied: gguf.tensor("output.weight").is_none() };
    gguf.tensors()
        .map(|info| {
            let kept = info.format().map_err(|e| e.to_string())?;
            let wanted =
                if is_matrix(&info) { args.mix.format_of(info.name(), &model, args.pure) } else { kept };
            let format = mix::fitting(wanted, info.dims()[0]);
            Ok(Planned { info, format, wanted })
        })
        .collect()
}

/// Whether a tensor is quantized: matrices of weights, not norms.
fn is_matrix(info: &TensorInfo<'_>) -> bool {
    let name = info.name();
    info.dims().len() >= 2 && name.ends_with("weight") && !name.ends_with("_norm.weight")
}

fn header(gguf: &Gguf, source: &Source, plan: &[Planned<'_>], mix: Mix) -> Result<Builder, String> {
    let mut header = Builder::new();
    let failed = |e: &dyn std::fmt::Display| e.to_string();
    if gguf.get("general.alignment").is_some() {
        header.alignment(gguf.alignment()).map_err(|e| failed(&e))?;
    }
    for entry in gguf.metadata() {
        let key = std::str::from_utf8(entry.key()).map_err(|e| failed(&e))?;
        if matches!(key, "general.alignment" | "general.file_type" | "general.quantization_version") {
            continue;
        }
        copy_pair(&mut header, key, &entry, source)?;
    }
    header.kv("general.quantization_version", Value::U32(2)).map_err(|e| failed(&e))?;
    header.kv("general.file_type", Value::U32(mix.file_type())).map_err(|e| failed(&e))?;
    for t in plan {
        header
            .tensor(t.info.name(), t.info.dims(), t.format)
            .map_err(|e| format!("{}: {e}", printable(t.info.name().as_bytes())))?;
    }
    Ok(header)
}

/// A pair as it stands in the file, bit for bit.
fn copy_pair(header: &mut Builder, key: &str, entry: &MetaEntry<'_>, source: &Source) -> Result<(), String> {
    let len = usize::try_from(entry.byte_len()).map_err(|e| e.to_string())?;
    let mut bytes = vec![0; len];
    let mut reader = source;
    reader.read_at(entry.offset(), &mut bytes).map_err(|e| format!("{key}: {e}"))?;
    macro_rules! number {
        ($variant:ident, $type:ty) => {
            Value::$variant(<$type>::from_le_bytes(
                bytes.as_slice().try_into().map_err(|_| format!("{key}: not the bytes of a number"))?,
            ))
        };
    }
    let value = match entry.value_type() {
        ValueType::U8 => number!(U8, u8),
        ValueType::I8 => number!(I8, i8),
        ValueType::U16 => number!(U16, u16),
        ValueType::I16 => number!(I16, i16),
        ValueType::U32 => number!(U32, u32),
        ValueType::I32 => number!(I32, i32),
        ValueType::F32 => number!(F32, f32),
        ValueType::U64 => number!(U64, u64),
        ValueType::I64 => number!(I64, i64),
        ValueType::F64 => number!(F64, f64),
        ValueType::Bool => Value::Bool(bytes.first().is_some_and(|&b| b != 0)),
        ValueType::String => Value::String(&bytes),
        ValueType::Array => {
            let array = entry.array().map_err(|e| e.to_string())?;
            Value::RawArray { element: array.element_type(), len: array.len(), bytes: &bytes }
        }
    };
    header.kv(key, value).map(|_| ()).map_err(|e| e.to_string())
}

/// A file as the core's writer sees it.
struct Sink(BufWriter<File>);

impl ErrorType for Sink {
    type Error = std::io::Error;
}

impl Write for Sink {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        std::io::Write::write(&mut self.0, buf)
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        std::io::Write::flush(&mut self.0)
    }
}

fn write_file(header: &Builder, plan: &[Planned<'_>], source: &Source, path: &Path) -> Result<(), String> {
    let file = File::create(path).map_err(|e| e.to_string())?;
    let mut out = header.begin(Sink(BufWriter::new(file))).map_err(|e| e.to_string())?;
    for t in plan {
        let bytes =
            converted(t, source).map_err(|e| format!("{}: {e}", printable(t.info.name().as_bytes())))?;
        out.tensor(&bytes).map_err(|e| e.to_string())?;
    }
    out.finish().map_err(|e| e.to_string())?;
    Ok(())
}

/// The tensor's bytes in its new format; those it has where that is its own.
fn converted(t: &Planned<'_>, source: &Source) -> Result<Vec<u8>, String> {
    let old = t.info.format().map_err(|e| e.to_string())?;
    let len = t.info.bytes().and_then(|n| usize::try_from(n).ok()).ok_or("its size overflows")?;
    let mut bytes = vec![0; len];
    let mut reader = source;
    reader.read_at(t.info.abs(), &mut bytes).map_err(|e| e.to_string())?;
    if old == t.format {
        return Ok(bytes);
    }
    let k = usize::try_from(t.info.dims()[0]).map_err(|e| e.to_string())?;
    let old_row = old.row_bytes(k).ok_or("its rows are no whole number of blocks")?;
    let new_row = t.format.row_bytes(k).ok_or("its rows are no whole number of blocks")?;
    let mut row = vec![0f32; k];
    let mut out = vec![0; len / old_row * new_row];
    for (i, (from, to)) in bytes.chunks_exact(old_row).zip(out.chunks_exact_mut(new_row)).enumerate() {
        dequantize_row(old, from, &mut row).map_err(|e| format!("row {i}: {e}"))?;
        quantize_row(t.format, &row, to).map_err(|e| format!("row {i}: {e}"))?;
    }
    Ok(out)
}

/// What went where, one line a tensor and one a format, on stderr.
fn report(plan: &[Planned<'_>], output: &Path) -> Result<(), Failure> {
    let mut by_format: BTreeMap<WeightFormat, (usize, u64)> = BTreeMap::new();
    for t in plan {
        let old = t.info.type_name();
        let weights = t.info.elements();
        let bytes = weights / t.format.block_len() as u64 * t.format.block_bytes() as u64;
        let sum = by_format.entry(t.format).or_default();
        *sum = (sum.0 + 1, sum.1 + bytes);
        let why = if t.format == t.wanted {
            String::new()
        } else {
            format!(" (rows of {} are no whole number of {} blocks)", t.info.dims()[0], t.wanted)
        };
        note(format_args!(
            "{:32} {:>20} {old:>5} -> {:5} {bytes:>12} bytes{why}\n",
            printable(t.info.name().as_bytes()),
            format!("{:?}", t.info.dims()),
            t.format,
        ));
    }
    for (format, (tensors, bytes)) in &by_format {
        note(format_args!("{format:6} {tensors:>5} tensors {bytes:>13} bytes\n"));
    }
    let bytes = std::fs::metadata(output)?.len();
    note(format_args!("{}: {bytes} bytes\n", output.display()));
    Ok(())
}
