mod reference;

use super::*;
use std::vec;
use std::vec::Vec;

const PLAIN: SamplerParams = SamplerParams { temperature: 1.0, ..SamplerParams::GREEDY };

fn sampler(params: SamplerParams, n: u32) -> Sampler {
    Sampler::new(params, n).unwrap()
}

/// How often each token comes in `draws` draws.
fn counts(params: SamplerParams, logits: &[f32], recent: &[u32], draws: u32) -> Vec<u32> {
    let mut sampler = sampler(params, logits.len() as u32);
    let mut counts = vec![0; logits.len()];
    for _ in 0..draws {
        counts[sampler.sample(logits, recent).unwrap() as usize] += 1;
    }
    counts
}

#[test]
fn nan_in_logits_tolerated_by_the_sampler() {
    let bad = [f32::NAN, -f32::NAN, f32::INFINITY];
    for params in [SamplerParams::GREEDY, PLAIN, SamplerParams::default()] {
        for n in [1, 2, 100] {
            for index in [0, n / 2, n - 1] {
                for value in bad {
                    let mut logits = vec![1.0; n];
                    logits[index] = value;
                    let mut sampler = sampler(params, n as u32);
                    assert_eq!(sampler.sample(&logits, &[]), Err(SampleError::NonFiniteLogits { index }));
                }
            }
            let mut sampler = sampler(params, n as u32);
            let result = sampler.sample(&vec![f32::NEG_INFINITY; n], &[]);
            assert_eq!(result, Err(SampleError::NonFiniteLogits { index: 0 }));
        }
    }
}

#[test]
fn parameters_out_of_range_are_named() {
    let d = SamplerParams::default();
    let nan = f32::NAN;
    let bad = [
        ("temperature", SamplerParams { temperature: nan, ..d }),
        ("temperature", SamplerParams { temperature: -1.0, ..d }),
        ("temperature", SamplerParams { temperature: f32::INFINITY, ..d }),
        ("top_p", SamplerParams { top_p: nan, ..d }),
        ("top_p", SamplerParams { top_p: 2.0, ..d }),
        ("top_p", SamplerParams { top_p: -0.1, ..d }),
        ("min_p", SamplerParams { min_p: nan, ..d }),
        ("min_p", SamplerParams { min_p: 1.5, ..d }),
        ("repeat_penalty", SamplerParams { repeat_penalty: 0.0, ..d }),
        ("repeat_penalty", SamplerParams { repeat_penalty: nan, ..d }),
        ("repeat_penalty", SamplerParams { repeat_penalty: f32::INFINITY, ..d }),
    ];
    for (param, params) in bad {
        assert_eq!(Sampler::new(params, 10).err(), Some(SampleError::BadSampler { param }));
    }
    for temperature in [0.0, -0.0, 1e-30, 1e30] {
        assert!(Sampler::new(SamplerParams { temperature, ..d }, 10).is_ok());
    }
}

#[test]
fn greedy_takes_the_first_maximum() {
    let mut s = sampler(SamplerParams::GREEDY, 5);
    assert_eq!(s.sample(&[1.0, 3.0, -2.0, 3.0, 0.0], &[]), Ok(1));
    assert_eq!(s.sample(&[-0.0, 0.0, -1.0, 0.0, 0.0], &[]), Ok(0));
    assert_eq!(s.sample(&[f32::NEG_INFINITY, -1e38, -3e38, f32::MIN, f32::NEG_INFINITY], &[]), Ok(1));
    assert_eq!(s.sample(&[1.0; 4], &[]), Err(SampleError::LogitsLen { got: 4, want: 5 }));
}

#[test]
fn candidates_keep_logit_and_id_and_rank_by_both() {
    let values = [f32::MAX, 1.5, 1e-45, 0.0, -1e-45, -2.0, f32::MIN];
    for (id, &logit) in values.iter().enumerate() {
        let c = Candidate::new(logit, id);
        assert_eq!((c.logit(), c.id()), (logit, id as u32));
    }
    assert!(values.windows(2).all(|v| Candidate::new(v[0], 9) < Candidate::new(v[1], 0)));
    assert!(Candidate::new(-0.0, 3) < Candidate::new(0.0, 4));
}

#[test]
fn frequencies_follow_the_softmax() {
    let logits = [0.0, 1.0, 2.0, f32::NEG_INFINITY];
    let total: f64 = (0..3).map(|l| f64::from(l).exp()).sum();
    let draws = 100_000;
    let got = counts(PLAIN, &logits, &[], draws);
    for (l, &got) in [0.0f64, 1.0, 2.0].iter().zip(&got) {
        let p = l.exp() / total;
        let deviation = (f64::from(draws) * p * (1.0 - p)).sqrt();
        assert!((f64::from(got) - f64::from(draws) * p).abs() < 5.0 * deviation, "{got} at {p}");
    }
    assert_eq!(got[3], 0);
}

#[test]
fn each_filter_keeps_what_it_should() {
    // Probabilities 0.5, 0.25, 0.125, 0.0625, 0.0625.
    let logits = [2.0f32, 16.0, 8.0, 4.0, 2.0].map(f32::ln);
    let kept = |params| {
        let counts = counts(params, &logits, &[], 20_000);
        (0..5).filter(|&i| counts[i] > 0).collect::<Vec<_>>()
    };
    assert_eq!(kept(PLAIN), [0, 1, 2, 3, 4]);
    assert_eq!(kept(SamplerParams { top_k: 2, ..PLAIN }), [1, 2]);
    assert_eq!(kept(SamplerParams { top_k: 4, ..PLAIN }), [0, 1, 2, 3], "of equals the lower id");
    assert_eq!(kept(SamplerParams { top_k: 9, ..PLAIN }), [0, 1, 2, 3, 4]);
    assert_eq!(kept(SamplerParams { top_p: 0.0, ..PLAIN }), [1]);
    assert_eq!(kept(SamplerParams { top_p: 0.6, ..PLAIN }), [1, 2]);
    assert_eq!(kept(SamplerParams { top_p: 0.9, ..PLAIN }), [0, 1, 2, 3]);
    assert_eq!(kept(SamplerParams { top_p: 0.6, top_k: 3, ..PLAIN }), [1, 2]);
    assert_eq!(kept(SamplerParams { min_p: 0.2, ..PLAIN }), [1, 2, 3]);
    assert_eq!(kept(SamplerParams { min_p: 1.0, ..PLAIN }), [1]);
    assert_eq!(kept(SamplerParams { temperature: 1e-30, ..PLAIN }), [1]);
}

#[test]
fn the_penalty_counts_each_recent_token_once() {
    let params = SamplerParams { repeat_penalty: 2.0, repeat_last_n: 3, ..SamplerParams::GREEDY };
    let mut s = sampler(params, 4);
    let logits = [4.0, 3.0, 1.5, -1.0];
    assert_eq!(s.sample(&logits, &[]), Ok(0));
    assert_eq!(s.sample(&logits, &[0, 0, 0]), Ok(1));
    assert_eq!(s.sample(&logits, &[0, 1, 2]), Ok(0));
    assert_eq!(s.sample(&logits, &[0, 3, 3, 3]), Ok(0), "too long ago");
    assert_eq!(s.sample(&[-1.0, -1.5, -3.0, -2.5], &[0, 99, u32::MAX]), Ok(1));
    assert!(s.chance.seen.iter().all(|&w| w == 0));
    let mut s = sampler(SamplerParams { repeat_penalty: 1e38, repeat_last_n: 9, ..PLAIN }, 2);
    assert!(s.sample(&[-1e30, -1e30], &[0, 1]).is_ok(), "an overflow is not infinite");
}

#[test]
fn the_same_seed_gives_the_same_tokens_on_every_machine() {
    let logits: Vec<f32> = (0..1000).map(|i| (i * 7919 % 1000) as f32 / 125.0).collect();
    let params = SamplerParams { seed: 42, ..SamplerParams::default() };
    let tokens = |params| {
        let mut s = sampler(params, 1000);
        [(); 8].map(|()| s.sample(&logits, &[]).unwrap())
    };
    let plain = SamplerParams { temperature: 0.8, seed: 42, ..SamplerParams::GREEDY };
    let top_p = SamplerParams { temperature: 3.0, top_p: 0.5, ..plain };
    let min_p = SamplerParams { temperature: 3.0, min_p: 0.2, ..plain };
    assert_eq!([params, plain, top_p, min_p].map(tokens), GOLDEN, "fixed for all targets");
    assert_eq!(tokens(params), tokens(params));
    assert_ne!(tokens(params), tokens(SamplerParams { seed: 43, ..params }));
    let mut s = sampler(params, 1000);
    let first = s.sample(&logits, &[]).unwrap();
    assert!(s.sample(&[f32::NAN; 1000], &[]).is_err());
    s.reseed(42);
    assert_eq!(s.sample(&logits, &[]), Ok(first));
}

const GOLDEN: [[u32; 8]; 4] = [
    [963, 173, 25, 235, 198, 988, 346, 272],
    [88, 383, 670, 926, 988, 778, 718, 853],
    [87, 383, 680, 927, 988, 778, 717, 852],
    [88, 383, 680, 926, 989, 778, 718, 853],
];

#[test]
fn nothing_is_allocated_after_construction() {
    let mut s = sampler(SamplerParams { top_k: 0, ..SamplerParams::default() }, 5000);
    let logits: Vec<f32> = (0..5000).map(|i| (i % 97) as f32 / 10.0).collect();
    let (at, room) = (s.chance.memory.candidates.as_ptr(), s.chance.memory.candidates.capacity());
    for token in 0..50 {
        s.sample(&logits, &[token, token + 1]).unwrap();
    }
    assert_eq!((s.chance.memory.candidates.as_ptr(), s.chance.memory.candidates.capacity()), (at, room));
}
