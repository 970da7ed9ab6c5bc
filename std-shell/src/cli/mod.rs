//! The command line: tokens and results to stdout, everything else to stderr.

mod args;
mod bench;
mod bus;
#[cfg(feature = "demo")]
mod demo;
#[cfg(feature = "demo")]
mod eval_demo;
mod figures;
mod heap;
mod inspect;
mod logits;
mod output;
mod plan;
mod progress;
mod prompt_cache;
mod quantize;
mod run;
mod schema;
mod tokenize;
#[cfg(feature = "demo")]
mod tour;
mod trace;
mod verify;

use clap::Parser;
use output::Failure;
use std::process::ExitCode;

/// Runs GGUF language models on the CPU, with weights multiplied where they lie, in their blocks.
#[derive(Parser)]
#[command(name = "barre", version, disable_help_subcommand = true, after_help = EXAMPLES)]
#[cfg_attr(not(feature = "demo"), command(arg_required_else_help = true))]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

const EXAMPLES: &str = "\
Flags have llama.cpp's names where it has them. Text and results go to stdout, everything else to stderr.

  barre run 'please dim the bedroom lights to 30 percent'
  barre run -m model.gguf -p 'Once upon a time' -n 128 --temp 0
  barre run -m model.gguf -p 'A person, as JSON: ' --schema person.schema.json
  barre inspect model.gguf
  barre verify model.gguf
  barre bench -m model.gguf -p 512 -n 128 -t 1,2";

#[derive(clap::Subcommand)]
enum Command {
    /// Continue a text
    Run(run::Args),
    /// Show a file's header, metadata and tensors, and the kernel that each would run on
    Inspect(inspect::Args),
    /// Measure the fused kernels against dequantize-then-multiply, and scan the weights for NaN and infinity
    Verify(verify::Args),
    /// Show the memory that a model takes, and what more or less of it would mean
    Plan(plan::Args),
    /// Write the logits of every position, row-major little-endian f32
    Logits(logits::Args),
    /// Show the tokens of a text
    Tokenize(tokenize::Args),
    /// Write a model's weights in another format
    Quantize(quantize::Args),
    /// Measure prefill and decode, with llama-bench's table and JSON keys
    Bench(bench::Args),
    /// Measure the accuracy of the model inside barre, in every weight format
    #[cfg(feature = "demo")]
    EvalDemo(eval_demo::Args),
}

/// Parses the command line and runs it.
pub(crate) fn main() -> ExitCode {
    bus::install();
    heap::share();
    let result = match Cli::parse().command {
        None => tour(),
        Some(Command::Run(args)) => run::run(&args),
        Some(Command::Inspect(args)) => inspect::run(&args),
        Some(Command::Verify(args)) => verify::run(&args),
        Some(Command::Plan(args)) => plan::run(&args),
        Some(Command::Logits(args)) => logits::run(&args),
        Some(Command::Tokenize(args)) => tokenize::run(&args),
        Some(Command::Quantize(args)) => quantize::run(&args),
        Some(Command::Bench(args)) => bench::run(&args),
        #[cfg(feature = "demo")]
        Some(Command::EvalDemo(args)) => eval_demo::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has read enough.
        Err(Failure::ClosedPipe) => ExitCode::SUCCESS,
        // 128 + SIGINT, as a shell reports it.
        Err(Failure::Interrupted) => ExitCode::from(130),
        Err(Failure::Because(cause)) => {
            output::note(format_args!("error: {cause}\n"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(feature = "demo")]
fn tour() -> Result<(), Failure> {
    tour::run()
}

/// Without a model inside there is nothing to show, and the parser has printed the help.
#[cfg(not(feature = "demo"))]
fn tour() -> Result<(), Failure> {
    Ok(())
}
