//! The model inside barre: a command for a house in, one line of JSON out.

use super::args::{MachineArgs, SessionArgs};
use super::output::{Failure, note};
use super::schema;
use super::trace::DispatchTrace;
use barre::constrained::{Error, complete};
use barre::engine::Engine;
use barre::in_memory::InMemory;
use barre_core::constrain::{Constraint, Schema, TokenIndex};
use barre_core::kernels::{Executor as _, Trace};
use barre_core::sampler::{Sampler, SamplerParams};
use barre_core::session::Session;
use barre_core::tokenizer::{EncodeOptions, EncodeScratch, Tokenizer};
use barre_demo::{MAX_OUTPUT_TOKENS, MODEL, SCHEMA};
use serde_json::json;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What `barre run` asks of the model inside.
pub(super) struct Request<'a> {
    pub(super) text: Vec<u8>,
    pub(super) schema: Option<&'a Path>,
    pub(super) most_tokens: usize,
    pub(super) sampling: SamplerParams,
    pub(super) trace_dispatch: bool,
    /// The figures as JSON.
    pub(super) json: bool,
}

pub(super) fn run(
    request: &Request<'_>,
    session: &SessionArgs,
    machine: &MachineArgs,
    interrupted: &AtomicBool,
) -> Result<(), Failure> {
    let start = Instant::now();
    let engine = InMemory::open(MODEL, machine.isa(), machine.threads)?;
    let tokenizer = engine.tokenizer()?;
    let (schema, most) = match request.schema {
        Some(path) => (schema::read(path)?, request.most_tokens),
        None => (own_schema()?, request.most_tokens.min(MAX_OUTPUT_TOKENS)),
    };
    let index = TokenIndex::new(&tokenizer)?;
    let constraint = Constraint::new(&schema, &index)?;
    let plan = engine.plan(&session.apply(engine.limits(session.mode.into())))?;
    let mut arena = Engine::arena(&plan)?;
    let trace = DispatchTrace::default();
    let traced = DispatchTrace::wanted(request.trace_dispatch);
    let mut session = engine.session(&plan, arena.bytes_mut())?;
    session.set_trace(traced.then_some(&trace as &dyn Trace));
    let sampler = Sampler::new(request.sampling, tokenizer.len())?;
    let mut translator = Translator::new(session, &tokenizer, constraint, sampler, most);
    let load = start.elapsed();

    let outcome = translator.translate(&request.text, || !interrupted.load(Ordering::Relaxed));
    if traced {
        trace.summary(engine.model());
    }
    schema::write_output(outcome)?;
    let constraint_bytes = schema.bytes() + index.bytes() + translator.constraint.bytes();
    if request.json {
        let part =
            |(tokens, time): (usize, Duration)| json!({"tokens": tokens, "seconds": time.as_secs_f64()});
        let figures = json!({
            "isa": engine.kernels().isa().name(),
            "threads": engine.pool().threads(),
            "load_seconds": load.as_secs_f64(),
            "prefill": part(translator.prefill),
            "decode": part(translator.decode),
            "model_bytes": MODEL.len(),
            "arena_bytes": plan.bytes(),
            "constraint_bytes": constraint_bytes,
        });
        note(format_args!("{figures}\n"));
        return Ok(());
    }
    note(format_args!(
        "{}, {} threads | load {:.1} ms | {} | model {:.2} MB, arena {:.2} MB, constraint {:.2} MB\n",
        engine.kernels().isa(),
        engine.pool().threads(),
        load.as_secs_f64() * 1e3,
        translator.speed(),
        mb(MODEL.len()),
        mb(plan.bytes()),
        mb(constraint_bytes),
    ));
    Ok(())
}

/// The schema of the model's answers.
pub(super) fn own_schema() -> Result<Schema, Failure> {
    Ok(Schema::parse(SCHEMA.as_bytes())?)
}

pub(super) fn mb(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

/// A session of the demo model, one sentence after another.
pub(super) struct Translator<'a, 'b> {
    session: Session<'a, &'b [u8]>,
    tokenizer: &'a Tokenizer,
    pub(super) constraint: Constraint<'a>,
    sampler: Sampler,
    most: usize,
    scratch: EncodeScratch,
    text: Vec<u8>,
    prompt: Vec<u32>,
    /// Tokens and time of the latest sentence.
    prefill: (usize, Duration),
    decode: (usize, Duration),
}

impl<'a, 'b> Translator<'a, 'b> {
    /// At most `most` tokens an answer.
    pub(super) fn new(
        session: Session<'a, &'b [u8]>,
        tokenizer: &'a Tokenizer,
        constraint: Constraint<'a>,
        sampler: Sampler,
        most: usize,
    ) -> Self {
        Self {
            session,
            tokenizer,
            constraint,
            sampler,
            most,
            scratch: EncodeScratch::default(),
            text: Vec::new(),
            prompt: Vec::new(),
            prefill: Default::default(),
            decode: Default::default(),
        }
    }

    /// The line of JSON for `sentence`. `go_on` is asked before every token.
    pub(super) fn translate(
        &mut self,
        sentence: &[u8],
        mut go_on: impl FnMut() -> bool,
    ) -> Result<String, Error> {
        self.text.clear();
        self.text.extend(barre_demo::prompt(sentence));
        self.prompt.clear();
        // What looks like a control token in a sentence is a part of the sentence.
        let options = EncodeOptions { add_special: true, parse_special: false };
        self.tokenizer.encode(&self.text, options, &mut self.scratch, &mut self.prompt)?;
        if self.tokenizer.added_eos().is_some() {
            self.prompt.pop();
        }
        self.session.reset();
        let start = Instant::now();
        self.session.prefill(&self.prompt)?;
        self.prefill = (self.prompt.len(), start.elapsed());
        let start = Instant::now();
        self.decode.0 = 0;
        let Self { session, tokenizer, constraint, sampler, most, decode, .. } = self;
        let output = complete(session, tokenizer, constraint, sampler, *most, || {
            decode.0 += 1;
            go_on()
        });
        decode.1 = start.elapsed();
        output
    }

    /// The figures of the latest sentence.
    pub(super) fn speed(&self) -> String {
        let part = |(tokens, time): (usize, Duration)| {
            let rate = if tokens == 0 { 0.0 } else { tokens as f64 / time.as_secs_f64() };
            format!("{tokens} tokens, {rate:.0} tokens/s")
        };
        format!("prefill {} | decode {}", part(self.prefill), part(self.decode))
    }
}
