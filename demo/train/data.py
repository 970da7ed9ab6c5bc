"""Samples from the Rust generator, the tokenizer, and rows packed full of samples."""

import json
import os
import re
import subprocess

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

BOS, EOS = 0, 1
# The pre-tokenizer that GGUF calls "qwen2": words with the sign before them, single digits, signs, line ends.
PRE = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def samples(binary, split, count, first=0):
    text = subprocess.run([binary, split, str(count), str(first)], check=True, capture_output=True, text=True).stdout
    # A line ends with \n alone: sentences of random signs may hold what splitlines() takes for an end.
    return [tuple(line.split("\t")) for line in text.split("\n") if line]


def train_tokenizer(pairs, vocab):
    """Byte-level BPE, of the sentences alone."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PRE), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=["<|begin_of_text|>", "<|end_of_text|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator((sentence + "\n" for sentence, _ in pairs), trainer)
    return tokenizer


def answer_pieces(schema):
    """What answers are made of: a property with its value is one piece, a time of the day two."""
    defs = json.loads(schema)["$defs"]
    command, condition = defs["command"]["properties"], defs["condition"]["properties"]
    pieces = ['{"action":"none"}']
    for start in ('{"action":', '[{"action":', ',{"action":'):
        pieces += [f'{start}"{name}"' for name in command["action"]["enum"]]
    for key in ("device", "unit", "color", "day"):
        pieces += [f',"{key}":"{name}"' for name in command[key]["enum"]]
    pieces += [f',"room":"{name}"' for name in defs["room"]["enum"]]
    pieces += [f',"time":"{name}"' for name in ("sunrise", "sunset")]
    pieces += [f',"time":"{hour:02}:' for hour in range(24)] + [f'{minute:02}"' for minute in range(60)]
    pieces += [',"value":', ',"delay":"', ',"duration":"', 's"', 'm"', 'h"', "}", "]"]
    pieces += [f',"if":{{"sensor":"{name}"' for name in condition["sensor"]["enum"]]
    pieces += [f',"is":"{name}"' for name in condition["is"]["enum"]]
    return pieces


class Vocabulary:
    """The BPE of the sentences, and behind it the pieces of answers.

    No merge makes such a piece, so encoding a text never gives one: a sentence cannot imitate an answer.
    """

    def __init__(self, tokenizer, schema):
        self.tokenizer = tokenizer
        self.texts = [text for text, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]
        ids = {text: i for i, text in enumerate(self.texts)}
        pieces = answer_pieces(schema)
        for piece in pieces:
            if piece not in ids:
                ids[piece] = len(self.texts)
                self.texts.append(piece)
        pieces = sorted([*pieces, *"0123456789"], key=len, reverse=True)
        self.ids = {piece: ids[piece] for piece in pieces}
        self.pattern = re.compile("|".join(map(re.escape, pieces)))

    def answer(self, text):
        found = self.pattern.findall(text)
        assert "".join(found) == text, text
        return [self.ids[piece] for piece in found]

    def encode(self, pairs):
        """For each pair the ids, BOS and EOS included, and how many of them are prompt."""
        prompts = self.tokenizer.encode_batch_fast([sentence + "\n" for sentence, _ in pairs], add_special_tokens=False)
        return [
            ([BOS, *p.ids, *self.answer(answer), EOS], 1 + len(p.ids)) for p, (_, answer) in zip(prompts, pairs)
        ]


class Rows:
    """An endless stream of batches: `rows` rows of `time` tokens, each packed with whole samples.

    Of the samples with at most one command only the share `simple` is taken: those with several are the hardest to
    learn, and the corpus has one of them in six.
    """

    def __init__(self, binary, vocabulary, rows, time, simple, chunk=8192):
        self.binary, self.vocabulary, self.rows, self.time, self.chunk = binary, vocabulary, rows, time, chunk
        self.simple, self.draws = simple, np.random.default_rng(0)
        self.index, self.queue, self.dropped = 0, [], 0

    def refill(self):
        pairs = samples(self.binary, "train", self.chunk, self.index)
        self.index += self.chunk
        taken = self.draws.random(len(pairs)) < self.simple
        pairs = [pair for pair, take in zip(pairs, taken) if take or pair[1].startswith("[")]
        for ids, prompt in self.vocabulary.encode(pairs):
            if len(ids) <= self.time:
                self.queue.append((ids, prompt))
            else:
                self.dropped += 1

    def batch(self):
        if len(self.queue) < self.rows * 12:
            self.refill()
        return pack(self.queue, self.rows, self.time)


def pack(queue, rows, time):
    """Takes samples off the end of `queue`, each into the first row with room for it, until many find none.

    Of the tokens that are learned, those of answers, the places are listed; the list has the same length for all
    batches, 45 % of the tokens, its end filled up with places of weight 0.
    """
    tokens = np.zeros((rows, time), np.int32)
    segments = np.full((rows, time), -1, np.int32)
    positions = np.zeros((rows, time), np.int32)
    room = rows * time * 45 // 100
    places, targets, owners = [], [], []
    fill, segment, refused = [0] * rows, 0, []
    while queue and len(refused) < 16:
        ids, prompt = queue.pop()
        n = len(ids) - 1
        row = next((r for r in range(rows) if fill[r] + n <= time), None)
        if row is None or len(places) + n + 1 - prompt > room:
            refused.append((ids, prompt))
            continue
        start = fill[row]
        tokens[row, start : start + n] = ids[:-1]
        segments[row, start : start + n], positions[row, start : start + n] = segment, np.arange(n)
        places += [row * time + start + i for i in range(prompt - 1, n)]
        targets += ids[prompt:]
        owners += [segment] * (n + 1 - prompt)
        fill[row] += n
        segment += 1
    queue.extend(reversed(refused))
    pad = [0] * (room - len(places))
    weights = np.array([1.0] * len(places) + pad, np.float32)
    lists = np.array(places + pad, np.int32), np.array(targets + pad, np.int32), weights
    return (tokens, segments, positions, *lists), owners


def merges_of(tokenizer):
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [m if isinstance(m, str) else " ".join(m) for m in merges]


HERE = os.path.dirname(os.path.abspath(__file__))


def default_binary():
    return os.path.join(HERE, "..", "..", "target", "release", "corpus")


def default_schema():
    return os.path.join(HERE, "..", "model", "schema.json")
