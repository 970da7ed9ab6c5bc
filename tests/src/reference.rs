//! The llama forward pass in float64, written from the paper for clarity: what the engine's logits are held against.

use crate::synthetic::{Spec, Synthetic};

/// Logits of every position of `tokens`, `[tokens][vocab]`, from the dequantized weights of `model`, which `spec` made.
///
/// # Panics
/// If the model lacks a tensor that `spec` says it has.
#[must_use]
pub fn logits(spec: &Spec, model: &Synthetic, tokens: &[u32]) -> Vec<f64> {
    let get = |name: &str| model.values(name).map(|v| v.into_iter().map(f64::from).collect::<Vec<f64>>());
    let need = |name: &str| get(name).unwrap_or_else(|| panic!("{name} is missing"));
    let (d, key_len, value_len, n_rot) = (spec.embedding, spec.key_len(), spec.value_len(), spec.n_rot());
    let eps = f64::from(spec.epsilon);
    let embedding = need("token_embd.weight");
    let factors = get("rope_freqs.weight");

    let mut x: Vec<Vec<f64>> = tokens.iter().map(|&t| embedding[t as usize * d..][..d].to_vec()).collect();
    for (i, layer) in spec.layers.iter().enumerate() {
        let linear = |stem: &str, x: &[f64]| {
            let mut y = product(&need(&format!("blk.{i}.{stem}.weight")), x);
            if let Some(bias) = get(&format!("blk.{i}.{stem}.bias")) {
                add(&mut y, &bias);
            }
            y
        };
        let norm = need(&format!("blk.{i}.attn_norm.weight"));
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for (position, x) in x.iter_mut().enumerate() {
            let normed = rms_norm(x, &norm, eps);
            let mut q = linear("attn_q", &normed);
            let mut k = linear("attn_k", &normed);
            for head in q.chunks_exact_mut(key_len).chain(k.chunks_exact_mut(key_len)) {
                rotate(&mut head[..n_rot], position, spec, factors.as_deref());
            }
            keys.push(k);
            values.push(linear("attn_v", &normed));
            let group = layer.heads / layer.heads_kv;
            let mut mixed = Vec::new();
            for (head, q) in q.chunks_exact(key_len).enumerate() {
                let kv = head / group;
                let scores: Vec<f64> = keys
                    .iter()
                    .map(|k| dot(q, &k[kv * key_len..][..key_len]) / (key_len as f64).sqrt())
                    .collect();
                let weights = softmax(&scores);
                mixed.extend((0..value_len).map(|e| {
                    weights.iter().zip(&values).map(|(w, v)| w * v[kv * value_len + e]).sum::<f64>()
                }));
            }
            add(x, &linear("attn_output", &mixed));
        }
        let norm = need(&format!("blk.{i}.ffn_norm.weight"));
        for x in &mut x {
            let normed = rms_norm(x, &norm, eps);
            let gate = linear("ffn_gate", &normed);
            let up = linear("ffn_up", &normed);
            let hidden: Vec<f64> = gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect();
            add(x, &linear("ffn_down", &hidden));
        }
    }
    let norm = need("output_norm.weight");
    let head = get("output.weight").unwrap_or(embedding);
    let bias = get("output.bias");
    x.iter()
        .flat_map(|x| {
            let mut logits = product(&head, &rms_norm(x, &norm, eps));
            if let Some(bias) = &bias {
                add(&mut logits, bias);
            }
            logits
        })
        .collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(x: &mut [f64], y: &[f64]) {
    assert_eq!(x.len(), y.len());
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

/// Rows of `x.len()` weights times `x`.
fn product(matrix: &[f64], x: &[f64]) -> Vec<f64> {
    matrix.chunks_exact(x.len()).map(|row| dot(row, x)).collect()
}

fn rms_norm(x: &[f64], w: &[f64], eps: f64) -> Vec<f64> {
    let root = (dot(x, x) / x.len() as f64 + eps).sqrt();
    x.iter().zip(w).map(|(x, w)| x / root * w).collect()
}

fn softmax(x: &[f64]) -> Vec<f64> {
    let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exps: Vec<f64> = x.iter().map(|x| (x - max).exp()).collect();
    let sum: f64 = exps.iter().sum();
    exps.iter().map(|e| e / sum).collect()
}

/// Turns adjacent pairs.
fn rotate(head: &mut [f64], position: usize, spec: &Spec, factors: Option<&[f64]>) {
    let n_rot = head.len() as f64;
    for (i, pair) in head.chunks_exact_mut(2).enumerate() {
        let frequency = f64::from(spec.rope_base).powf(-2.0 * i as f64 / n_rot);
        let scaled = position as f64 / f64::from(spec.rope_factor.unwrap_or(1.0));
        let (sin, cos) = (scaled * frequency / factors.map_or(1.0, |f| f[i])).sin_cos();
        (pair[0], pair[1]) = (pair[0] * cos - pair[1] * sin, pair[0] * sin + pair[1] * cos);
    }
}
