"""Prefill and decode speed of llama.cpp on one file: llama.py MODEL.gguf THREADS PROMPT DECODED, one JSON object out.

Needs the package llama-cpp-python; how it was compiled decides what is measured.
"""

import ctypes
import sys

import llama_cpp as llama
import rates


@llama.llama_log_callback
def quiet(level, text, data):
    pass


def load(path, threads, positions):
    llama.llama_log_set(quiet, ctypes.c_void_p(0))
    llama.llama_backend_init()
    model = llama.llama_model_load_from_file(path.encode(), llama.llama_model_default_params())
    if not model:
        sys.exit(f"llama.cpp cannot load {path}")
    params = llama.llama_context_default_params()
    params.n_ctx = positions
    params.n_threads = params.n_threads_batch = threads
    params.n_batch = params.n_ubatch = rates.BATCH
    context = llama.llama_init_from_model(model, params)

    def take(tokens, position):
        array = (llama.llama_token * len(tokens))(*tokens)
        if llama.llama_decode(context, llama.llama_batch_get_one(array, len(tokens))):
            sys.exit("llama_decode failed")

    def forget():
        llama.llama_memory_clear(llama.llama_get_memory(context), True)

    return llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model)), take, forget


if __name__ == "__main__":
    rates.main(load)
