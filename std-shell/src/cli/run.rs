//! `barre run`: continues a text.

use super::args::{MachineArgs, SessionArgs};
#[cfg(feature = "demo")]
use super::demo;
use super::figures::Figures;
use super::output::{Failure, note, of_file, write};
use super::progress::Bar;
use super::prompt_cache::CacheArgs;
use super::schema;
use super::trace::DispatchTrace;
use barre::constrained::complete;
use barre::engine::Engine;
use barre::source::{Reader, Source};
use barre_core::constrain::{Constraint, TokenIndex};
use barre_core::kernels::Trace;
use barre_core::sampler::{Sampler, SamplerParams};
use barre_core::session::{Progress, Session};
use barre_core::tokenizer::{DecodeOptions, Decoder, EncodeOptions, EncodeScratch, Tokenizer};
use std::ffi::OsString;
use std::num::ParseIntError;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime};

/// The temperature of a model that is not barre's own, as in llama.cpp.
const TEMPERATURE: f32 = 0.8;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Model file (GGUF) [default: the model inside barre, which makes JSON of a command for a house]
    #[arg(short, long, value_name = "FILE")]
    #[cfg_attr(not(feature = "demo"), arg(required = true))]
    model: Option<PathBuf>,
    /// The text to continue
    #[arg(value_name = "TEXT", conflicts_with_all = ["prompt", "file"])]
    text: Option<OsString>,
    /// The text to continue
    #[arg(short, long, value_name = "TEXT", conflicts_with = "file")]
    #[arg(required_unless_present_any = ["text", "file", "prompt_cache"])]
    prompt: Option<OsString>,
    /// A file with the text to continue, less one newline at its end
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Tokens to add; -1: until the model ends the text or the context is full
    #[arg(short = 'n', long = "predict", visible_alias = "n-predict", value_name = "N", default_value_t = -1)]
    #[arg(allow_negative_numbers = true)]
    predict: i64,
    /// Do not put the beginning-of-sequence token first, even where the vocabulary asks for it
    #[arg(long)]
    no_bos: bool,
    /// Take names of control tokens in the text as plain text
    #[arg(long)]
    no_parse_special: bool,
    /// Go on after a token that ends the text
    #[arg(long)]
    ignore_eos: bool,
    /// A JSON Schema that the output must satisfy: one line of JSON is written, or nothing
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// Write every matrix multiplication to stderr, and how many of the model's matrices were fused
    #[arg(long)]
    trace_dispatch: bool,
    /// Write the line of figures as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    session: SessionArgs,
    #[command(flatten)]
    cache: CacheArgs,
    #[command(flatten)]
    machine: MachineArgs,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Sampling")]
struct SamplingArgs {
    /// Temperature; 0 takes the likeliest token [default: 0.8, and 0 with the model inside barre]
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    temp: Option<f32>,
    /// Keep the K likeliest tokens; 0: all
    #[arg(long, value_name = "K", default_value_t = 40)]
    top_k: u32,
    /// Keep the likeliest tokens whose probabilities add up to P; 1: all
    #[arg(long, value_name = "P", default_value_t = 0.95, allow_negative_numbers = true)]
    top_p: f32,
    /// Keep tokens of at least P times the likeliest one's probability; 0: all
    #[arg(long, value_name = "P", default_value_t = 0.05, allow_negative_numbers = true)]
    min_p: f32,
    /// Factor against tokens seen lately; 1: none
    #[arg(long, value_name = "F", default_value_t = 1.0, allow_negative_numbers = true)]
    repeat_penalty: f32,
    /// How many tokens back "lately" reaches
    #[arg(long, value_name = "N", default_value_t = 64)]
    repeat_last_n: u32,
    /// Seed of the sampler; -1: from the clock
    #[arg(short, long, value_name = "S", default_value = "-1", value_parser = seed, allow_negative_numbers = true)]
    seed: u64,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let interrupted = Arc::new(AtomicBool::new(false));
    {
        let interrupted = Arc::clone(&interrupted);
        ctrlc::set_handler(move || {
            // The second one means it.
            if interrupted.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        })?;
    }

    let Some(model) = &args.model else {
        return without_file(args, &interrupted);
    };
    let start = Instant::now();
    let engine = args.machine.open(model)?;
    let tokenizer = engine.tokenizer().map_err(of_file(model))?;

    let mut sampler = Sampler::new(args.sampling.params(TEMPERATURE), tokenizer.len())?;
    let prompt = prompt_tokens(args, &tokenizer)?;
    let schema = args.schema.as_deref().map(schema::read).transpose()?;
    let index = schema.is_some().then(|| TokenIndex::new(&tokenizer)).transpose()?;
    let mut constraint = match (&schema, &index) {
        (Some(schema), Some(index)) => Some(Constraint::new(schema, index)?),
        _ => None,
    };
    let plan = engine.plan(&args.session.options(&engine, &args.machine.storage))?;
    let mut arena = Engine::arena(&plan)?;
    let trace = DispatchTrace::default();
    let traced = DispatchTrace::wanted(args.trace_dispatch);
    let mut session = engine.session(&plan, &mut arena)?;
    session.set_trace(traced.then_some(&trace as &dyn Trace));
    let mut figures = Figures { load: start.elapsed(), ..Figures::default() };

    let has_prompt = args.prompt.is_some() || args.text.is_some() || args.file.is_some();
    let prompt = args.cache.restore(&mut session, prompt, has_prompt)?;
    if prompt.is_empty() {
        return Err(Failure::because("the prompt has no tokens"));
    }
    if let Some(constraint) = &constraint {
        let prompt = session.position() + prompt.len();
        schema::check_room(constraint, plan.limits().context, prompt, args.most_tokens())?;
    }
    let outcome = prefill(&engine, &mut session, &prompt, &interrupted, &mut figures).and_then(|()| {
        unchanged(model, engine.source())?;
        if !args.cache.keeps_all() {
            args.cache.save(&mut session)?;
        }
        let outcome = match &mut constraint {
            None => decode(args, &engine, &tokenizer, &mut sampler, &mut session, &interrupted, &mut figures),
            Some(constraint) => {
                let (start, read) = (Instant::now(), engine.source().figures());
                let most = args.most_tokens();
                let json = complete(&mut session, &tokenizer, constraint, &mut sampler, most, || {
                    figures.decode.0 += 1;
                    !interrupted.load(Ordering::Relaxed)
                });
                figures.decode.1 = start.elapsed();
                figures.read_by_decode = engine.source().figures() - read;
                unchanged(model, engine.source())?;
                schema::write_output(json)
            }
        };
        if args.cache.keeps_all() && !matches!(outcome, Err(Failure::Because(_))) {
            args.cache.save(&mut session)?;
        }
        outcome
    });
    if traced {
        trace.summary(engine.model());
    }
    if !matches!(outcome, Err(Failure::Because(_))) {
        if args.json {
            note(format_args!("{}\n", figures.json(&engine, &plan)));
        } else {
            figures.show(&engine, &plan);
        }
    }
    outcome
}

#[cfg(feature = "demo")]
fn without_file(args: &Args, interrupted: &AtomicBool) -> Result<(), Failure> {
    if args.cache.is_given() || args.machine.wants_a_file() {
        return Err(Failure::because(
            "--ram, --throttle, --io and --prompt-cache go with a model file: -m FILE",
        ));
    }
    let request = demo::Request {
        text: prompt_text(args)?,
        schema: args.schema.as_deref(),
        most_tokens: args.most_tokens(),
        sampling: args.sampling.params(0.0),
        trace_dispatch: args.trace_dispatch,
        json: args.json,
    };
    demo::run(&request, &args.session, &args.machine, interrupted)
}

/// Without a model inside, the parser has asked for a file.
#[cfg(not(feature = "demo"))]
fn without_file(_: &Args, _: &AtomicBool) -> Result<(), Failure> {
    Err(Failure::because("a model file is needed: -m FILE"))
}

impl Args {
    /// Tokens to add, however that was said.
    fn most_tokens(&self) -> usize {
        usize::try_from(self.predict).unwrap_or(usize::MAX)
    }
}

/// The prompt.
fn prompt_text(args: &Args) -> Result<Vec<u8>, Failure> {
    Ok(match (args.prompt.as_ref().or(args.text.as_ref()), &args.file) {
        (None, Some(path)) => {
            let cannot = |e| Failure::because(format!("cannot read {}: {e}", path.display()));
            let mut text = std::fs::read(path).map_err(cannot)?;
            if text.last() == Some(&b'\n') {
                text.pop();
            }
            text
        }
        (prompt, _) => prompt.cloned().unwrap_or_default().into_encoded_bytes(),
    })
}

/// The prompt's tokens.
fn prompt_tokens(args: &Args, tokenizer: &Tokenizer) -> Result<Vec<u32>, Failure> {
    let text = prompt_text(args)?;
    let options = EncodeOptions { add_special: !args.no_bos, parse_special: !args.no_parse_special };
    let mut tokens = Vec::new();
    tokenizer.encode(&text, options, &mut EncodeScratch::default(), &mut tokens)?;
    if options.add_special && tokenizer.added_eos().is_some() {
        // What ends a text for training must not end one that is to go on.
        tokens.pop();
    }
    Ok(tokens)
}

fn prefill(
    engine: &Engine,
    session: &mut Session<'_, Reader<'_>>,
    prompt: &[u32],
    interrupted: &AtomicBool,
    figures: &mut Figures,
) -> Result<(), Failure> {
    let start = Instant::now();
    let read = engine.source().figures();
    let mut bar = Bar::new();
    session.begin(prompt)?;
    while let Progress::Working { done, total } = session.advance()? {
        bar.update(done, total);
        if interrupted.load(Ordering::Relaxed) {
            return Err(Failure::Interrupted);
        }
    }
    figures.prefill = (prompt.len(), start.elapsed());
    figures.read_by_prefill = engine.source().figures() - read;
    Ok(())
}

/// Fails if another process has written to the model file: what was computed since then is of no model.
fn unchanged(model: &Path, source: &Source) -> Result<(), Failure> {
    if source.is_unchanged() {
        return Ok(());
    }
    Err(Failure::because(format!("{}: the file has changed while it was in use", model.display())))
}

fn decode(
    args: &Args,
    engine: &Engine,
    tokenizer: &Tokenizer,
    sampler: &mut Sampler,
    session: &mut Session<'_, Reader<'_>>,
    interrupted: &AtomicBool,
    figures: &mut Figures,
) -> Result<(), Failure> {
    let start = Instant::now();
    let read = engine.source().figures();
    let context = session.plan().limits().context;
    let mut decoder = Decoder::new(DecodeOptions { show_special: false, strip_space: false });
    let mut text = String::new();
    let mut allowed = Vec::new();
    let mut outcome = Ok(());
    let wanted = u64::try_from(args.predict).unwrap_or(u64::MAX);
    for left in (0..wanted).rev() {
        let logits = allow(tokenizer.suppressed(), session.logits(), &mut allowed);
        let token = sampler.sample(logits, session.tokens())?;
        if tokenizer.is_end_of_generation(token) && !args.ignore_eos {
            break;
        }
        text.clear();
        decoder.push(tokenizer, token, |part| text.push_str(part));
        write(&text)?;
        // A text that is kept has its last token too.
        if (left == 0 && !args.cache.keeps_all()) || session.position() == context {
            break;
        }
        if interrupted.load(Ordering::Relaxed) {
            outcome = Err(Failure::Interrupted);
            break;
        }
        session.step(token)?;
        if let Some(model) = &args.model {
            unchanged(model, engine.source())?;
        }
        figures.decode.0 += 1;
        figures.decode.1 = start.elapsed();
        figures.read_by_decode = engine.source().figures() - read;
    }
    text.clear();
    decoder.finish(|part| text.push_str(part));
    text.push('\n');
    write(&text).and(outcome)
}

/// `logits`, or a copy of them without the tokens that the file says should never be sampled.
fn allow<'l>(suppressed: &[u32], logits: &'l [f32], copy: &'l mut Vec<f32>) -> &'l [f32] {
    if suppressed.is_empty() {
        return logits;
    }
    copy.clear();
    copy.extend_from_slice(logits);
    for &token in suppressed {
        if let Some(logit) = copy.get_mut(token as usize) {
            *logit = f32::NEG_INFINITY;
        }
    }
    copy
}

/// A seed, or one from the clock for -1.
fn seed(text: &str) -> Result<u64, ParseIntError> {
    if text == "-1" {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        return Ok(now.map_or(0, |d| d.as_nanos() as u64));
    }
    text.parse()
}

impl SamplingArgs {
    fn params(&self, temperature: f32) -> SamplerParams {
        SamplerParams {
            temperature: self.temp.unwrap_or(temperature),
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repeat_penalty: self.repeat_penalty,
            repeat_last_n: self.repeat_last_n,
            seed: self.seed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_numbers_or_the_clock() {
        assert_eq!(seed("42"), Ok(42));
        assert!(seed("-1").is_ok_and(|s| s > 0));
        assert!(seed("-2").is_err() && seed("x").is_err());
    }

    #[test]
    fn suppressed_tokens_have_no_chance() {
        let mut copy = Vec::new();
        assert_eq!(allow(&[], &[1.0, 2.0], &mut copy), [1.0, 2.0]);
        assert_eq!(allow(&[1, 9], &[1.0, 2.0], &mut copy), [1.0, f32::NEG_INFINITY]);
    }
}
