"""Batches: a picture once, several questions about it after it, each of which sees the picture and itself."""

import glob
import json
import os

import numpy as np
import torch

import wording
from model import IMAGE_TOKENS
from questions import LESSON, ask, vary
from world import CLASSES, COLOUR_NAMES, GRID, PLACES, SIZE, SIZE_NAMES

IMAGE = "<image>" * IMAGE_TOKENS
# What stands around a picture: Hugging Face's processor, then what releases of llama.cpp make of it.
AROUND = ["<fake_token_around_image><global-img>", "<fake_token_around_image>\n<fake_token_around_image><global-img>",
          "\n\n<fake_token_around_image><global-img>"]


SINK = 3.0  # the weight of a row's first token beside each thing that is looked at, so that a sum of attention tells how many
ENGINES = 4  # the prefix that current llama.cpp makes when a prompt starts with the picture


class Packer:
    def __init__(self, tokenizer):
        self.t = tokenizer
        t = tokenizer
        self.image_id, self.end = t.ids["<image>"], t.ids["<end_of_utterance>"]
        self.prefixes = [t.encode("<|im_start|>User:" + space + around) + t.encode(IMAGE + "<fake_token_around_image>")
                         for around in AROUND for space in ("", " ")]
        self.after = t.encode("<end_of_utterance>\nAssistant:")
        self.next = t.encode("\nUser: ")[:-1]
        self.blind = t.encode("<|im_start|>User:")

    def row(self, rng, scene, count, prefix=None, asked=()):
        """One row: tokens, positions, segments, targets, where the picture is, (kind, first, last) per question, and looks.

        With a prefix the row is for evaluation: it has `asked`, (kind, question, answer) each, and nothing random.
        """
        p = self.prefixes[int(rng.integers(len(self.prefixes))) if prefix is None else prefix]
        tokens, segments, positions, targets = list(p), [0] * len(p), list(range(len(p))), [-100] * len(p)
        spans, looks, seen = [], [], set()
        chained = prefix is None and rng.random() < 0.1
        at = len(p)
        for i in range(count):
            kind, q, a, about = (*asked[i], []) if asked else ask(rng, scene, LESSON)
            if not asked and (kind, a) in seen and kind not in ("colour", "shape", "position", "count", "exists", "relation"):
                continue
            seen.add((kind, a))
            q = q if asked else vary(rng, q)
            segment, start, before = i + 1, len(p), []
            lead = "" if prefix is not None or rng.random() < 0.85 else " "
            if chained and spans:
                before, lead = self.next, " "
            if chained:
                segment, start = 1, at
            elif prefix is None and rng.random() < 0.015:
                a, about, segment, start, before, lead = wording.BLIND, [], 100 + i, 0, self.blind, " "
            ask_ids = before + self.t.encode(lead + q) + self.after
            say = self.t.encode(" " + a) + [self.end]
            first = len(tokens) + len(ask_ids) - 1
            looks += self.looks(p.index(self.image_id), lead + q, about, len(tokens) + len(before), range(first, first + len(say) - 1))
            tokens += ask_ids + say
            segments += [segment] * (len(ask_ids) + len(say))
            positions += range(start, start + len(ask_ids) + len(say))
            at = start + len(ask_ids) + len(say)
            targets += [-100] * (len(ask_ids) - 1) + say + [-100]
            spans.append((kind, first, first + len(say)))
        return tokens, positions, segments, targets, p.index(self.image_id), spans, looks

    def looks(self, picture, q, about, start, answers):
        """What attention should be on: (which of model.LOOKS, from where, {where: share}).

        The last token of the words for a thing looks at the image tokens with the middles of the things that these words
        mean, and each token of the answer looks at those words; where there are no words, at the things themselves.
        """
        out, end, side = [], 0, int(IMAGE_TOKENS ** 0.5)
        for which, (words, things) in zip(("first", "second"), about):
            shares = {0: SINK / (SINK + len(things))}
            for t in things:
                at = picture + int(t["y"] * side / SIZE) * side + int(t["x"] * side / SIZE)
                shares[at] = shares.get(at, 0.0) + 1.0 / (SINK + len(things))
            if not words:
                out += [("thing", i, shares) for i in answers]
                continue
            found = q.lower().find(words.lower(), end)
            end = found + len(words)
            last = start + len(self.t.encode(q[:end])) - 1
            out += [("thing", last, shares)] + [(which, i, {last: 1.0}) for i in answers]
        return out

    def words(self):
        """For each plane of the patch labels (class, colour, size) the labels that have a word of one token, and for each
        patch the words of its place."""
        planes = (CLASSES[1:], COLOUR_NAMES, SIZE_NAMES)
        ids = [{i + 1: self.t.encode(n if len(n) == 1 else " " + n) for i, n in enumerate(names)} for names in planes]
        third = [int((i + 0.5) * 3 / GRID) for i in range(GRID)]
        places = [self.t.encode(" " + PLACES[third[i // GRID]][third[i % GRID]]) for i in range(GRID * GRID)]
        return [{label: v[0] for label, v in plane.items() if len(v) == 1} for plane in ids] + [places]

    def pack(self, rows):
        """Rows as tensors: tokens, positions, segments, slots, targets, and looks: {which: (rows, queries, shares)}."""
        n, t = len(rows), max(len(r[0]) for r in rows)
        out = [np.zeros((n, t), np.int64), np.zeros((n, t), np.int64), np.full((n, t), -1, np.int64), np.full((n, t), -100, np.int64)]
        looks = {}
        for i, r in enumerate(rows):
            for plane, values in zip(out, r[:4]):
                plane[i, :len(values)] = values
            for which, query, shares in r[6]:
                looks.setdefault(which, []).append((i, query, shares))
        for which, found in looks.items():
            shares = np.zeros((len(found), t), np.float32)
            for k, (_, _, share) in enumerate(found):
                shares[k, list(share)] = list(share.values())
            looks[which] = torch.tensor([f[0] for f in found]), torch.tensor([f[1] for f in found]), torch.from_numpy(shares)
        slots = np.array([r[4] for r in rows])[:, None] + np.arange(IMAGE_TOKENS)
        tokens, positions, segments, targets = (torch.from_numpy(v) for v in out)
        return tokens, positions, segments, torch.from_numpy(slots), targets, looks


def alike(rows):
    """The rows' numbers in two parts, the short and the long, so that least is padded."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
    size = [len(rows[i][0]) for i in order]
    cut = min(range(1, len(rows) + 1), key=lambda k: k * size[k - 1] + (len(rows) - k) * size[-1])
    return [part for part in (order[:cut], order[cut:]) if part]


class Shards:
    """Training scenes on disk, re-listed from time to time because a drawing process adds to them."""

    def __init__(self, folder):
        self.folder, self.paths, self.scenes = folder, [], {}

    def refresh(self):
        self.paths = sorted(glob.glob(os.path.join(self.folder, "shard-*.json")))
        for p in self.paths:
            if p not in self.scenes:
                with open(p) as f:
                    self.scenes[p] = json.load(f)
        if not self.paths:
            raise SystemExit("no scenes in %s: run scenes.py first" % self.folder)

    def sample(self, count):
        """Pictures from everywhere in the first shard and the last."""
        self.refresh()
        parts = [self.images(p)[0] for p in (self.paths[0], self.paths[-1])]
        return torch.from_numpy(np.concatenate([p[::max(1, 2 * len(p) // count)] for p in parts]))

    def images(self, path):
        return (np.load(path[:-5] + ".images.npy", mmap_mode="r"), np.load(path[:-5] + ".labels.npy"), self.scenes[path])

    def stream(self, rng, first=0, rank=0, workers=1):
        """(image, labels, scene) without end, this worker's part of each shard, the least used shard first."""
        uses, held = {i: 1 for i in range(first)}, []  # an interrupted run had already used the first ones
        while True:
            self.refresh()
            while len(held) < 2:  # two shards are mixed
                k = min(range(len(self.paths)), key=lambda i: (uses.get(i, 0), i))
                uses[k] = uses.get(k, 0) + 1
                images, labels, scenes = self.images(self.paths[k])
                held.append((images, labels, scenes, list(rng.permutation(np.arange(rank, len(scenes), workers)))))
            while all(h[3] for h in held):
                images, labels, scenes, order = held[int(rng.integers(2))]
                i = int(order.pop())
                yield np.array(images[i]), labels[i], scenes[i]
            held = [h for h in held if h[3]]
