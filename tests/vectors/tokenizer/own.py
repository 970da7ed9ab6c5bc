#!/usr/bin/env python3
"""Makes the vocabularies and golden vectors in this folder (needs the PyPI packages gguf and llama-cpp-python).

usage: own.py
own-spm.gguf, own-spm-spans.gguf (with tokens that span words) and own-bpe.gguf are small vocabularies trained on
the text below. *.jsonl are texts as llama.cpp (llama-cpp-python 0.3.36) encodes them, see cases.py; of own-bpe with
each pre-tokenizer.
"""
import collections
import pathlib
import re
import subprocess
import sys
import tempfile

import gguf

HERE = pathlib.Path(__file__).parent
PRE = ["default", "llama-bpe", "qwen2", "gpt-2", "falcon", "starcoder", "deepseek-coder", "deepseek-llm", "glm4"]
TEXT = """
A finger across all the strings of a guitar is a barre, and the chord that was played in one place is played in another. The hand moves, the
shape stays. It isn't easy at first: the strings buzz, the wrist is tired, and you'll think that it can't be done. Then it's done, and you've
forgotten that it was hard. They're many who'd say that we're slow to learn; I'd say that she's the teacher and he's the one who'll listen.
In 1999 there were 12 songs, in 2024 there are 365, and 3.14 of them are round. for (int i = 0; i < 100; i++) { x += a[i] * b[i]; }
def add(a, b):
    return a + b  # the sum of a and b
Der Finger liegt über allen Saiten, und die Töne klingen höher. Le doigt posé sur toutes les cordes, la main glisse et la musique continue où
l'on veut. El dedo cubre las cuerdas y la canción empieza de nuevo. Палец лежит на всех струнах, и звук становится выше. Το δάχτυλο πάνω στις
χορδές. 手指按住所有的琴弦，音就高了。指ですべての弦を押さえると、音が高くなります。손가락으로 모든 줄을 누르면 소리가 높아진다. الإصبع على كل الأوتار. उंगली सभी तारों पर है।
the the the and and and of of to to in in is is that that it it was was for for on on with with as as at at by by
"""


def merge_pairs(words, count):
    """The most frequent pair, again and again: [(left, right)]."""
    words = collections.Counter(tuple(w) for w in words)
    merges = []
    for _ in range(count):
        pairs = collections.Counter()
        for word, n in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += n
        if not pairs:
            break
        best = max(sorted(pairs), key=lambda p: pairs[p])
        merges.append(best)
        joined = collections.Counter()
        for word, n in words.items():
            out, i = [], 0
            while i < len(word):
                if word[i:i + 2] == best:
                    out.append(word[i] + word[i + 1])
                    i += 2
                else:
                    out.append(word[i])
                    i += 1
            joined[tuple(out)] += n
        words = joined
    return merges


def byte_chars():
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {**{b: chr(b) for b in printable}, **{b: chr(256 + i) for i, b in enumerate(others)}}


def writer(path):
    w = gguf.GGUFWriter(path, "llama")
    w.add_name(path.stem)
    w.add_block_count(1)
    w.add_context_length(64)
    w.add_embedding_length(32)
    w.add_feed_forward_length(32)
    w.add_head_count(1)
    w.add_layer_norm_rms_eps(1e-5)
    return w


def finish(w):
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.close()


def bpe(path, pre):
    chars = byte_chars()
    words = ["".join(chars[b] for b in w.encode()) for w in re.findall(r" ?\w+| ?[^\s\w]+|\s+", TEXT)]
    merges = merge_pairs(words, 700)
    tokens = list(dict.fromkeys([chars[b] for b in range(256)] + [a + b for a, b in merges]))
    tokens += ["<|endoftext|>", "<|user|>", "<|user|>>", "<|tool|>", "☃", "[PAD]"]
    types = [1] * (len(tokens) - 6) + [3, 3, 3, 4, 4, 4]
    w = writer(path)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(pre)
    w.add_token_list(tokens)
    w.add_token_types(types)
    w.add_token_merges([f"{a} {b}" for a, b in merges])
    w.add_bos_token_id(tokens.index("<|endoftext|>"))
    w.add_eos_token_id(tokens.index("<|endoftext|>"))
    finish(w)


def spm(path, pattern):
    words = re.findall(pattern, "▁" + TEXT.strip().replace("\n", " ").replace(" ", "▁"))
    merges = merge_pairs(words, 500)
    letters = collections.Counter("".join(words))
    pieces = list(dict.fromkeys([a + b for a, b in merges] + ["▁▁", "▁▁▁▁"] + [c for c, n in letters.most_common() if n > 1]))
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + pieces + ["<|user|>", "<|tool|>"]
    w = writer(path)
    w.add_tokenizer_model("llama")
    w.add_token_list(tokens)
    w.add_token_scores([0.0] * 259 + [-float(i // 2) for i in range(len(pieces))] + [0.0, 0.0])
    w.add_token_types([2, 3, 3] + [6] * 256 + [1] * len(pieces) + [3, 4])
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_unk_token_id(0)
    finish(w)


def cases(vocab, out):
    subprocess.run([sys.executable, HERE / "cases.py", vocab, out, "--count", "150", "--short"], check=True)


spm(HERE / "own-spm.gguf", "▁*[^▁]+")
spm(HERE / "own-spm-spans.gguf", "[^.,]+[.,]*")
bpe(HERE / "own-bpe.gguf", "llama-bpe")
for name in ["own-spm", "own-spm-spans"]:
    cases(HERE / f"{name}.gguf", HERE / f"{name}.jsonl")
with tempfile.TemporaryDirectory() as tmp:
    for pre in PRE:
        path = pathlib.Path(tmp) / "own-bpe.gguf"
        bpe(path, pre)
        cases(path, HERE / f"own-bpe.{pre}.jsonl")
