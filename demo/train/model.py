"""The network: a small Llama (RMSNorm, RoPE on interleaved pairs, grouped queries, SwiGLU, tied head), in JAX."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Config:
    vocab: int
    width: int = 256
    layers: int = 3
    heads: int = 8
    kv_heads: int = 2
    ffn: int = 512
    context: int = 256
    rope_base: float = 10000.0
    eps: float = 1e-5

    @property
    def head_dim(self):
        return self.width // self.heads


def init(cfg, seed):
    """Matrices are [layers, outputs, inputs], as GGUF stores them."""
    rng = np.random.default_rng(seed)
    kv = cfg.kv_heads * cfg.head_dim

    def normal(*shape, std):
        return jnp.asarray(rng.normal(0.0, std, shape), jnp.float32)

    d, layers = cfg.width, cfg.layers
    std, out_std = d**-0.5, d**-0.5 / (2 * layers) ** 0.5
    return {
        "token_embd": normal(cfg.vocab, d, std=0.02),
        "output_norm": jnp.ones(d),
        "attn_norm": jnp.ones((layers, d)),
        "ffn_norm": jnp.ones((layers, d)),
        "attn_q": normal(layers, d, d, std=std),
        "attn_k": normal(layers, kv, d, std=std),
        "attn_v": normal(layers, kv, d, std=std),
        "attn_output": normal(layers, d, d, std=out_std),
        "ffn_gate": normal(layers, cfg.ffn, d, std=std),
        "ffn_up": normal(layers, cfg.ffn, d, std=std),
        "ffn_down": normal(layers, d, cfg.ffn, std=out_std * (d / cfg.ffn) ** 0.5),
    }


def rms_norm(x, gain, eps):
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + eps) * gain


def rope(x, cos, sin):
    """Turns the pairs (0, 1), (2, 3), ... of each head, the `llama` convention of GGUF. x: [rows, time, heads, dim]."""
    pairs = x.reshape(*x.shape[:-1], -1, 2)
    a, b = pairs[..., 0], pairs[..., 1]
    c, s = cos[:, :, None, :], sin[:, :, None, :]
    return jnp.stack([a * c - b * s, a * s + b * c], -1).reshape(x.shape)


def forward(params, cfg, tokens, segments, positions):
    """Hidden states after the last norm, [rows, time, width]. A token sees those before it in its own segment."""
    rows, time = tokens.shape
    half = cfg.head_dim // 2
    freq = cfg.rope_base ** (-np.arange(half, dtype=np.float32) / half)
    angle = positions[..., None].astype(jnp.float32) * freq
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    causal = np.tril(np.ones((time, time), bool))
    seen = causal[None] & (segments[:, :, None] == segments[:, None, :])
    bias = jnp.where(seen, 0.0, -1e30)[:, None, None]
    group = cfg.heads // cfg.kv_heads

    x = params["token_embd"][tokens]
    for i in range(cfg.layers):
        h = rms_norm(x, params["attn_norm"][i], cfg.eps)
        q = rope((h @ params["attn_q"][i].T).reshape(rows, time, cfg.heads, -1), cos, sin)
        k = rope((h @ params["attn_k"][i].T).reshape(rows, time, cfg.kv_heads, -1), cos, sin)
        v = (h @ params["attn_v"][i].T).reshape(rows, time, cfg.kv_heads, -1)
        q = q.reshape(rows, time, cfg.kv_heads, group, cfg.head_dim)
        scores = jnp.einsum("rtkgd,rskd->rkgts", q, k) * cfg.head_dim**-0.5
        weights = jax.nn.softmax(scores + bias, -1)
        mixed = jnp.einsum("rkgts,rskd->rtkgd", weights, v).reshape(rows, time, -1)
        x = x + mixed @ params["attn_output"][i].T
        h = rms_norm(x, params["ffn_norm"][i], cfg.eps)
        x = x + (jax.nn.silu(h @ params["ffn_gate"][i].T) * (h @ params["ffn_up"][i].T)) @ params["ffn_down"][i].T
    return rms_norm(x, params["output_norm"], cfg.eps)


def logits(params, hidden):
    return hidden @ params["token_embd"].T
