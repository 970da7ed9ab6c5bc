//! `barre plan`: what memory a model takes, region by region, and what more or less of it would mean.

use super::args::{SessionArgs, StorageArgs, size, speed};
use super::output::{Failure, of_file, write};
use barre::engine::{Engine, Error, OpenOptions};
use barre::source::{Access, SourceOptions};
use barre_core::model::{Chunks, Limits, Plan, PlanError, WeightPlacement};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Model file (GGUF)
    file: PathBuf,
    /// The most memory that the whole process may hold, in bytes or with K, M or G (powers of 1024)
    #[arg(long, value_name = "SIZE", value_parser = size)]
    ram: Option<u64>,
    /// What the storage reads, in MB (10^6 bytes) a second, for the speed that it allows
    #[arg(long, value_name = "MB/S", value_parser = speed)]
    read_speed: Option<f64>,
    /// Threads [default: one a core]
    #[arg(short, long, value_name = "N")]
    threads: Option<usize>,
    /// Instruction set [default: BARRE_ISA, or the machine's best]
    #[arg(long, value_name = "NAME")]
    isa: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    session: SessionArgs,
}

/// Speeds for which a plan without a given one is judged: an SD card, a fast one, a SATA disk, an NVMe disk. MB/s.
const SPEEDS: [f64; 4] = [20.0, 90.0, 500.0, 2000.0];

/// Characters of the bar.
const BAR: usize = 60;

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let source = SourceOptions { access: Access::Read, ..SourceOptions::default() };
    let options = OpenOptions { source, isa: args.isa.clone(), threads: args.threads, small_pages: true };
    let engine = Engine::open(&args.file, &options).map_err(|e| match e {
        Error::Gguf(_) | Error::Model(_) => of_file(&args.file)(e),
        e => e.into(),
    })?;
    // What the process holds while it runs a session includes the tokenizer.
    let tokenizer = engine.tokenizer().map_err(of_file(&args.file));
    let process = engine.process_bytes();
    drop(tokenizer);
    let options = args.session.options(&engine, &StorageArgs::unlimited());
    let unlimited = Limits { weights: WeightPlacement::Resident, ..*engine.plan(&options)?.limits() };
    let planner = Planner { engine: &engine, limits: unlimited, process };
    let report = Report {
        args,
        minimum: planner.total(&planner.minimum()?),
        plan: match args.ram {
            Some(ram) => planner.within(ram)?,
            None => Plan::new(engine.model(), engine.kernels(), &unlimited)?,
        },
        steps: planner.steps()?,
        planner,
    };
    write(&if args.json { format!("{:#}\n", report.json()) } else { report.text() })
}

/// Plans of one model for one session.
struct Planner<'a> {
    engine: &'a Engine,
    limits: Limits,
    /// Bytes that the process holds beside the plan.
    process: u64,
}

impl Planner<'_> {
    fn minimum(&self) -> Result<Plan, PlanError> {
        Plan::minimum(self.engine.model(), self.engine.kernels(), &self.limits, Chunks::Lent)
    }

    fn within(&self, ram: u64) -> Result<Plan, PlanError> {
        self.engine.plan_within(&self.limits, ram, self.process)
    }

    /// All that the process would hold.
    fn total(&self, plan: &Plan) -> u64 {
        plan.total_bytes().saturating_add(self.process)
    }

    /// Budgets from the smallest to that with which everything is resident, and their plans.
    fn steps(&self) -> Result<Vec<(u64, Plan)>, PlanError> {
        // Whole MiB, so that what is shown can be given as --ram.
        let mib = |bytes: u64| bytes.div_ceil(1 << 20) << 20;
        let least = mib(self.total(&self.minimum()?));
        let full = Plan::new(self.engine.model(), self.engine.kernels(), &self.limits)?;
        let most = mib(self.total(&full));
        let mut budgets = vec![least];
        let doublings = std::iter::successors(Some(16u64 << 20), |b| b.checked_mul(2));
        for budget in doublings.take_while(|&b| b < most) {
            // Halfway to the next power of two as well.
            budgets.extend([budget, budget / 2 * 3].into_iter().filter(|&b| b > least && b < most));
        }
        budgets.push(most.max(least));
        budgets.dedup();
        budgets.into_iter().map(|b| Ok((b, self.within(b)?))).collect()
    }
}

struct Report<'a> {
    args: &'a Args,
    planner: Planner<'a>,
    plan: Plan,
    minimum: u64,
    steps: Vec<(u64, Plan)>,
}

impl Report<'_> {
    fn speeds(&self) -> Vec<f64> {
        self.args.read_speed.map_or_else(|| SPEEDS.to_vec(), |speed| vec![speed])
    }

    fn text(&self) -> String {
        let (plan, limits) = (&self.plan, self.plan.limits());
        let kv = limits.kv.name();
        let mut out = String::new();
        let _ = writeln!(
            out,
            "context {}, batch {}, {kv} cache, {} threads, {} kernels\n",
            limits.context,
            limits.batch,
            limits.threads,
            self.planner.engine.kernels().isa(),
        );
        let _ = writeln!(out, "{:<26} {:>14} {:>10} {:>6}", "region", "bytes", "offset", "align");
        for region in plan.regions() {
            let _ = writeln!(
                out,
                "{:<26} {:>14} {:>10} {:>6}",
                region.name,
                region.bytes,
                region.offset,
                Plan::ALIGN
            );
        }
        let mut row = |name: &str, bytes: u64| {
            let _ = writeln!(out, "{name:<26} {bytes:>14}");
        };
        row("= arena", plan.bytes() as u64);
        row("read-ahead buffers", plan.reader_bytes() as u64);
        row("the program, about", self.planner.process);
        row("= all", self.planner.total(plan));
        let _ = writeln!(out, "\n{}", self.bar());
        let _ = writeln!(
            out,
            "\nat least {} are needed; a token reads {:.1} MB of {:.1} MB of weights",
            human(self.minimum),
            plan.streamed_bytes_per_token() as f64 / 1e6,
            plan.bytes_per_token() as f64 / 1e6,
        );
        let _ = write!(out, "\n{:>9} {:>9} {:>6} {:>10}", "memory", "resident", "batch", "MB/token");
        for speed in self.speeds() {
            let _ = write!(out, " {:>12}", format!("{speed} MB/s"));
        }
        out.push('\n');
        for (budget, plan) in &self.steps {
            let _ = write!(
                out,
                "{:>9} {:>7.1} % {:>6} {:>10.1}",
                human(*budget),
                100.0 * plan.resident_fraction(),
                plan.limits().batch,
                plan.streamed_bytes_per_token() as f64 / 1e6,
            );
            for speed in self.speeds() {
                let _ = match plan.tokens_per_second(speed * 1e6) {
                    Some(rate) => write!(out, " {:>12}", format!("{rate:.2} t/s")),
                    None => write!(out, " {:>12}", "no bound"),
                };
            }
            out.push('\n');
        }
        out
    }

    /// The plan as a bar: what the memory is used for.
    fn bar(&self) -> String {
        let of = |names: &[&str]| -> u64 {
            self.plan.regions().filter(|r| names.contains(&r.name)).map(|r| r.bytes as u64).sum()
        };
        let weights = of(&["weights, resident", "norms and biases"]);
        let cache = of(&["KV cache", "token history"]);
        let chunks = self.plan.reader_bytes() as u64;
        let state = self.plan.total_bytes().saturating_sub(weights + cache + chunks);
        let parts = [
            ('W', "weights", weights),
            ('K', "KV cache", cache),
            ('S', "state", state),
            ('R', "read ahead", chunks),
            ('P', "program", self.planner.process),
        ];
        let all = self.planner.total(&self.plan).max(self.args.ram.unwrap_or(0)).max(1);
        let (mut bar, mut end) = (String::new(), 0);
        for (letter, _, bytes) in parts {
            end += bytes;
            // Rounded at its end, so that the parts add up.
            let upto = (end as f64 / all as f64 * BAR as f64).round() as usize;
            bar.extend(std::iter::repeat_n(letter, upto.saturating_sub(bar.len())));
        }
        let legend: Vec<String> = parts
            .iter()
            .filter(|(_, _, bytes)| *bytes > 0)
            .map(|(letter, name, bytes)| format!("{letter} {name} {}", human(*bytes)))
            .collect();
        format!("[{bar:.<BAR$}] {}\n{}", human(all), legend.join(", "))
    }

    fn json(&self) -> Value {
        let limits = self.plan.limits();
        let rates = |plan: &Plan| -> Vec<Value> {
            let rate = |speed: f64| {
                json!({
                    "read_bytes_per_second": speed * 1e6,
                    "tokens_per_second": plan.tokens_per_second(speed * 1e6),
                })
            };
            self.speeds().into_iter().map(rate).collect()
        };
        let summary = |budget: Option<u64>, plan: &Plan| {
            json!({
                "budget_bytes": budget,
                "arena_bytes": plan.bytes(),
                "reader_bytes": plan.reader_bytes(),
                "process_bytes": self.planner.process,
                "total_bytes": self.planner.total(plan),
                "batch": plan.limits().batch,
                "resident_bytes": plan.resident_bytes(),
                "resident_fraction": plan.resident_fraction(),
                "streamed_bytes_per_token": plan.streamed_bytes_per_token(),
                "storage_bound": rates(plan),
            })
        };
        let regions: Vec<Value> = self
            .plan
            .regions()
            .map(|r| json!({"name": r.name, "bytes": r.bytes, "offset": r.offset, "align": Plan::ALIGN}))
            .collect();
        json!({
            "context": limits.context,
            "threads": limits.threads,
            "kv": limits.kv.name(),
            "minimum_bytes": self.minimum,
            "weight_bytes": self.plan.bytes_per_token(),
            "regions": regions,
            "plan": summary(self.args.ram, &self.plan),
            "budgets": self.steps.iter().map(|(budget, plan)| summary(Some(*budget), plan)).collect::<Vec<_>>(),
        })
    }
}

/// Bytes in the unit that suits them, of those that `--ram` takes.
fn human(bytes: u64) -> String {
    match bytes {
        0..0x40_0000 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        0x40_0000..0x1_0000_0000 => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
        _ => format!("{:.2} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}
