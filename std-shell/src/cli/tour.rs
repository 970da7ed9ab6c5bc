//! `barre` alone: what barre does, shown with the model inside.

use super::demo::{Translator, mb, own_schema};
use super::output::{Failure, write};
use barre::engine::Engine;
use barre::in_memory::InMemory;
use barre_core::constrain::{Constraint, TokenIndex};
use barre_core::kernels::{MatmulEvent, Mode, Trace};
use barre_core::sampler::{Sampler, SamplerParams};
use barre_demo::{MAX_OUTPUT_TOKENS, MODEL};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

const SENTENCE: &str = "please dim the bedroom lights to 30 percent at quarter past seven in the evening";

/// The matrices seen at work, and how many multiplications there were.
#[derive(Default)]
struct Seen {
    matrices: RefCell<BTreeSet<(String, &'static str)>>,
    multiplications: RefCell<usize>,
}

impl Trace for Seen {
    fn matmul(&self, event: &MatmulEvent<'_>) {
        self.matrices.borrow_mut().insert((event.tensor.to_owned(), event.format.name()));
        *self.multiplications.borrow_mut() += 1;
    }
}

pub(super) fn run() -> Result<(), Failure> {
    let engine = InMemory::open(MODEL, None, None)?;
    let tokenizer = engine.tokenizer()?;
    let schema = own_schema()?;
    let index = TokenIndex::new(&tokenizer)?;
    let constraint = Constraint::new(&schema, &index)?;
    let limits = engine.limits(Mode::Int8);
    let plan = engine.plan(&limits)?;

    let model = engine.model();
    let weights: u64 = engine.gguf().tensors().map(|t| t.elements()).sum();
    let mut formats = BTreeMap::new();
    for matrix in model.matrices() {
        *formats.entry(matrix.format().name()).or_insert(0usize) += 1;
    }
    let mut out = String::new();
    let _ = writeln!(
        out,
        "The model inside: {} layers, {:.2} million weights in {:.2} MB, used where they lie in the program.\n\
         Its {} matrices stay quantized: {}.\n",
        model.hparams().layers.len(),
        weights as f64 / 1e6,
        mb(MODEL.len()),
        model.matrices().count(),
        formats.iter().map(|(name, n)| format!("{n} in {name}")).collect::<Vec<_>>().join(", "),
    );
    let _ = writeln!(out, "Its memory is known before any of it is taken:\n");
    for region in plan.regions() {
        let _ = writeln!(out, "  {:<26} {:>9} bytes", region.name, region.bytes);
    }
    let _ = writeln!(out, "  {:<26} {:>9} bytes, for {} positions", "= arena", plan.bytes(), limits.context);
    let _ = writeln!(out, "  {:<26} {:>9} bytes", "tokenizer", tokenizer.bytes());
    let _ = writeln!(
        out,
        "  {:<26} {:>9} bytes, for a schema of {} states\n",
        "constraint",
        schema.bytes() + index.bytes() + constraint.bytes(),
        schema.states(),
    );
    write(&out)?;

    let mut arena = Engine::arena(&plan)?;
    let seen = Seen::default();
    let mut session = engine.session(&plan, arena.bytes_mut())?;
    session.set_trace(Some(&seen));
    let sampler = Sampler::new(SamplerParams::GREEDY, tokenizer.len())?;
    let mut translator = Translator::new(session, &tokenizer, constraint, sampler, MAX_OUTPUT_TOKENS);
    let json = translator.translate(SENTENCE.as_bytes(), || true)?;

    let fused = {
        let matrices = seen.matrices.borrow();
        let key = |m: &barre_core::model::Matrix| (m.name().as_str().to_owned(), m.format().name());
        model.matrices().filter(|m| matrices.contains(&key(m))).count()
    };
    write(&format!(
        "> {SENTENCE}\n{json}\n\n\
         At most {} bytes, whatever the model thinks: the schema's automaton lets no other text through.\n\
         fused: {fused} of {} matrices ran on a kernel of their own format, in {} multiplications\n\
         {} | {}\n\n\
         Your turn:  barre run \"turn the kitchen lights off in ten minutes\"\n\
         All else:   barre --help\n",
        schema.max_bytes(),
        model.matrices().count(),
        seen.multiplications.borrow(),
        engine.kernels().isa(),
        translator.speed(),
    ))
}
