"""Trains the demo's model from nothing: tokenizer, network, GGUF file, loss curve.

Muon (Jordan et al., 2024) for the matrices of the layers, Adam for the rest; warmup, a constant rate, a linear
decay to zero. Everything is seeded: two runs on one kind of machine give the same bytes. Another CPU may sum in another order.
"""

import argparse
import json
import os
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import data
import export
import model

MATRICES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


def orthogonal(g):
    """Newton-Schulz iteration towards the nearest matrix with singular values near 1; the last two axes."""
    tall = g.shape[-2] > g.shape[-1]
    x = jnp.swapaxes(g, -1, -2) if tall else g
    x = x / (jnp.linalg.norm(x, axis=(-2, -1), keepdims=True) + 1e-7)
    for _ in range(4):
        a = x @ jnp.swapaxes(x, -1, -2)
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    return jnp.swapaxes(x, -1, -2) if tall else x


def update(params, grads, state, step, rate, decay):
    new_params, new_state = {}, {}
    for name, p in params.items():
        g = grads[name]
        if name in MATRICES:
            m = 0.95 * state[name] + g
            # The factor gives the update the RMS that Adam's has, so that one rate serves both.
            direction = orthogonal(g + 0.95 * m) * (0.2 * max(p.shape[-2:]) ** 0.5)
            new_state[name] = m
        else:
            m, v = state[name]
            m, v = 0.9 * m + 0.1 * g, 0.98 * v + 0.02 * g * g
            direction = (m / (1 - 0.9**step)) / (jnp.sqrt(v / (1 - 0.98**step)) + 1e-8)
            new_state[name] = (m, v)
        shrink = decay if p.ndim > 1 and not name.endswith("norm") else 0.0
        new_params[name] = p - rate * (direction + shrink * p)
    return new_params, new_state


def answer_logits(params, cfg, batch):
    tokens, segments, positions, places = batch[:4]
    hidden = model.forward(params, cfg, tokens, segments, positions)
    return model.logits(params, hidden.reshape(-1, cfg.width)[places])


def loss_of(params, cfg, batch):
    targets, weights = batch[4:]
    logp = jax.nn.log_softmax(answer_logits(params, cfg, batch), -1)
    nll = -jnp.take_along_axis(logp, targets[:, None], -1)[:, 0]
    return jnp.sum(nll * weights) / jnp.sum(weights)


@partial(jax.jit, static_argnums=(2,), donate_argnums=(0, 1))
def train_step(params, state, cfg, batch, step, rate, decay):
    loss, grads = jax.value_and_grad(loss_of)(params, cfg, batch)
    norm = jnp.sqrt(sum(jnp.sum(g * g) for g in grads.values()))
    grads = {k: g * jnp.minimum(1.0, 1.0 / norm) for k, g in grads.items()}
    params, state = update(params, grads, state, step, rate, decay)
    return params, state, loss


@partial(jax.jit, static_argnums=(1,))
def right_tokens(params, cfg, batch):
    return jnp.argmax(answer_logits(params, cfg, batch), -1) == batch[4]


def exact_match(params, cfg, encoded, rows, time_len):
    """Share of samples whose every answer token is the likeliest one, which is what greedy decoding writes."""
    queue, right, count = list(encoded), 0, 0
    while queue:
        batch, owners = data.pack(queue, rows, time_len)
        ok, owners = np.asarray(right_tokens(params, cfg, batch))[: len(owners)], np.array(owners)
        n = owners.max() + 1
        right, count = right + n - len(np.unique(owners[~ok])), count + n
    return right / max(count, 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--decay-steps", type=int, default=None, help="steps of the linear decay [default: 30 %%]")
    parser.add_argument("--minutes", type=float, default=None, help="decay so as to end after so long, if --steps would not")
    parser.add_argument("--init", default=None, help="params.npz to go on from, without warmup")
    parser.add_argument("--first", type=int, default=0, help="first sample of the training split")
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--weight-decay", type=float, default=0.05)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--time", type=int, default=96)
    parser.add_argument("--vocab", type=int, default=960, help="tokens of the BPE")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--simple", type=float, default=0.55, help="share of the samples with at most one command that is taken")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", default=data.default_binary(), help="the generator's binary")
    parser.add_argument("--schema", default=data.default_schema())
    parser.add_argument("--out", required=True, help="folder of what is written")
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    began = time.time()

    tokenizer = data.train_tokenizer(data.samples(args.corpus, "train", 60000), args.vocab)
    with open(args.schema) as schema:
        vocabulary = data.Vocabulary(tokenizer, schema.read())
    tokenizer.save(os.path.join(args.out, "tokenizer.json"))
    cfg = model.Config(vocab=len(vocabulary.texts), layers=args.layers)
    params = model.init(cfg, args.seed)
    state = {k: jnp.zeros_like(p) if k in MATRICES else (jnp.zeros_like(p),) * 2 for k, p in params.items()}
    # Donated buffers may not be shared.
    state = jax.tree.map(jnp.array, state)
    print(f"{sum(p.size for p in params.values())} parameters, {cfg}", flush=True)
    tests = {}
    for split in ("test_combinations", "test_phrasings"):
        encoded = vocabulary.encode(data.samples(args.corpus, split, 1500))
        tests[split] = [e for e in encoded if len(e[0]) <= args.time]

    rows = data.Rows(args.corpus, vocabulary, args.rows, args.time, args.simple)
    decay_steps = args.decay_steps or args.steps * 3 // 10
    rows.index = args.first
    if args.init:
        params = {k: jnp.asarray(p) for k, p in np.load(args.init).items()}
    warmup, total = 1 if args.init else 60, args.steps
    log, tokens, smooth = [], 0, None
    step = 0
    while step < total:
        step += 1
        left = (total - step + 1) / decay_steps
        if args.minutes:
            seconds = time.time() - began
            left = min(left, max(0.0, 1 - seconds / (60 * args.minutes)))
            if left == 0.0:
                total = step
        batch, _ = rows.batch()
        rate = args.rate * min(1.0, step / warmup, left)
        params, state, loss = train_step(params, state, cfg, batch, float(step), rate, args.weight_decay)
        loss = float(loss)
        tokens += int((batch[1] >= 0).sum())
        smooth = loss if smooth is None else 0.95 * smooth + 0.05 * loss
        log.append((step, tokens, loss))
        if step % 25 == 0:
            seconds = time.time() - began
            print(f"step {step}/{total} samples {rows.index} tokens {tokens} loss {smooth:.4f} rate {rate:.2e} {tokens / seconds:.0f} tokens/s {seconds:.0f} s", flush=True)
        if step % 200 == 0 or step == total:
            for name, encoded in tests.items():
                part = encoded if step == total else encoded[:500]
                print(f"  {name}: exact {exact_match(params, cfg, part, args.rows, args.time):.4f}", flush=True)
            np.savez(os.path.join(args.out, "params.npz"), **params)
    export.write(os.path.join(args.out, "commands-f32.gguf"), params, cfg, vocabulary)
    with open(os.path.join(args.out, "loss.json"), "w") as f:
        json.dump(log, f)
    draw(log, os.path.join(args.out, "loss.svg"))
    print(f"done in {time.time() - began:.0f} s, {rows.dropped} samples too long", flush=True)


def draw(log, path):
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "barre"
    from matplotlib import pyplot as plt

    steps, tokens, loss = (np.array(x, float) for x in zip(*log))
    n = max(1, len(loss) // 400)
    cut = len(loss) // n * n
    mean = lambda x: x[:cut].reshape(-1, n).mean(1)
    fig, ax = plt.subplots(figsize=(7, 3.5))
    ax.plot(mean(tokens) / 1e6, mean(loss), lw=1)
    ax.set(yscale="log", xlabel="million tokens", ylabel="loss of the answer (nats a token)")
    ax.grid(alpha=0.3, which="both")
    fig.tight_layout()
    fig.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
