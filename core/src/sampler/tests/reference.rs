//! The steps as one would write them down: everything listed, everything sorted, `libm`'s exponential.

use super::*;
use crate::sampler::chance::{Chance, Logits};
use crate::sampler::rng::Rng;
use std::collections::BTreeSet;
use std::format;

/// How near to a boundary a sum of probabilities may be for the other side to be right too.
const NEAR: f64 = 1e-6;

/// A token, its logit after the penalty, its likelihood as a multiple of the likeliest's.
#[derive(Clone, Copy, Debug)]
struct Token {
    id: u32,
    logit: f32,
    weight: f64,
}

fn weigh(tokens: &mut [Token], most: f32, temperature: f32) {
    for token in tokens {
        token.weight = libm::exp((f64::from(token.logit) - f64::from(most)) / f64::from(temperature));
    }
}

/// What the filters keep, in the order of the draw; and how many of the last tokens in order of rank may be kept or not.
struct Reference {
    kept: Vec<Token>,
    least: usize,
    most: usize,
    ranked: Vec<u32>,
}

fn reference(params: &SamplerParams, logits: &[f32], recent: &[u32]) -> Reference {
    let window = recent.len().saturating_sub(params.repeat_last_n as usize);
    let recent: BTreeSet<u32> = recent[window..].iter().copied().collect();
    let mut tokens: Vec<Token> = (0..)
        .zip(logits)
        .filter(|(_, logit)| **logit > f32::NEG_INFINITY)
        .map(|(id, &logit)| Token { id, logit, weight: 0.0 })
        .collect();
    for token in tokens.iter_mut().filter(|token| recent.contains(&token.id)) {
        token.logit = if token.logit <= 0.0 {
            (token.logit * params.repeat_penalty).max(f32::MIN)
        } else {
            (token.logit / params.repeat_penalty).min(f32::MAX)
        };
    }
    tokens.sort_by(|a, b| b.logit.partial_cmp(&a.logit).unwrap().then(a.id.cmp(&b.id)));
    let k = params.top_k as usize;
    let by_rank = k > 0 && k < logits.len();
    if by_rank {
        tokens.truncate(k);
    }
    let most = tokens[0].logit;
    weigh(&mut tokens, most, 1.0);
    let total: f64 = tokens.iter().map(|token| token.weight).sum();
    // Tokens kept for sure, kept, and kept perhaps.
    let count = |slack: f64| {
        let mut sum = 0.0;
        let mut len = tokens.len();
        if params.top_p < 1.0 {
            let want = (f64::from(params.top_p) + slack) * total;
            let reaches = |token: &Token| {
                sum += token.weight;
                sum >= want
            };
            len = tokens.iter().position(reaches).map_or(len, |last| last + 1);
        }
        if params.min_p > 0.0 {
            let bound = f64::from(params.min_p) * (1.0 - slack);
            len = len.min(tokens.iter().filter(|token| token.weight >= bound).count());
        }
        len.max(1)
    };
    let (least, exact, most_kept) = (count(-NEAR), count(0.0), count(NEAR));
    let ranked = tokens.iter().map(|token| token.id).collect();
    let mut kept = tokens;
    kept.truncate(exact);
    if !by_rank {
        kept.sort_by_key(|token| token.id);
    }
    if params.temperature > 0.0 {
        weigh(&mut kept, most, params.temperature);
    }
    Reference { kept, least, most: most_kept, ranked }
}

/// The ids that the sampler keeps, in the order of its draw.
fn kept(params: &SamplerParams, logits: &[f32], recent: &[u32]) -> Vec<u32> {
    let mut chance = Chance::new(0, logits.len()).unwrap();
    let window = recent.len().saturating_sub(params.repeat_last_n as usize);
    for &token in recent[window..].iter().filter(|_| params.repeat_penalty != 1.0) {
        if let Some(word) = chance.seen.get_mut(token as usize / 64) {
            *word |= 1 << (token % 64);
        }
    }
    let logits = Logits { all: logits, seen: &chance.seen, penalty: params.repeat_penalty };
    let (_, most) = chance.memory.survey(logits).unwrap();
    match chance.memory.filter(params, logits, most) {
        true => chance.memory.candidates.iter().map(|c| c.id()).collect(),
        false => (0..).zip(logits.all).filter(|(_, x)| **x > f32::NEG_INFINITY).map(|(id, _)| id).collect(),
    }
}

/// Whether the reference leaves no choice of what is kept.
fn check(params: SamplerParams, logits: &[f32], recent: &[u32]) -> bool {
    let case = || format!("{params:?}, {} logits, recent {recent:?}", logits.len());
    let want = reference(&params, logits, recent);
    let got = kept(&params, logits, recent);
    if want.least == want.most {
        let want: Vec<u32> = want.kept.iter().map(|token| token.id).collect();
        assert_eq!(got, want, "{}", case());
    } else {
        assert!((want.least..=want.most).contains(&got.len()), "{}", case());
        let first: BTreeSet<u32> = want.ranked[..got.len()].iter().copied().collect();
        assert_eq!(got.iter().copied().collect::<BTreeSet<u32>>(), first, "{}", case());
    }
    let mut sampler = sampler(params, logits.len() as u32);
    if params.temperature == 0.0 {
        assert_eq!(sampler.sample(logits, recent), Ok(want.ranked[0]), "{}", case());
        return want.least == want.most;
    }
    let mut rng = Rng::new(params.seed);
    let total: f64 = want.kept.iter().map(|token| token.weight).sum();
    for _ in 0..4 {
        let chosen = sampler.sample(logits, recent).unwrap();
        let at = rng.next_unit();
        if want.least != want.most {
            assert!(got.contains(&chosen), "{}", case());
            continue;
        }
        let place = want.kept.iter().position(|token| token.id == chosen).expect("a token that is kept");
        let before: f64 = want.kept[..place].iter().map(|token| token.weight).sum();
        let after = before + want.kept[place].weight;
        let (low, high) = (before / total - NEAR, after / total + NEAR);
        assert!(low <= at && at <= high, "{chosen} is {low} to {high}, not {at}: {}", case());
    }
    want.least == want.most
}

fn below(rng: &mut Rng, bound: usize) -> usize {
    (rng.next_unit() * bound as f64) as usize
}

/// Logits of one kind of several.
fn some_logits(rng: &mut Rng, len: usize) -> Vec<f32> {
    let spread = [0.0, 1e-6, 0.01, 1.0, 10.0, 300.0, 1e30][below(rng, 7)];
    let offset = [0.0, -20.0, 1e4, -1e30][below(rng, 4)];
    let excluded = [0.0, 0.0, 0.3, 0.999][below(rng, 4)];
    let steps = [0.0, 0.0, 3.0, 100.0][below(rng, 4)];
    let mut logits: Vec<f32> = (0..len)
        .map(|_| {
            if rng.next_unit() < excluded {
                return f32::NEG_INFINITY;
            }
            let mut x = (0..4).map(|_| rng.next_unit() - 0.5).sum::<f64>();
            if steps > 0.0 {
                x = libm::round(x * steps) / steps;
            }
            (x * spread + offset) as f32
        })
        .collect();
    if rng.next_unit() < 0.3 {
        // One or several far above.
        for _ in 0..=below(rng, 3) {
            let at = below(rng, len);
            logits[at] = ((spread + offset.abs()) * (1.0 + rng.next_unit())) as f32;
        }
    }
    if rng.next_unit() < 0.2 {
        for logit in logits.iter_mut().step_by(3) {
            *logit = if rng.next_unit() < 0.5 { 0.0 } else { -0.0 };
        }
    }
    let at = below(rng, len);
    if logits[at] == f32::NEG_INFINITY {
        logits[at] = offset as f32;
    }
    logits
}

#[test]
fn choices_are_those_of_the_plain_steps() {
    let mut rng = Rng::new(2026);
    let rounds = if cfg!(miri) { 20 } else { 4000 };
    let mut exact = 0;
    for round in 0..rounds {
        let len = match below(&mut rng, 4) {
            0 => 1 + below(&mut rng, 10),
            1 => 60 + below(&mut rng, 10),
            2 => 1 + below(&mut rng, 1000),
            _ => 1 + below(&mut rng, 8000),
        };
        let logits = some_logits(&mut rng, len);
        let penalty = [1.0, 1.0, 1.3, 0.7, 1e38][below(&mut rng, 5)];
        let params = SamplerParams {
            temperature: [0.0, 0.8, 1.0, 1.0, 3.0, 0.05, 1e-30, 1e30][below(&mut rng, 8)],
            top_k: [0, 0, 1, 5, 40, 100, 7999][below(&mut rng, 7)],
            top_p: [1.0, 1.0, 0.0, 0.3, 0.9, 0.95, 0.999, 0.999_999_94][below(&mut rng, 8)],
            min_p: [0.0, 0.0, 1e-30, 1e-4, 0.05, 0.7, 1.0][below(&mut rng, 7)],
            repeat_penalty: penalty,
            repeat_last_n: below(&mut rng, 80) as u32,
            seed: round,
        };
        let recent: Vec<u32> = (0..below(&mut rng, 100)).map(|_| below(&mut rng, len + 3) as u32).collect();
        exact += u64::from(check(params, &logits, &recent));
    }
    // The rest are boundaries among equal or nearly equal weights.
    assert!(exact > rounds * 3 / 4, "{exact} of {rounds}");
}
