"""Writes the model as GGUF in f32."""

import gguf
import numpy as np

from data import BOS, EOS, merges_of


def write(path, params, cfg, vocabulary):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("barre commands")
    writer.add_description("English commands for a house to one line of JSON")
    writer.add_license("MIT OR Apache-2.0")
    writer.add_context_length(cfg.context)
    writer.add_embedding_length(cfg.width)
    writer.add_block_count(cfg.layers)
    writer.add_feed_forward_length(cfg.ffn)
    writer.add_head_count(cfg.heads)
    writer.add_head_count_kv(cfg.kv_heads)
    writer.add_rope_dimension_count(cfg.head_dim)
    writer.add_rope_freq_base(cfg.rope_base)
    writer.add_layer_norm_rms_eps(cfg.eps)
    writer.add_vocab_size(cfg.vocab)
    writer.add_file_type(0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    kinds = gguf.TokenType
    writer.add_token_list(vocabulary.texts)
    writer.add_token_types([kinds.CONTROL if i in (BOS, EOS) else kinds.NORMAL for i in range(cfg.vocab)])
    writer.add_token_merges(merges_of(vocabulary.tokenizer))
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)

    def tensor(name, x):
        writer.add_tensor(name, np.ascontiguousarray(np.asarray(x, np.float32)))

    tensor("token_embd.weight", params["token_embd"])
    for i in range(cfg.layers):
        for role in ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down"):
            tensor(f"blk.{i}.{role}.weight", params[role][i])
    tensor("output_norm.weight", params["output_norm"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
