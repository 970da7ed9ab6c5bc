//! Faults of the project's origin, kept from coming back at the level of whole models. (Those of the container are
//! with its own tests.)

use barre_core::gguf::Gguf;
use barre_core::kernels::{Kernels, KvType, Mode, Serial};
use barre_core::model::{Model, ModelError, TensorName};
use barre_core::quant::WeightFormat;
use barre_core::sampler::{SampleError, Sampler, SamplerParams};
use barre_tests::models::{Run, all_kernels, nmse};
use barre_tests::reference;
use barre_tests::synthetic::{LayerSpec, Rng, Spec, Synthetic, Tensor};

const TOKENS: [u32; 9] = [1, 5, 3, 3, 7, 0, 2, 6, 4];

fn exact(kernels: &Kernels, file: &[u8], tokens: &[u32]) -> Vec<f32> {
    let run = Run { mode: Mode::Exact, kv: KvType::F32, ..Run::new(kernels, &Serial) };
    run.logits(file, tokens)
}

/// How far the engine's logits, in exact mode with an f32 cache, are from the float64 forward pass.
fn error_against_float64(kernels: &Kernels, spec: &Spec, tokens: &[u32]) -> f64 {
    let model = spec.build();
    let truth: Vec<f32> = reference::logits(spec, &model, tokens).into_iter().map(|x| x as f32).collect();
    nmse(&exact(kernels, &model.file(), tokens), &truth)
}

fn load(model: &Synthetic) -> Result<Model, ModelError> {
    let file = model.file();
    let mut reader = &file[..];
    let gguf = Gguf::open(&mut reader).expect("a container");
    Model::load(&gguf, &mut reader)
}

/// The origin had 1e-5 in its code whatever the file said.
#[test]
fn epsilon_is_the_files_own() {
    let kernels = Kernels::scalar();
    let mut seen = Vec::new();
    for epsilon in [1e-6, 1e-5, 1e-2, 0.5] {
        let spec = Spec { epsilon, ..Spec::small() };
        let error = error_against_float64(&kernels, &spec, &TOKENS);
        assert!(error <= 1e-10, "{epsilon}: {error:e}");
        seen.push(exact(&kernels, &spec.build().file(), &TOKENS));
    }
    for (i, a) in seen.iter().enumerate() {
        for b in &seen[..i] {
            assert_ne!(a, b, "another epsilon, other logits");
        }
    }
    // Two that are far apart differ far more than rounding explains.
    assert!(nmse(&seen[0], &seen[3]) > 1e-4);
}

/// The origin read GGUF's `[k, n]` as `[n, k]`.
#[test]
fn the_first_dimension_is_the_inputs() {
    // TinyLlama's feed-forward gate: 2048 inputs, 5632 outputs, stored as [2048, 5632].
    let spec = Spec {
        vocab: 2,
        embedding: 2048,
        layers: vec![LayerSpec { heads: 32, heads_kv: 4, feed_forward: 5632 }],
        formats: vec![WeightFormat::F32],
        ..Spec::small()
    };
    let absent = |model: Synthetic, exchange: Option<&str>| {
        let tensors = model.tensors.iter().map(|t| match exchange == Some(&t.name) {
            true => Tensor::of(&t.name, &[t.dims[1], t.dims[0]], t.ggml_type, t.data.clone()),
            false => t.clone(),
        });
        Synthetic { tensors: tensors.collect(), ..model.clone() }
    };
    let built = spec.build();
    let model = load(&built).expect("a model");
    let shapes = model.layers()[0].matrices().map(|m| (m.name().as_str().to_owned(), m.k(), m.n()));
    let want = [
        ("blk.0.attn_q", 2048, 2048),
        ("blk.0.attn_k", 2048, 256),
        ("blk.0.attn_v", 2048, 256),
        ("blk.0.attn_output", 2048, 2048),
        ("blk.0.ffn_gate", 2048, 5632),
        ("blk.0.ffn_up", 2048, 5632),
        ("blk.0.ffn_down", 5632, 2048),
    ];
    assert_eq!(shapes, want.map(|(name, k, n)| (name.to_owned(), k, n)));
    for (stem, k, n) in want.into_iter().filter(|(_, k, n)| k != n) {
        let tensor = format!("{stem}.weight");
        let (k, n) = (k as u64, n as u64);
        let got = load(&absent(built.clone(), Some(&tensor))).expect_err("exchanged");
        let name = TensorName::new(&tensor);
        assert_eq!(got, ModelError::ShapeMismatch { tensor: name, want: [k, n], got: [n, k, 1, 1] });
        assert!(got.to_string().contains(&tensor), "{got}");
    }
}

/// The origin's sampler compared with `partial_cmp(..).unwrap_or(Equal)`, so a NaN gave an arbitrary token.
#[test]
fn a_nan_among_the_logits_is_an_error() {
    let file = Spec::small().build().poked("output.weight", 16 * 9, f32::NAN).file();
    for kernels in all_kernels() {
        let logits = exact(&kernels, &file, &TOKENS);
        let last = &logits[logits.len() - 32..];
        assert!(last[9].is_nan() && last.iter().filter(|x| x.is_nan()).count() == 1);
        for params in [SamplerParams::GREEDY, SamplerParams { top_k: 1, ..SamplerParams::default() }] {
            let mut sampler = Sampler::new(params, 32).expect("a sampler");
            assert_eq!(sampler.sample(last, &TOKENS), Err(SampleError::NonFiniteLogits { index: 9 }));
        }
    }
}

/// Models of every shape that the hyperparameters allow, and of some that nobody has made.
fn shapes() -> Vec<Spec> {
    let base = Spec::small();
    let layer = |heads, heads_kv, feed_forward| LayerSpec { heads, heads_kv, feed_forward };
    let mut specs = vec![
        Spec { tied: true, ..base.clone() },
        Spec { biases: true, ..base.clone() },
        Spec { rope_freqs: true, ..base.clone() },
        Spec { rope_factor: Some(4.0), ..base.clone() },
        Spec { rope_base: 500_000.0, rope_dims: Some(2), ..base.clone() },
        // Heads of 8, 20 and 80; one head for all, one for each.
        Spec { embedding: 64, layers: vec![layer(8, 1, 40); 2], ..base.clone() },
        Spec { embedding: 60, layers: vec![layer(3, 3, 100)], ..base.clone() },
        Spec { embedding: 320, layers: vec![layer(4, 2, 72)], ..base.clone() },
        // Heads that have nothing to do with the width.
        Spec { key_length: Some(10), value_length: Some(7), ..base.clone() },
        Spec { embedding: 17, key_length: Some(6), value_length: Some(12), ..base.clone() },
        Spec { key_length: Some(34), rope_dims: Some(16), ..base.clone() },
        // Every layer its own.
        Spec {
            layers: vec![layer(4, 2, 24), layer(8, 8, 40), layer(2, 1, 8), layer(6, 3, 1)],
            ..base.clone()
        },
        Spec { vocab: 9, embedding: 2, layers: vec![layer(1, 1, 1)], ..base.clone() },
    ];
    let mut rng = Rng(7);
    for seed in 0..12 {
        let heads_kv = 1 + rng.below(4);
        let layers = (0..1 + rng.below(3))
            .map(|_| layer(heads_kv * (1 + rng.below(4)), heads_kv, 1 + rng.below(90)))
            .collect();
        let key_length = 2 * (1 + rng.below(40));
        specs.push(Spec {
            vocab: 9 + rng.below(60),
            embedding: 1 + rng.below(100),
            key_length: Some(key_length),
            value_length: Some(1 + rng.below(90)),
            rope_dims: Some(2 * rng.below(key_length / 2 + 1)),
            rope_base: rng.one_of(&[100.0, 10_000.0, 1e6]),
            rope_factor: rng.one_of(&[None, Some(2.0), Some(0.5)]),
            epsilon: rng.one_of(&[1e-6, 1e-5, 1e-3]),
            layers,
            tied: rng.below(2) == 0,
            biases: rng.below(2) == 0,
            rope_freqs: false,
            seed,
            ..base.clone()
        });
    }
    specs
}

#[test]
fn exact_mode_is_the_float64_forward_pass_for_models_of_every_shape() {
    let specs = shapes();
    for kernels in all_kernels() {
        let mut worst = 0f64;
        for spec in &specs {
            let error = error_against_float64(&kernels, spec, &TOKENS);
            worst = worst.max(error);
            assert!(error <= 1e-10, "{}: {error:e} for {spec:?}", kernels.isa());
        }
        println!("{} shapes on {}: worst {worst:.1e}", specs.len(), kernels.isa());
    }
}

#[test]
fn exact_mode_is_the_float64_forward_pass_for_weights_of_every_format() {
    for format in WeightFormat::ALL {
        for kernels in all_kernels() {
            let error = error_against_float64(&kernels, &Spec::in_formats(&[format]), &TOKENS);
            println!("{format:5} {:8} {error:.1e}", kernels.isa());
            assert!(error <= 1e-10, "{format} on {}: {error:e}", kernels.isa());
        }
    }
    // All formats in one model, in an order that gives each layer's matrices different ones.
    let mixed = Spec {
        layers: vec![LayerSpec { heads: 4, heads_kv: 4, feed_forward: 256 }; 4],
        ..Spec::in_formats(&WeightFormat::ALL)
    };
    let error = error_against_float64(&Kernels::scalar(), &mixed, &TOKENS);
    assert!(error <= 1e-10, "mixed: {error:e}");
}
