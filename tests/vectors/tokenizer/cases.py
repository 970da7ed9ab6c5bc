#!/usr/bin/env python3
"""Encodes random texts with llama.cpp, for comparison (needs the PyPI package llama-cpp-python).

usage: cases.py VOCAB.gguf OUT.jsonl [--count N] [--seed S] [--short]
One JSON object a line: the text in hexadecimal (it need not be UTF-8), `add` (special tokens around it), `parse`
(names of special tokens in it), the ids. Before them, for tokens: the piece in hexadecimal and whether it
ends generation.
"""
import argparse
import ctypes
import json
import random

import llama_cpp as L

WORDS = """the quick brown fox it's I'VE we'll they'd you're 'S 'RE can't naïve façade Straße ÀÉÎ ﬁne ǅ Привет мир Ἀθήνα
šķērslis İstanbul 你好 世界 漢字かな カタカナ 한국어 สวัสดี नमस्ते العربية עברית ไทย မြန်မာ ខ្មែរ ಕನ್ನಡ 𝕳𝖊𝖑𝖑𝖔 𐐷 𐒰 ʰʲ ªº""".split()
NUMBERS = ["0", "1", "12", "123", "1234", "1234567", "3.14159", "1,000,000", "٣٤٥", "½", "Ⅷ", "①②", "१२३", "²³", "二〇", "０１２", "1e-9", "0x7F"]
SPACES = [" ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", " \n", "\n ", "\t\t ", "\u00a0", "\u2003", "\u3000", "\u0085", "\u2028", "\v", "\f",
          "\u200b", " \u00a0 ", "\u2581", " \u2581", "\r", "        "]
MARKS = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") + ["...", "!?", "--", "```", "==", "->", "，", "。", "「", "」", "“", "”", "’", "…", "€", "£", "©",
         "→", "∑", "＃", "～", "、", "￥", "'", "''", "' ", " '", "'s", "'ll ", "'LL", "'t", "ſ", "'ſ"]
EMOJI = ["💡", "🚀🚀", "👩‍👩‍👧", "🇩🇪", "❤️", "👍🏽", "⚠", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"]
COMBINING = ["e\u0301", "a\u0308\u0323", "\u0301", "\u20e3", "\u0900", "\u3099", "x\u200d", "\ufe0f"]
CONTROL = ["\0", "\x01", "\x1b[0m", "\x7f", "\x9f", "\ufeff", "\ue000", "\ufffd", "\uffff", "\U0010ffff", "\u0378", "\ud7ff"]
BYTES = [b"\x80", b"\xc3", b"\xe2\x82", b"\xc0\x80", b"\xed\xa0\x80", b"\xff", b"\xf0\x9f\x92", b"\xbf\xbf", b"\xe0\x80\x80", b"\xe0", b"\xf0"]


def random_char(rng):
    while True:
        c = rng.choice([rng.randrange(0x80), rng.randrange(0x800), rng.randrange(0x3000), rng.randrange(0x10000), rng.randrange(0x20000), rng.randrange(0x110000)])
        if not 0xD800 <= c < 0xE000:
            return chr(c)


def random_text(rng, pieces, specials, short):
    kinds = [
        lambda: rng.choice(WORDS), lambda: rng.choice(WORDS) + " ", lambda: " " + rng.choice(WORDS), lambda: rng.choice(NUMBERS),
        lambda: rng.choice(SPACES), lambda: rng.choice(SPACES) * rng.randrange(1, 9), lambda: rng.choice(MARKS), lambda: rng.choice(MARKS) * rng.randrange(1, 5),
        lambda: rng.choice(EMOJI), lambda: rng.choice(COMBINING), lambda: rng.choice(CONTROL), lambda: random_char(rng),
        lambda: rng.choice(pieces), lambda: rng.choice(pieces), lambda: rng.choice("abAB zZ") * rng.randrange(1, 9 if short else 60),
    ]
    if specials:
        kinds.append(lambda: rng.choice(specials))
        kinds.append(lambda: rng.choice(SPACES).encode() + rng.choice(specials) + rng.choice(SPACES).encode())
    if rng.random() < 0.1:
        kinds.append(lambda: rng.choice(BYTES))
        kinds.append(lambda: rng.choice(BYTES))
    if rng.random() < 0.5:  # a text of few kinds
        kinds = rng.sample(kinds, 3)
    parts = (rng.choice(kinds)() for _ in range(rng.choice([1, 2, 3, 5, 8] if short else [1, 2, 3, 5, 8, 20, 40])))
    return b"".join(p if isinstance(p, bytes) else p.encode("utf-8", "surrogatepass") for p in parts)


class Vocab:
    def __init__(self, path):
        self.log = L.llama_log_callback(lambda level, text, data: None)
        L.llama_log_set(self.log, ctypes.c_void_p(0))
        L.llama_backend_init()
        params = L.llama_model_default_params()
        params.vocab_only = True
        self.model = L.llama_model_load_from_file(path.encode(), params)
        assert self.model, f"llama.cpp refuses {path}"
        self.vocab = L.llama_model_get_vocab(self.model)

    def encode(self, text, add, parse):
        n = len(text) + 16
        buf = (L.llama_token * n)()
        count = L.llama_tokenize(self.vocab, text, len(text), buf, n, add, parse)
        assert count >= 0
        return list(buf[:count])

    def piece(self, token, special=True):
        buf = ctypes.create_string_buffer(1024)
        count = L.llama_token_to_piece(self.vocab, token, buf, len(buf), 0, special)
        return buf.raw[:count]

    def __len__(self):
        return L.llama_vocab_n_tokens(self.vocab)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("vocab")
    p.add_argument("out")
    p.add_argument("--count", type=int, default=3000)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--short", action="store_true")
    a = p.parse_args()
    v = Vocab(a.vocab)
    rng = random.Random(a.seed)
    special = [t for t in range(len(v)) if v.piece(t) and not v.piece(t, False)]
    user = [t for t in range(len(v)) if L.llama_vocab_get_attr(v.vocab, t) & L.LLAMA_TOKEN_ATTR_USER_DEFINED]
    specials = [v.piece(t) for t in special[:40] + special[-5:] + user[:40] + user[-5:]]
    pieces = [v.piece(rng.randrange(len(v))).decode("utf-8", "ignore") for _ in range(5000)]
    with open(a.out, "w") as out:
        for token in range(len(v)):
            if a.count >= 1000 or token % 7 == 0:
                out.write(json.dumps({"token": token, "piece": v.piece(token).hex(), "eog": L.llama_vocab_is_eog(v.vocab, token)}) + "\n")
        for i in range(a.count):
            text, add, parse = random_text(rng, pieces, specials, a.short), rng.random() < 0.3, rng.random() < 0.5
            out.write(json.dumps({"text": text.hex(), "add": add, "parse": parse, "ids": v.encode(text, add, parse)}) + "\n")


if __name__ == "__main__":
    main()
