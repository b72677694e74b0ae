"""Byte-level BPE with SmolLM's way of cutting text (each digit alone, then GPT-2's pattern).

    python3 tokenizer.py OUT.json --seed 1 --size 1024      trains it on generated questions and answers
"""

import argparse
import collections
import json
import re

import numpy as np

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<end_of_utterance>", "<fake_token_around_image>", "<global-img>",
            "<image>"]
TEMPLATE = ("<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}{% if message['content'][0]['type'] == "
            "'image' %}{{':'}}{% else %}{{': '}}{% endif %}{% if message['content'] is string %}{{ message['content'] }}"
            "{% else %}{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
            "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}{% endif %}<end_of_utterance>\n"
            "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}")
CUT = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")


def byte_letters():
    """The letters that stand for the 256 bytes in the vocabulary of a byte-level BPE."""
    plain = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or 174 <= b <= 255]
    table = {b: chr(b) for b in plain}
    for i, b in enumerate(b for b in range(256) if b not in table):
        table[b] = chr(256 + i)
    return table


LETTERS = byte_letters()
TEXTS = 100000  # whose tokens are kept


def pieces(text):
    """The pieces of a text inside which tokens are merged."""
    for part in re.split(r"(\d)", text):
        for piece in CUT.findall(part):
            yield "".join(LETTERS[b] for b in piece.encode())


class Tokenizer:
    def __init__(self, tokens, merges):
        self.tokens, self.merges = tokens, merges
        self.ids = {t: i for i, t in enumerate(tokens)}
        self.rank = {tuple(m): i for i, m in enumerate(merges)}
        self.cache, self.texts = {}, {}
        self.split = re.compile("(" + "|".join(re.escape(s) for s in SPECIALS) + ")")
        self.bytes = {c: b for b, c in LETTERS.items()}

    @staticmethod
    def load(path):
        with open(path) as f:
            d = json.load(f)
        return Tokenizer(d["tokens"], [tuple(m) for m in d["merges"]])

    def save(self, path):
        with open(path, "w") as f:
            json.dump({"tokens": self.tokens, "merges": self.merges}, f, ensure_ascii=True, indent=0)

    def merge(self, piece):
        if piece not in self.cache:
            parts = list(piece)
            while len(parts) > 1:
                best = min(range(len(parts) - 1), key=lambda i: self.rank.get((parts[i], parts[i + 1]), 1 << 30))
                if (parts[best], parts[best + 1]) not in self.rank:
                    break
                parts[best:best + 2] = [parts[best] + parts[best + 1]]
            self.cache[piece] = [self.ids[p] for p in parts]
        return self.cache[piece]

    def encode(self, text):
        """The tokens of a text in which special tokens are recognised."""
        if text not in self.texts:  # training asks the same many times
            if len(self.texts) >= TEXTS:
                self.texts.clear()
            self.texts[text] = tuple(self.cut(text))
        return list(self.texts[text])

    def cut(self, text):
        out = []
        for part in self.split.split(text):
            if part in self.ids and part in SPECIALS:
                out.append(self.ids[part])
            else:
                for piece in pieces(part):
                    out += self.merge(piece)
        return out

    def decode(self, ids):
        out = bytearray()
        for i in ids:
            t = self.tokens[i]
            out += t.encode() if t in SPECIALS else bytes(self.bytes[c] for c in t)
        return out.decode("utf-8", "replace")


def train(texts, size):
    """Learns merges from texts until the vocabulary has `size` tokens."""
    counts = collections.Counter(p for t in texts for p in pieces(t))
    words = [(list(p), n) for p, n in sorted(counts.items())]
    newline = LETTERS[10]
    merges = [(newline, newline)]  # engines look for an empty line as one token
    tokens = SPECIALS + [LETTERS[b] for b in range(256)] + [newline * 2]
    while len(tokens) < size:
        pairs = collections.Counter()
        for parts, n in words:
            for pair in zip(parts, parts[1:]):
                pairs[pair] += n
        if not pairs:
            break
        best = max(pairs, key=lambda p: (pairs[p], p))
        merges.append(best)
        if best[0] + best[1] not in tokens:
            tokens.append(best[0] + best[1])
        for parts, _ in words:
            i = 0
            while i + 1 < len(parts):
                if (parts[i], parts[i + 1]) == best:
                    parts[i:i + 2] = [best[0] + best[1]]
                i += 1
    return Tokenizer(tokens, merges)


def corpus(seed, scenes):
    """Generated questions and answers, every wording in use, without the words that are only read."""
    import questions
    import scenes as drawing
    import wording
    rng = np.random.default_rng(seed)
    texts = []
    for i in range(scenes):
        _, scene, _ = drawing.draw((seed, 10 ** 6, i), 0.0)
        for _ in range(16):
            kind, q, a, _ = questions.ask(rng, scene)
            texts += [questions.vary(rng, q)] + ([" " + a] if kind not in ("word", "caption") else [])
    texts += [" " + wording.BLIND] * 50 + ["User: What", "Assistant: yes", "System: "] * 200
    texts += [v for q, a in wording.CHAT for v in (q, " " + a)] * 20
    return texts


def main():
    p = argparse.ArgumentParser(description="train the tokenizer")
    p.add_argument("out")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--size", type=int, default=1024)
    p.add_argument("--scenes", type=int, default=1500)
    a = p.parse_args()
    t = train(corpus(a.seed, a.scenes), a.size)
    t.save(a.out)
    print("%d tokens, %d merges" % (len(t.tokens), len(t.merges)))


if __name__ == "__main__":
    main()
