//! `barre bench`: prefill and decode speed, with llama-bench's table and JSON keys.

use super::args::{AccessArgs, SessionArgs, StorageArgs};
use super::output::{Failure, write};
use barre::engine::Engine;
use barre::memory::Arena;
use barre::pool::{BadThreads, MAX_THREADS};
use barre_core::kernels::Executor as _;
use barre_core::model::Plan;
use serde_json::json;
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
    /// Threads, several separated by commas [default: one a core]
    #[arg(short, long, value_name = "N", value_delimiter = ',')]
    threads: Vec<usize>,
    /// Repetitions of each measurement, after one that is not counted
    #[arg(short, long, value_name = "N", default_value_t = 5)]
    repetitions: usize,
    /// Form of the result
    #[arg(short, long, default_value = "md")]
    output: Form,
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
}

/// One measurement: so many tokens, in so many nanoseconds each time.
struct Row {
    threads: usize,
    n_prompt: usize,
    n_gen: usize,
    samples_ns: Vec<u64>,
    /// Weight bytes that the tokens of one sample read.
    bytes: u64,
}

impl Row {
    fn tokens(&self) -> usize {
        self.n_prompt + self.n_gen
    }

    fn rates(&self) -> Vec<f64> {
        self.samples_ns.iter().map(|&ns| self.tokens() as f64 * 1e9 / ns as f64).collect()
    }

    fn bytes_per_token(&self) -> f64 {
        self.bytes as f64 / self.tokens() as f64
    }
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if args.repetitions == 0 {
        return Err(Failure::because("0 repetitions measure nothing"));
    }
    // Before minutes are spent on those that come first.
    if let Some(&bad) = args.threads.iter().find(|n| !(1..=MAX_THREADS).contains(*n)) {
        return Err(BadThreads(bad).into());
    }
    let threads: Vec<Option<usize>> = match args.threads.as_slice() {
        [] => vec![None],
        given => given.iter().copied().map(Some).collect(),
    };
    let mut engine = args.access.open(&args.model, threads[0], &args.storage)?;
    let mut rows = Vec::new();
    for n in threads {
        if let Some(n) = n {
            engine.set_threads(n)?;
        }
        let mut options = args.session.options(&engine, &args.storage);
        let tests = args.n_prompt.iter().map(|&p| (p, 0)).chain(args.n_gen.iter().map(|&n| (0, n)));
        options.context.get_or_insert(tests.clone().map(|(p, n)| p + n).max().unwrap_or(1).max(1));
        let plan = engine.plan(&options)?;
        let mut arena = Engine::arena(&plan)?;
        for (n_prompt, n_gen) in tests.filter(|&(p, n)| p + n > 0) {
            rows.push(measure(&engine, &plan, &mut arena, n_prompt, n_gen, args.repetitions)?);
        }
    }
    match args.output {
        Form::Md => write(&table(args, &engine, &rows)),
        Form::Json => write(&format!("{:#}\n", json(args, &engine, &rows))),
    }
}

fn measure(
    engine: &Engine,
    plan: &Plan,
    arena: &mut Arena,
    n_prompt: usize,
    n_gen: usize,
    repetitions: usize,
) -> Result<Row, Failure> {
    let mut session = engine.session(plan, arena)?;
    let vocab = engine.model().hparams().vocab_size as u64;
    // Any tokens will do, as in llama-bench: the time does not depend on them.
    let mut state = 1u64;
    let mut token = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % vocab) as u32
    };
    let prompt: Vec<u32> = (0..n_prompt).map(|_| token()).collect();
    let generated: Vec<u32> = (0..n_gen).map(|_| token()).collect();
    let mut samples_ns = Vec::new();
    for round in 0..=repetitions {
        session.reset();
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
    let passes = n_gen + n_prompt.div_ceil(plan.limits().batch);
    let bytes = plan.bytes_per_token() * passes as u64;
    Ok(Row { threads: engine.pool().threads(), n_prompt, n_gen, samples_ns, bytes })
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
        "| model | size | params | backend | threads | test | t/s | MB/token | GB/s |\n\
         | --- | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for row in rows {
        let (mean, deviation) = mean_and_deviation(&row.rates());
        let test = if row.n_gen == 0 { format!("pp{}", row.n_prompt) } else { format!("tg{}", row.n_gen) };
        let _ = writeln!(
            out,
            "| {} | {:.2} MiB | {:.2} M | {} {} | {} | {test} | {mean:.2} ± {deviation:.2} | {:.1} | {:.2} |",
            model_type(engine),
            size as f64 / f64::from(1 << 20),
            params as f64 / 1e6,
            engine.kernels().isa(),
            mode_name(args, engine),
            row.threads,
            row.bytes_per_token() / 1e6,
            mean * row.bytes_per_token() / 1e9,
        );
    }
    out
}

fn mode_name(args: &Args, engine: &Engine) -> &'static str {
    args.session.options(engine, &args.storage).mode.name()
}

fn json(args: &Args, engine: &Engine, rows: &[Row]) -> serde_json::Value {
    let (size, params) = model_size(engine);
    let options = args.session.options(engine, &args.storage);
    let kv = format!("{:?}", options.kv).to_lowercase();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let now = iso_8601(now);
    rows.iter()
        .map(|row| {
            let ns: Vec<f64> = row.samples_ns.iter().map(|&ns| ns as f64).collect();
            let ((avg_ns, stddev_ns), (avg_ts, stddev_ts)) =
                (mean_and_deviation(&ns), mean_and_deviation(&row.rates()));
            json!({
                "version": env!("CARGO_PKG_VERSION"),
                "cpu_info": cpu_info(),
                "backends": engine.kernels().isa().name(),
                "model_filename": args.model.display().to_string(),
                "model_type": model_type(engine),
                "model_size": size,
                "model_n_params": params,
                "n_batch": options.batch,
                "n_threads": row.threads,
                "type_k": kv,
                "type_v": kv,
                "mode": mode_name(args, engine),
                "use_mmap": matches!(engine.source().access(), barre::source::Access::Map),
                "n_prompt": row.n_prompt,
                "n_gen": row.n_gen,
                "test_time": now,
                "avg_ns": avg_ns.round() as u64,
                "stddev_ns": stddev_ns.round() as u64,
                "avg_ts": avg_ts,
                "stddev_ts": stddev_ts,
                "samples_ns": row.samples_ns,
                "samples_ts": row.rates(),
                "bytes_per_token": row.bytes_per_token(),
                "gb_per_s": avg_ts * row.bytes_per_token() / 1e9,
            })
        })
        .collect()
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
