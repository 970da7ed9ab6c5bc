//! `barre bench`: prefill and decode speed, with llama-bench's table and keys, beside the speed of the memory.

mod picture;

use super::args::{AccessArgs, SessionArgs, StorageArgs};
use super::output::{Failure, write};
use barre::bandwidth::Probe;
use barre::engine::Engine;
use barre::memory::Arena;
use barre::pool::{BadThreads, MAX_THREADS};
use barre_core::kernels::Executor as _;
use barre_core::model::Plan;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Instant, SystemTime};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Model file (GGUF)
    #[arg(short, long, value_name = "FILE")]
    model: PathBuf,
    /// Tokens of the prompt, several numbers separated by commas; 0: do not measure prefill
    #[arg(short = 'p', long, value_name = "N", value_delimiter = ',', default_value = "512")]
    n_prompt: Vec<usize>,
    /// Tokens to decode, several numbers separated by commas; 0: do not measure decode
    #[arg(short = 'n', long, value_name = "N", value_delimiter = ',', default_value = "128")]
    n_gen: Vec<usize>,
    /// Positions that the context holds before, several numbers separated by commas
    #[arg(short = 'd', long, value_name = "N", value_delimiter = ',', default_value = "0")]
    n_depth: Vec<usize>,
    /// Threads, several separated by commas [default: one a core]
    #[arg(short, long, value_name = "N", value_delimiter = ',')]
    threads: Vec<usize>,
    /// Repetitions of each measurement, after one that is not counted
    #[arg(short, long, value_name = "N", default_value_t = 5)]
    repetitions: usize,
    /// Form of the result
    #[arg(short, long, default_value = "md")]
    output: Form,
    /// Draws the speeds against the depths of -d as well, into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    session: SessionArgs,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    storage: StorageArgs,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Form {
    Md,
    Json,
    Csv,
}

/// One measurement: so many tokens behind so many others, in so many nanoseconds each time.
struct Row {
    threads: usize,
    n_prompt: usize,
    n_gen: usize,
    n_depth: usize,
    samples_ns: Vec<u64>,
    /// Bytes of weights and of the KV cache that the tokens of one sample read.
    bytes: u64,
    /// Bytes a second that the same threads read memory at, before and after: the median of some tries.
    memory: f64,
}

impl Row {
    /// The test's name in llama-bench.
    fn name(&self) -> String {
        let test = if self.n_gen == 0 { format!("pp{}", self.n_prompt) } else { format!("tg{}", self.n_gen) };
        if self.n_depth == 0 { test } else { format!("{test} @ d{}", self.n_depth) }
    }

    fn tokens(&self) -> usize {
        self.n_prompt + self.n_gen
    }

    fn rates(&self) -> Vec<f64> {
        self.samples_ns.iter().map(|&ns| self.tokens() as f64 * 1e9 / ns as f64).collect()
    }

    fn bytes_per_token(&self) -> f64 {
        self.bytes as f64 / self.tokens() as f64
    }

    fn bytes_per_second(&self) -> f64 {
        mean_and_deviation(&self.rates()).0 * self.bytes_per_token()
    }
}

/// What one measurement is of: tokens of a prompt, or decoded ones, and those before them.
#[derive(Clone, Copy)]
struct Test {
    n_prompt: usize,
    n_gen: usize,
    n_depth: usize,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if args.repetitions == 0 {
        return Err(Failure::because("0 repetitions measure nothing"));
    }
    if args.svg.is_some() && args.n_depth.len() < 2 {
        return Err(Failure::because("a picture needs two depths or more: -d 0,1024,2048"));
    }
    // Before minutes are spent on those that come first.
    if let Some(&bad) = args.threads.iter().find(|n| !(1..=MAX_THREADS).contains(*n)) {
        return Err(BadThreads(bad).into());
    }
    let threads: Vec<Option<usize>> = match args.threads.as_slice() {
        [] => vec![None],
        given => given.iter().copied().map(Some).collect(),
    };
    let tests: Vec<Test> = args
        .n_depth
        .iter()
        .flat_map(|&n_depth| {
            let prompts = args.n_prompt.iter().map(move |&n_prompt| Test { n_prompt, n_gen: 0, n_depth });
            prompts.chain(args.n_gen.iter().map(move |&n_gen| Test { n_prompt: 0, n_gen, n_depth }))
        })
        .filter(|t| t.n_prompt + t.n_gen > 0)
        .collect();
    let mut engine = args.access.open(&args.model, threads[0], &args.storage)?;
    let mut probe = Probe::new()?;
    let mut rows = Vec::new();
    for n in threads {
        if let Some(n) = n {
            engine.set_threads(n)?;
        }
        let mut options = args.session.options(&engine, &args.storage);
        let longest = tests.iter().map(|t| t.n_depth + t.n_prompt + t.n_gen).max();
        options.context.get_or_insert(longest.unwrap_or(1));
        let plan = engine.plan(&options)?;
        let mut arena = Engine::arena(&plan)?;
        for &test in &tests {
            rows.push(measure(&engine, &plan, &mut arena, &mut probe, test, args.repetitions)?);
        }
    }
    if let Some(path) = &args.svg {
        picture::draw(path, &format!("{}, {}", model_type(&engine), engine.kernels().isa()), &rows)?;
    }
    match args.output {
        Form::Md => write(&table(args, &engine, &rows)),
        Form::Json => {
            let rows: Vec<Value> = rows
                .iter()
                .map(|row| Value::Object(fields(args, &engine, row).into_iter().collect()))
                .collect();
            write(&format!("{:#}\n", Value::Array(rows)))
        }
        Form::Csv => write(&csv(args, &engine, &rows)?),
    }
}

/// Reads of memory before a measurement, and as many after it.
const PROBES: usize = 3;

fn measure(
    engine: &Engine,
    plan: &Plan,
    arena: &mut Arena,
    probe: &mut Probe,
    test: Test,
    repetitions: usize,
) -> Result<Row, Failure> {
    let Test { n_prompt, n_gen, n_depth } = test;
    let mut session = engine.session(plan, arena)?;
    let vocab = engine.model().hparams().vocab_size as u64;
    // Any tokens will do, as in llama-bench: the time does not depend on them.
    let mut state = 1u64;
    let mut token = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % vocab) as u32
    };
    let before: Vec<u32> = (0..n_depth).map(|_| token()).collect();
    let prompt: Vec<u32> = (0..n_prompt).map(|_| token()).collect();
    let generated: Vec<u32> = (0..n_gen).map(|_| token()).collect();
    if !before.is_empty() {
        session.prefill(&before)?;
    }
    let mut memory: Vec<f64> = (0..PROBES).map(|_| probe.read(engine.pool())).collect();
    let mut samples_ns = Vec::new();
    for round in 0..=repetitions {
        session.rewind(n_depth)?;
        // Weights have moved to huge pages, where they do, within the first tokens.
        let generated = if round == 0 { &generated[..n_gen.min(24)] } else { &generated[..] };
        let start = Instant::now();
        if !prompt.is_empty() {
            session.prefill(&prompt)?;
        }
        for &token in generated {
            session.step(token)?;
        }
        if round > 0 {
            samples_ns.push(start.elapsed().as_nanos() as u64);
        }
    }
    memory.extend((0..PROBES).map(|_| probe.read(engine.pool())));
    memory.sort_by(f64::total_cmp);
    // A batch reads the weights once, and what was there before; of its own it reads what it has just written.
    let passes = (n_gen + n_prompt.div_ceil(plan.limits().batch)) as u64;
    let seen = passes * n_depth as u64 + (n_gen * n_gen.saturating_sub(1) / 2) as u64;
    let bytes = plan.bytes_per_token() * passes + plan.kv_bytes_per_position() * seen;
    let memory = memory[memory.len() / 2];
    Ok(Row { threads: engine.pool().threads(), n_prompt, n_gen, n_depth, samples_ns, bytes, memory })
}

fn mean_and_deviation(samples: &[f64]) -> (f64, f64) {
    let n = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / n;
    let square = samples.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>();
    (mean, if samples.len() > 1 { (square / (n - 1.0)).sqrt() } else { 0.0 })
}

fn model_size(engine: &Engine) -> (u64, u64) {
    engine.gguf().tensors().fold((0, 0), |(bytes, n), t| (bytes + t.bytes().unwrap_or(0), n + t.elements()))
}

fn model_type(engine: &Engine) -> String {
    // The format that most weight bytes are in, as file names have it.
    let mut by_format = std::collections::BTreeMap::new();
    for m in engine.model().matrices() {
        *by_format.entry(m.format()).or_insert(0) += m.bytes();
    }
    let most = by_format.into_iter().max_by_key(|&(_, bytes)| bytes).map_or("?", |(f, _)| f.name());
    format!("llama {most}")
}

fn table(args: &Args, engine: &Engine, rows: &[Row]) -> String {
    let (size, params) = model_size(engine);
    let mut out = String::from(
        "| model | size | params | backend | threads | test | t/s | MB/token | GB/s | of memory |\n\
         | --- | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for row in rows {
        let (mean, deviation) = mean_and_deviation(&row.rates());
        let _ = writeln!(
            out,
            "| {} | {:.2} MiB | {:.2} M | {} {} | {} | {} | {mean:.2} ± {deviation:.2} | {:.1} | {:.2} | {:.0} % |",
            model_type(engine),
            size as f64 / f64::from(1 << 20),
            params as f64 / 1e6,
            engine.kernels().isa(),
            mode_name(args, engine),
            row.threads,
            row.name(),
            row.bytes_per_token() / 1e6,
            row.bytes_per_second() / 1e9,
            100.0 * row.bytes_per_second() / row.memory,
        );
    }
    let mut threads: Vec<usize> = rows.iter().map(|r| r.threads).collect();
    threads.dedup();
    for n in threads {
        let mut memory: Vec<f64> = rows.iter().filter(|r| r.threads == n).map(|r| r.memory / 1e9).collect();
        memory.sort_by(f64::total_cmp);
        let (least, most) = (memory[0], memory[memory.len() - 1]);
        let _ = writeln!(out, "\nmemory read with {n} threads in the same run: {least:.1} to {most:.1} GB/s");
    }
    out
}

fn mode_name(args: &Args, engine: &Engine) -> &'static str {
    args.session.options(engine, &args.storage).mode.name()
}

/// One measurement under llama-bench's keys, in its order, then those of our own.
fn fields(args: &Args, engine: &Engine, row: &Row) -> Vec<(String, Value)> {
    let (size, params) = model_size(engine);
    let options = args.session.options(engine, &args.storage);
    let kv = options.kv.name();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let ns: Vec<f64> = row.samples_ns.iter().map(|&ns| ns as f64).collect();
    let ((avg_ns, stddev_ns), (avg_ts, stddev_ts)) =
        (mean_and_deviation(&ns), mean_and_deviation(&row.rates()));
    [
        ("version", json!(env!("CARGO_PKG_VERSION"))),
        ("cpu_info", json!(cpu_info())),
        ("backends", json!(engine.kernels().isa().name())),
        ("model_filename", json!(args.model.display().to_string())),
        ("model_type", json!(model_type(engine))),
        ("model_size", json!(size)),
        ("model_n_params", json!(params)),
        ("n_batch", json!(options.batch)),
        ("n_threads", json!(row.threads)),
        ("type_k", json!(kv)),
        ("type_v", json!(kv)),
        ("use_mmap", json!(matches!(engine.source().access(), barre::source::Access::Map))),
        ("n_prompt", json!(row.n_prompt)),
        ("n_gen", json!(row.n_gen)),
        ("n_depth", json!(row.n_depth)),
        ("test_time", json!(iso_8601(now))),
        ("avg_ns", json!(avg_ns.round() as u64)),
        ("stddev_ns", json!(stddev_ns.round() as u64)),
        ("avg_ts", json!(avg_ts)),
        ("stddev_ts", json!(stddev_ts)),
        ("samples_ns", json!(row.samples_ns)),
        ("samples_ts", json!(row.rates())),
        ("mode", json!(mode_name(args, engine))),
        ("bytes_per_token", json!(row.bytes_per_token())),
        ("gb_per_s", json!(row.bytes_per_second() / 1e9)),
        ("memory_gb_per_s", json!(row.memory / 1e9)),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// A line of keys, then one a measurement, without the lists of samples, as llama-bench has it.
fn csv(args: &Args, engine: &Engine, rows: &[Row]) -> Result<String, Failure> {
    let mut writer =
        csv::WriterBuilder::new().quote_style(csv::QuoteStyle::NonNumeric).from_writer(Vec::new());
    for (i, row) in rows.iter().enumerate() {
        let fields = fields(args, engine, row).into_iter().filter(|(_, value)| !value.is_array());
        let (keys, values): (Vec<String>, Vec<Value>) = fields.unzip();
        if i == 0 {
            writer.write_record(&keys)?;
        }
        writer
            .write_record(values.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)))?;
    }
    let bytes = writer.into_inner().map_err(|e| Failure::because(e.to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Seconds since 1970 as a date and time (Hinnant's `civil_from_days`, for days after 1970).
fn iso_8601(seconds: u64) -> String {
    let (days, time) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Years begin in March here, so that the leap day is the last.
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + 400 * era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", time / 3600, time / 60 % 60, time % 60)
}

fn cpu_info() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|l| l.strip_prefix("model name")).and_then(|l| l.split_once(": "));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_llama_bench_does() {
        assert_eq!(iso_8601(0), "1970-01-01T00:00:00Z");
        assert_eq!(iso_8601(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(iso_8601(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(iso_8601(1_795_249_000), "2026-11-21T08:16:40Z");
    }

    #[test]
    fn the_deviation_is_that_of_a_sample() {
        assert_eq!(mean_and_deviation(&[2.0, 4.0]), (3.0, 2f64.sqrt()));
        assert_eq!(mean_and_deviation(&[5.0]), (5.0, 0.0));
    }
}
