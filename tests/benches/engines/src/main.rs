//! barre beside llama.cpp, ik_llama.cpp and candle: each engine in a process of its own, in turn, on the same file.
//!
//! ```text
//! cargo build --release -p barre
//! python3 -m venv env && env/bin/pip install llama-cpp-python
//! cd tests/benches/engines && RUSTFLAGS="-C target-cpu=native" cargo run --release -- \
//!     --barre ../../../target/release/barre --python ../../../env/bin/python -m FILE -t 1,2
//! ```
//!
//! ik_llama.cpp takes part with `--ik-python`, a Python of another environment that has `ik-llama-cpp-python`.
//!
//! A machine that others use is fast in one minute and slow in the next. So the engines take turns, and what is
//! printed is the median and the range of the ratios of measurements that were neighbours.

mod candle;

use clap::Parser as _;
use serde_json::Value;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[derive(clap::Parser)]
struct Args {
    /// The command `barre`
    #[arg(long, default_value = "barre")]
    barre: PathBuf,
    /// A Python that has llama-cpp-python; without it llama.cpp is left out
    #[arg(long)]
    python: Option<PathBuf>,
    /// A Python that has ik-llama-cpp-python; without it ik_llama.cpp is left out
    #[arg(long)]
    ik_python: Option<PathBuf>,
    /// Leave candle out
    #[arg(long)]
    no_candle: bool,
    /// Model file (GGUF)
    #[arg(short)]
    model: PathBuf,
    #[arg(short, value_delimiter = ',', default_value = "1")]
    threads: Vec<usize>,
    /// Tokens of the prompt
    #[arg(short = 'p', default_value_t = 512)]
    prompt: usize,
    /// Tokens to decode
    #[arg(short = 'n', default_value_t = 64)]
    decoded: usize,
    /// Rounds, in each of which every engine has its turn
    #[arg(short, default_value_t = 5)]
    rounds: usize,
    /// Instruction set that barre is held to
    #[arg(long)]
    isa: Option<String>,
    /// Measure candle in this process and print its figures as JSON: what the other processes are started with
    #[arg(long, hide = true)]
    only_candle: bool,
}

/// Tokens a second.
#[derive(Clone, Copy)]
struct Rates {
    prefill: f64,
    decode: f64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Engine {
    Barre,
    Llama,
    IkLlama,
    Candle,
}

impl Engine {
    const fn name(self) -> &'static str {
        match self {
            Self::Barre => "barre",
            Self::Llama => "llama.cpp",
            Self::IkLlama => "ik_llama.cpp",
            Self::Candle => "candle",
        }
    }

    fn measure(self, args: &Args, threads: usize) -> Result<Rates, Box<dyn Error>> {
        let (prompt, decoded) = (args.prompt.to_string(), args.decoded.to_string());
        let (threads, model) = (threads.to_string(), args.model.as_os_str());
        let mut command = match self {
            Self::Barre => {
                let mut command = Command::new(&args.barre);
                command.args([
                    "bench", "-r", "1", "-o", "json", "-p", &prompt, "-n", &decoded, "-t", &threads, "-m",
                ]);
                command.arg(model);
                if let Some(isa) = &args.isa {
                    command.args(["--isa", isa]);
                }
                command
            }
            Self::Llama | Self::IkLlama => {
                let (python, script) = match self {
                    Self::Llama => (&args.python, "llama.py"),
                    _ => (&args.ik_python, "ik_llama.py"),
                };
                let mut command = Command::new(python.as_ref().ok_or("no Python")?);
                command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script));
                command.arg(model).args([&threads, &prompt, &decoded]);
                command
            }
            Self::Candle => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["--only-candle", "-p", &prompt, "-n", &decoded, "-m"]).arg(model);
                command.env("RAYON_NUM_THREADS", &threads);
                command
            }
        };
        let output = command.stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(format!("{} failed: {}", self.name(), output.status).into());
        }
        let figures: Value = serde_json::from_slice(&output.stdout)?;
        let rate = |of_barre: &dyn Fn(&Value) -> bool, key: &str| {
            let figure = match &figures {
                Value::Array(rows) => rows.iter().find(|row| of_barre(row)).map(|row| &row["avg_ts"]),
                object => Some(&object[key]),
            };
            figure.and_then(Value::as_f64).ok_or_else(|| format!("{}: no figure for {key}", self.name()))
        };
        Ok(Rates {
            prefill: rate(&|row| row["n_gen"] == 0, "prefill")?,
            decode: rate(&|row| row["n_gen"] != 0, "decode")?,
        })
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    if args.only_candle {
        let Rates { prefill, decode } = candle::measure(&args.model, args.prompt, args.decoded)?;
        println!("{}", serde_json::json!({ "prefill": prefill, "decode": decode }));
        return Ok(());
    }
    let mut others = Vec::new();
    for (python, option, engine) in
        [(&args.python, "--python", Engine::Llama), (&args.ik_python, "--ik-python", Engine::IkLlama)]
    {
        match python {
            Some(_) => others.push(engine),
            None => eprintln!("without {option}, {} is left out", engine.name()),
        }
    }
    if !args.no_candle {
        others.push(Engine::Candle);
    }
    println!("| threads | test | engine | tokens/s: median [range] | barre is faster by: median [range] |");
    println!("|---:|---|---|---:|---:|");
    for &threads in &args.threads {
        let engines: Vec<Engine> = [Engine::Barre].into_iter().chain(others.iter().copied()).collect();
        let mut rates: Vec<Vec<Rates>> = vec![Vec::new(); engines.len()];
        for _ in 0..args.rounds {
            for (engine, rates) in engines.iter().zip(&mut rates) {
                rates.push(engine.measure(&args, threads)?);
            }
        }
        type Pick = fn(&Rates) -> f64;
        let tests: [(String, Pick); 2] = [
            (format!("prefill {}", args.prompt), |r| r.prefill),
            (format!("decode {}", args.decoded), |r| r.decode),
        ];
        for (test, pick) in tests {
            for (engine, others) in engines.iter().zip(&rates) {
                let own = spread(others.iter().map(pick).collect());
                let ratio = match engine {
                    Engine::Barre => String::new(),
                    _ => spread(rates[0].iter().zip(others).map(|(a, b)| pick(a) / pick(b)).collect()),
                };
                println!("| {threads} | {test} | {} | {own} | {ratio} |", engine.name());
            }
        }
    }
    Ok(())
}

/// Median and range.
fn spread(mut figures: Vec<f64>) -> String {
    figures.sort_by(f64::total_cmp);
    match figures.as_slice() {
        [] => String::from("none"),
        all => format!("{:.2} [{:.2} .. {:.2}]", all[all.len() / 2], all[0], all[all.len() - 1]),
    }
}
