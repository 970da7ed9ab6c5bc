//! `barre logits`: the logits of every position, for comparison with other engines.

use super::args::{MachineArgs, SessionArgs};
use super::output::{Failure, note};
use barre::engine::Engine;
use std::io::Write as _;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Model file (GGUF)
    #[arg(short, long, value_name = "FILE")]
    model: PathBuf,
    /// Token ids, separated by commas
    #[arg(long, value_name = "IDS", value_delimiter = ',', required = true)]
    tokens: Vec<u32>,
    /// File for the logits: row-major little-endian f32, one row a position
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    session: SessionArgs,
    #[command(flatten)]
    machine: MachineArgs,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let engine = args.machine.open(&args.model)?;
    let mut options = args.session.options(&engine, &args.machine.storage);
    options.context.get_or_insert(args.tokens.len().clamp(1, engine.model().hparams().context_length));
    let plan = engine.plan(&options)?;
    let mut arena = Engine::arena(&plan)?;
    let mut session = engine.session(&plan, &mut arena)?;

    let cannot = |e: std::io::Error| Failure::because(format!("cannot write {}: {e}", args.output.display()));
    let mut file = std::io::BufWriter::new(std::fs::File::create(&args.output).map_err(cannot)?);
    let mut written = Ok(());
    session.prefill_each(&args.tokens, &mut |_, logits| {
        for x in logits {
            if written.is_ok() {
                written = file.write_all(&x.to_le_bytes());
            }
        }
    })?;
    written.and_then(|()| file.flush()).map_err(cannot)?;
    note(format_args!("{} positions of {} logits\n", args.tokens.len(), engine.model().hparams().vocab_size));
    Ok(())
}
