//! Weights that are no numbers, headers and weights of random bits: reported or run, never a panic, never passed over.

use barre_core::gguf::Gguf;
use barre_core::io::AbsOffset;
use barre_core::kernels::{Kernels, KvType, Mode, Serial};
use barre_core::model::{Limits, Model, Plan, WeightPlacement};
use barre_core::quant::WeightFormat;
use barre_core::sampler::{SampleError, Sampler, SamplerParams};
use barre_core::session::Session;
use barre_tests::models::{Run, all_kernels, arena};
use barre_tests::synthetic::{Rng, Spec, Synthetic};

fn small() -> Synthetic {
    Spec::small().build()
}

fn load(file: &[u8]) -> Model {
    let mut reader = file;
    let gguf = Gguf::open(&mut reader).expect("a container");
    Model::load(&gguf, &mut reader).expect("a model")
}

#[test]
fn numbers_that_are_none_are_reported_by_the_sampler() {
    let mut checked = 0;
    for kernels in all_kernels() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for tensor in [
                "output_norm.weight",
                "blk.0.attn_norm.weight",
                "blk.1.ffn_norm.weight",
                "blk.0.attn_q.weight",
                "blk.0.attn_k.weight",
                "blk.1.attn_v.weight",
                "blk.0.attn_output.weight",
                "blk.0.ffn_gate.weight",
                "blk.1.ffn_up.weight",
                "blk.1.ffn_down.weight",
                "output.weight",
            ] {
                // A logit of −∞ is a token excluded, which the sampler is there for.
                if tensor == "output.weight" && !bad.is_nan() {
                    continue;
                }
                let model = small().poked(tensor, 3, bad);
                reported(&format!("D11 {tensor} {bad}"), &kernels, &model);
                checked += 1;
            }
        }
    }
    println!("{checked} models with a number that is none");
}

/// Where a block keeps the scale and the offset that its format has as halves.
fn halves(format: WeightFormat) -> &'static [usize] {
    match format {
        WeightFormat::Q4_0 | WeightFormat::Q5_0 | WeightFormat::Q8_0 => &[0],
        WeightFormat::Q4_1 | WeightFormat::Q5_1 | WeightFormat::Q4_K | WeightFormat::Q5_K => &[0, 2],
        WeightFormat::Q2_K => &[80, 82],
        WeightFormat::Q3_K => &[108],
        WeightFormat::Q6_K => &[208],
        WeightFormat::F32 | WeightFormat::F16 | WeightFormat::BF16 | WeightFormat::Q8_K => &[],
    }
}

#[test]
fn scales_that_are_none_are_reported_by_the_sampler() {
    let mut checked = 0;
    for format in WeightFormat::ALL {
        let model = Spec::in_formats(&[format]).build();
        for kernels in all_kernels() {
            for bad in [f32::NAN, f32::INFINITY] {
                // The activations of the next matrices, which are quantized.
                for norm in ["blk.0.attn_norm.weight", "blk.1.ffn_norm.weight", "output_norm.weight"] {
                    reported(
                        &format!("D11 {format} {norm} {bad}"),
                        &kernels,
                        &model.clone().poked(norm, 77, bad),
                    );
                    checked += 1;
                }
            }
            for tensor in
                ["blk.0.attn_v.weight", "blk.1.ffn_down.weight", "output.weight", "token_embd.weight"]
            {
                for &at in halves(format) {
                    for half in [0x7e00u16, 0xfe01] {
                        // A block of row 3, which is one of the prompt's tokens.
                        let poked = model.clone().edit(tensor, |t| {
                            let row = format.row_bytes(t.dims[0] as usize).expect("whole blocks");
                            t.data[3 * row + at..][..2].copy_from_slice(&half.to_le_bytes());
                        });
                        reported(&format!("D07 {format} {tensor}"), &kernels, &poked);
                        checked += 1;
                    }
                }
            }
        }
    }
    println!("{checked} models with a scale or norm that is no number");
}

/// The logits of the last token are no numbers, and the sampler says so, greedy or not, in either mode.
#[track_caller]
fn reported(id: &str, kernels: &Kernels, model: &Synthetic) {
    for mode in [Mode::Int8, Mode::Exact] {
        reported_in(mode, id, kernels, model);
    }
}

#[track_caller]
fn reported_in(mode: Mode, id: &str, kernels: &Kernels, model: &Synthetic) {
    let file = model.file();
    let vocab = load(&file).hparams().vocab_size;
    let all = Run { mode, ..Run::new(kernels, &Serial) }.logits(&file[..], &[1, 2, 3]);
    let last = &all[all.len() - vocab..];
    assert!(last.iter().any(|x| !x.is_finite()), "{id}: {last:?}");
    for params in [SamplerParams::GREEDY, SamplerParams::default()] {
        let mut sampler = Sampler::new(params, u32::try_from(vocab).expect("few")).expect("a sampler");
        let got = sampler.sample(last, &[1, 2, 3]);
        assert!(matches!(got, Err(SampleError::NonFiniteLogits { .. })), "{id}: {got:?}");
    }
}

#[test]
fn a_frequency_factor_that_is_none_is_reported_by_the_sampler() {
    let model = Spec { rope_freqs: true, ..Spec::small() }.build();
    for kernels in all_kernels() {
        for bad in [f32::NAN, 0.0] {
            reported("D11 rope_freqs", &kernels, &model.clone().poked("rope_freqs.weight", 1, bad));
        }
    }
}

/// Takes tokens in where the file is a model and its plan is small: whether it was.
fn run_if_possible(file: &[u8]) -> bool {
    let mut reader = file;
    let Ok(gguf) = Gguf::open(&mut reader) else { return false };
    let Ok(model) = Model::load(&gguf, &mut reader) else { return false };
    let kernels = Kernels::scalar();
    let limits = Limits {
        context: model.hparams().context_length,
        batch: 4,
        kv: KvType::F16,
        mode: Mode::Int8,
        threads: 1,
        weights: WeightPlacement::Mapped,
    };
    // Whatever the header says of the context, the plan is made or refused.
    let whole = Plan::new(&model, &kernels, &limits);
    assert!(whole.is_ok_and(|p| p.bytes() > 0));
    let context = limits.context.min(4);
    let plan = Plan::new(&model, &kernels, &Limits { context, ..limits }).expect("a small plan");
    assert!(plan.bytes() < 1 << 26);
    let mut memory = arena(plan.bytes(), 0xff);
    let mut session =
        Session::new(&model, reader, &plan, memory.bytes_mut(), &kernels, &Serial).expect("a session");
    session.prefill(&[1, 2, 0][..context.min(3)]).expect("room");
    true
}

#[test]
fn every_bit_of_the_header_flipped() {
    let model =
        Spec { rope_freqs: true, vocab: 3, layers: vec![Spec::small().layers[0]], ..Spec::small() }.build();
    let sound = model.file();
    let header = model.header().len();
    let mut ran = 0;
    for bit in 0..8 * header {
        let mut file = sound.clone();
        file[bit / 8] ^= 1 << (bit % 8);
        ran += usize::from(run_if_possible(&file));
    }
    println!("{ran} of {} files were models still", 8 * header);
    // Names of tokens, values of floats, padding.
    assert!(ran > 0 && ran < 4 * header);
}

#[test]
fn weights_of_random_bits_run_or_are_reported() {
    let mut rng = Rng(3);
    let (mut runs, mut finite) = (0, 0);
    for format in WeightFormat::ALL {
        for round in 0..6 {
            let mut model = Spec { biases: true, ..Spec::in_formats(&[format]) }.build();
            for t in &mut model.tensors {
                // Once everything, then single bytes.
                let few = if round == 0 { t.data.len() } else { 1 + rng.below(3) };
                for _ in 0..few {
                    let at = rng.below(t.data.len());
                    t.data[at] = rng.bits() as u8;
                }
            }
            let file = model.file();
            for mode in [Mode::Int8, Mode::Exact] {
                let mut first: Option<Vec<f32>> = None;
                for kernels in all_kernels() {
                    let logits =
                        Run { mode, ..Run::new(&kernels, &Serial) }.logits(&file[..], &[1, 2, 3, 60]);
                    let mut sampler = Sampler::new(SamplerParams::default(), 64).expect("a sampler");
                    let sampled = sampler.sample(&logits[logits.len() - 64..], &[]);
                    let good = logits[logits.len() - 64..].iter().all(|x| x.is_finite());
                    assert!(!good || sampled.is_ok(), "{format}");
                    runs += 1;
                    finite += usize::from(good);
                    // The payload of a NaN is the processor's; which logits are none is not.
                    let same = |a: f32, b: f32| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
                    match &first {
                        None => first = Some(logits),
                        Some(want) => {
                            let same = logits.iter().zip(want).all(|(&a, &b)| same(a, b));
                            assert!(same, "{format} {mode:?} on {}", kernels.isa());
                        }
                    }
                }
            }
        }
    }
    println!("{runs} runs, {finite} with finite logits");
    assert!(finite > 0 && finite < runs);
}

#[test]
fn a_model_inside_a_larger_file_runs_at_any_address() {
    use WeightFormat::{BF16, F16, F32, Q2_K, Q3_K, Q4_0, Q4_K, Q5_1, Q6_K, Q8_0};
    let formats = [Q4_K, F16, Q8_0, Q6_K, F32, Q5_1, BF16, Q2_K, Q3_K, Q4_0];
    let sound = Spec { biases: true, ..Spec::in_formats(&formats) }.build().file();
    let kernels = all_kernels().pop().expect("scalar at least");
    let run = Run::new(&kernels, &Serial);
    let tokens = [1, 9, 60, 4];
    let want = run.logits(&sound[..], &tokens);
    for shift in 1..=33 {
        let larger = [&vec![0x5a; shift][..], &sound].concat();
        let mut reader = &larger[..];
        let gguf = Gguf::open_at(&mut reader, AbsOffset::new(shift as u64)).expect("a container");
        let model = Model::load(&gguf, &mut reader).expect("a model");
        let plan = Plan::new(&model, &kernels, &run.limits(4)).expect("a plan");
        let mut memory = arena(plan.bytes(), 0);
        let mut session =
            Session::new(&model, reader, &plan, memory.bytes_mut(), &kernels, &Serial).expect("a session");
        let mut got = Vec::new();
        session.prefill_each(&tokens, &mut |_, logits| got.extend_from_slice(logits)).expect("room");
        assert!(got == want, "M04: {shift} bytes before the file");
    }
}
