"""Prefill and decode speed of llama.cpp on one file: llama.py MODEL.gguf THREADS PROMPT DECODED, one JSON object out.

Needs the package llama-cpp-python; how it was compiled decides what is measured.
"""

import ctypes
import json
import sys
import time

import llama_cpp as llama


def main(path, threads, n_prompt, n_gen):
    @llama.llama_log_callback
    def quiet(level, text, data):
        pass

    llama.llama_log_set(quiet, ctypes.c_void_p(0))
    llama.llama_backend_init()
    model = llama.llama_model_load_from_file(path.encode(), llama.llama_model_default_params())
    if not model:
        sys.exit(f"llama.cpp cannot load {path}")
    params = llama.llama_context_default_params()
    params.n_ctx = n_prompt + n_gen + 8
    params.n_threads = params.n_threads_batch = threads
    params.n_batch = params.n_ubatch = 512
    context = llama.llama_init_from_model(model, params)
    vocab = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
    tokens = [(7919 * i + 1) % vocab for i in range(max(n_prompt, n_gen, 8))]

    def take(part):
        array = (llama.llama_token * len(part))(*part)
        if llama.llama_decode(context, llama.llama_batch_get_one(array, len(part))):
            sys.exit("llama_decode failed")

    def forget():
        llama.llama_memory_clear(llama.llama_get_memory(context), True)

    take(tokens[:8])
    rates = {}
    forget()
    start = time.perf_counter()
    for first in range(0, n_prompt, 512):
        take(tokens[first : min(first + 512, n_prompt)])
    rates["prefill"] = n_prompt / (time.perf_counter() - start)
    forget()
    start = time.perf_counter()
    for token in tokens[:n_gen]:
        take([token])
    rates["decode"] = n_gen / (time.perf_counter() - start)
    print(json.dumps(rates))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
