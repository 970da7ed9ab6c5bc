"""What both of llama.cpp's kind are asked: how fast they take a prompt, and one token after another."""

import json
import sys
import time

BATCH = 512


def main(load):
    """Runs `load(path, threads, positions)`, which returns the size of the vocabulary, a function that takes a list of
    tokens at a position, and one that forgets them all; prints tokens a second as JSON."""
    path, (threads, n_prompt, n_gen) = sys.argv[1], map(int, sys.argv[2:5])
    vocab, take, forget = load(path, threads, n_prompt + n_gen + 8)
    tokens = [(7919 * i + 1) % vocab for i in range(max(n_prompt, n_gen, 8))]
    take(tokens[:8], 0)
    rates = {}
    forget()
    start = time.perf_counter()
    for first in range(0, n_prompt, BATCH):
        take(tokens[first : min(first + BATCH, n_prompt)], first)
    rates["prefill"] = n_prompt / (time.perf_counter() - start)
    forget()
    start = time.perf_counter()
    for position, token in enumerate(tokens[:n_gen]):
        take([token], position)
    rates["decode"] = n_gen / (time.perf_counter() - start)
    print(json.dumps(rates))
