"""Prefill and decode speed of ik_llama.cpp, as llama.py's of llama.cpp.

Needs the package ik-llama-cpp-python; how it was compiled decides what is measured.
"""

import ctypes
import sys

import rates
from ik_llama_cpp import _ctypes_api as llama


@ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
def quiet(level, text, data):
    pass


def load(path, threads, positions):
    llama._lib.llama_log_set(quiet, None)
    llama.llama_backend_init()
    model = llama.llama_model_load_from_file(path.encode(), llama.llama_model_default_params())
    if not model:
        sys.exit(f"ik_llama.cpp cannot load {path}")
    params = llama.llama_context_default_params()
    params.n_ctx = positions
    params.n_threads = params.n_threads_batch = threads
    params.n_batch = params.n_ubatch = rates.BATCH
    params.flash_attn = True
    context = llama.llama_init_from_model(model, params)

    def take(tokens, position):
        array = (llama.llama_token * len(tokens))(*tokens)
        # One sequence, positions one after another; logits of the last token only.
        batch = llama.llama_batch(len(tokens), array, None, None, None, None, None, position, 1, 0)
        if llama.llama_decode(context, batch):
            sys.exit("llama_decode failed")

    def forget():
        llama.llama_kv_cache_clear(context)

    return llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model)), take, forget


if __name__ == "__main__":
    rates.main(load)
