//! `barre inspect`: what is in a file, where, and what it would run on.

use super::output::{Failure, of_file, printable, write};
use barre::detect;
use barre::source::{Access, Source};
use barre_core::gguf::{Gguf, MetaEntry, TensorInfo, ValueType};
use barre_core::io::AbsOffset;
use barre_core::kernels::ActKind;
use barre_core::model::Model;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct Args {
    /// GGUF file
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Instruction set whose kernels are shown [default: BARRE_ISA, or the machine's best]
    #[arg(long, value_name = "NAME")]
    isa: Option<String>,
}

/// Elements of an array, and characters of a string, that are shown.
const SHOWN_ELEMENTS: u64 = 4;
const SHOWN_CHARS: usize = 72;
/// Bytes of the longest string that is shown as an array's element.
const LONGEST_ELEMENT: usize = 4096;

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    // A header is read once: mapping all pages of a model for it would only cost time.
    let source = Source::open(&args.file, Access::Read)?;
    let gguf = Gguf::open(&mut &source).map_err(of_file(&args.file))?;
    let isa = detect::kernels_named(args.isa.as_deref())?.isa().name();
    let model = Model::load(&gguf, &mut &source).map_err(|e| e.to_string());
    let multiplied = model.iter().flat_map(Model::matrices).map(|m| m.abs()).collect();
    let report = Report { gguf: &gguf, source: &source, isa, model, multiplied };
    write(&if args.json { format!("{:#}\n", report.json()) } else { report.text() })
}

struct Report<'a> {
    gguf: &'a Gguf,
    source: &'a Source,
    isa: &'static str,
    /// The model, or why the file cannot be run.
    model: Result<Model, String>,
    /// Where the matrices lie that a token is multiplied with.
    multiplied: BTreeSet<AbsOffset>,
}

impl Report<'_> {
    fn by_format(&self) -> BTreeMap<&'static str, (u64, u64)> {
        let mut sizes = BTreeMap::new();
        for t in self.gguf.tensors() {
            let size = sizes.entry(t.type_name()).or_insert((0, 0));
            *size = (size.0 + 1, size.1 + t.bytes().unwrap_or(0));
        }
        sizes
    }

    /// What a tensor would run on; `None` if the model has no use for it.
    fn kernel(&self, t: &TensorInfo<'_>) -> Option<String> {
        let model = self.model.as_ref().ok()?;
        let format = t.format().ok()?;
        if self.multiplied.contains(&t.abs()) {
            let activations = match ActKind::of(format) {
                ActKind::Float => "f32",
                ActKind::Block32 => "blocks of 32",
                ActKind::Block256 => "blocks of 256",
            };
            return Some(format!("fused {format} x {activations}, {}", self.isa));
        }
        if t.abs() == model.token_embd().abs() {
            return Some("row by row".to_owned());
        }
        model.vectors().any(|v| v.abs() == t.abs()).then(|| "f32 vector".to_owned())
    }

    fn value(&self, entry: &MetaEntry<'_>) -> Value {
        let mut reader = self.source;
        match entry.value_type() {
            ValueType::String => {
                let mut bytes = vec![0; usize::try_from(entry.byte_len()).unwrap_or(0)];
                match entry.read_bytes(&mut reader, &mut bytes) {
                    Ok(text) => json!(String::from_utf8_lossy(text)),
                    Err(e) => json!({ "error": e.to_string() }),
                }
            }
            ValueType::F32 | ValueType::F64 => entry.float().map_or(Value::Null, number),
            ValueType::Bool => entry.boolean().map_or(Value::Null, |x| json!(x)),
            ValueType::Array => self.array(entry),
            _ => entry.int().map_or_else(|_| entry.uint().map_or(Value::Null, |x| json!(x)), |x| json!(x)),
        }
    }

    fn array(&self, entry: &MetaEntry<'_>) -> Value {
        let mut reader = self.source;
        let Ok(array) = entry.array() else { return Value::Null };
        let shown = array.len().min(SHOWN_ELEMENTS) as usize;
        let mut first = Vec::new();
        match array.element_type() {
            ValueType::String => {
                let mut buf = [0; LONGEST_ELEMENT];
                // Errors, of strings too long to be shown too, end the list; the count is shown all the same.
                let _ = array.for_each_string(&mut reader, &mut buf, |_, text| {
                    if first.len() < shown {
                        first.push(json!(String::from_utf8_lossy(text)));
                    }
                    first.len() < shown
                });
            }
            ValueType::F32 => {
                let mut out = vec![0f32; shown];
                if array.read(&mut reader, 0, &mut out).is_ok() {
                    first.extend(out.into_iter().map(number));
                }
            }
            _ => {
                let mut out = vec![0; shown];
                if array.read_uint(&mut reader, 0, &mut out).is_ok() {
                    first.extend(out.into_iter().map(|x| json!(x)));
                }
            }
        }
        json!({ "array": array.element_type().name(), "len": array.len(), "first": first })
    }

    fn json(&self) -> Value {
        let metadata: Vec<Value> = self
            .gguf
            .metadata()
            .map(|e| {
                json!({
                    "key": String::from_utf8_lossy(e.key()),
                    "type": e.value_type().name(),
                    "offset": e.offset().get(),
                    "bytes": e.byte_len(),
                    "value": self.value(&e),
                })
            })
            .collect();
        let tensors: Vec<Value> = self
            .gguf
            .tensors()
            .map(|t| {
                json!({
                    "name": t.name(),
                    "type": t.type_name(),
                    "shape": t.dims(),
                    "offset": t.offset().get(),
                    "absolute_offset": t.abs().get(),
                    "bytes": t.bytes(),
                    "kernel": self.kernel(&t),
                })
            })
            .collect();
        let formats: Vec<Value> = self
            .by_format()
            .into_iter()
            .map(|(name, (tensors, bytes))| json!({ "type": name, "tensors": tensors, "bytes": bytes }))
            .collect();
        let (gap, trailing) = (self.gguf.gap_bytes(), self.gguf.trailing_bytes());
        json!({
            "version": self.gguf.version(),
            "alignment": self.gguf.alignment(),
            "file_bytes": self.source.len(),
            "data_offset": self.gguf.data().base().get(),
            "gap_bytes": gap,
            "trailing_bytes": trailing,
            "isa": self.isa,
            "runs": self.model.is_ok(),
            "reason": self.model.as_ref().err(),
            "metadata": metadata,
            "formats": formats,
            "tensors": tensors,
        })
    }

    fn text(&self) -> String {
        let mut out = String::new();
        let (gap, trailing) = (self.gguf.gap_bytes(), self.gguf.trailing_bytes());
        let _ = writeln!(
            out,
            "GGUF v{}, {} bytes, alignment {}, tensor data from byte {} on",
            self.gguf.version(),
            self.source.len(),
            self.gguf.alignment(),
            self.gguf.data().base().get(),
        );
        if gap > 0 {
            let _ = writeln!(out, "{gap} bytes lie between tensors and belong to none");
        }
        if trailing > 0 {
            let _ = writeln!(out, "{trailing} bytes follow the last tensor");
        }
        let _ = writeln!(out, "\nmetadata ({} pairs)", self.gguf.metadata().len());
        for e in self.gguf.metadata() {
            let key = printable(e.key());
            let value = match self.value(&e) {
                Value::Object(o) if o.contains_key("len") => {
                    let first: Vec<String> =
                        o["first"].as_array().into_iter().flatten().map(Value::to_string).collect();
                    let dots = if o["len"].as_u64() > Some(SHOWN_ELEMENTS) { ", …" } else { "" };
                    format!(
                        "[{}{dots}] ({} {})",
                        first.join(", "),
                        o["len"],
                        o["array"].as_str().unwrap_or("?")
                    )
                }
                value => value.to_string(),
            };
            let short: String = value.chars().take(SHOWN_CHARS).collect();
            let dots = if short.len() < value.len() { "…" } else { "" };
            let _ = writeln!(out, "  {key:44} {:7} {short}{dots}", e.value_type().name());
        }
        let _ = writeln!(out, "\ntensors ({})", self.gguf.tensors().len());
        let _ = writeln!(
            out,
            "  {:32} {:7} {:>20} {:>13} {:>13} {:>12}  kernel",
            "name", "type", "shape [k, n]", "relative", "absolute", "bytes"
        );
        for t in self.gguf.tensors() {
            let _ = writeln!(
                out,
                "  {:32} {:7} {:>20} {:>13} {:>13} {:>12}  {}",
                printable(t.name().as_bytes()),
                t.type_name(),
                format!("{:?}", t.dims()),
                t.offset().get(),
                t.abs().get(),
                t.bytes().map_or("?".to_owned(), |b| b.to_string()),
                self.kernel(&t).unwrap_or_else(|| "-".to_owned()),
            );
        }
        let _ = writeln!(out, "\nsizes by format");
        for (name, (tensors, bytes)) in self.by_format() {
            let _ = writeln!(out, "  {name:7} {tensors:>5} tensors {bytes:>13} bytes");
        }
        match &self.model {
            Ok(model) => {
                let fused = model.matrices().count();
                let _ =
                    writeln!(out, "\nbarre runs this model, {fused} of {fused} matrices on fused kernels");
            }
            Err(reason) => {
                let _ = writeln!(out, "\nbarre does not run this model: {reason}");
            }
        }
        out
    }
}

/// An f32 with the digits that it has, not those of the f64 that JSON would make of it.
fn number(x: f32) -> Value {
    x.to_string().parse::<f64>().map_or(Value::Null, |x| json!(x))
}
