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
        mean ("thing"; "many" also at the row's first token, so that its share tells how many), and each token of the answer
        looks at those words ("first", "second"); where there are no words, at the things themselves.
        """
        out, end, side = [], 0, int(IMAGE_TOKENS ** 0.5)
        for which, (words, things) in zip(("first", "second"), about):
            spots = [picture + int(t["y"] * side / SIZE) * side + int(t["x"] * side / SIZE) for t in things]
            here = [("thing", self.shares(spots, 0.0 if things else 1.0)), ("many", self.shares(spots, SINK))]
            if not words:
                out += [(w, i, shares) for i in answers for w, shares in here]
                continue
            found = q.lower().find(words.lower(), end)
            end = found + len(words)
            last = start + len(self.t.encode(q[:end])) - 1
            out += [(w, last, shares) for w, shares in here] + [(which, i, {last: 1.0}) for i in answers]
        return out

    @staticmethod
    def shares(spots, sink):
        """Equal shares for all spots, and `sink` times as much for the row's first token."""
        out = {0: sink / (len(spots) + sink)} if sink else {}
        for at in spots:
            out[at] = out.get(at, 0.0) + 1.0 / (len(spots) + sink)
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
        return Packed(rows)


class Part:
    """Some of a batch's questions, or its prefixes, padded to one length: what attends, and to what.

    queries [n, t] and keys [n, k] number tokens of the batch; mask [n, 1, 1, t, k] is added to the scores; looks are
    {one of model.LOOKS: (member, place among its queries, shares [m, k])}.
    """

    def __init__(self, members):
        """members: (first token of the row, length of the prefix seen, where it starts in the row, its length, looks)."""
        t, k = max(m[3] for m in members), max(m[1] + m[3] for m in members)
        queries, keys = np.zeros((len(members), t), np.int64), np.zeros((len(members), k), np.int64)
        seen = np.zeros((len(members), t, k), bool)
        looks = {}
        for i, (row, prefix, start, length, wanted) in enumerate(members):
            queries[i, :length] = row + start + np.arange(length)
            keys[i, :prefix + length] = row + np.concatenate((np.arange(prefix), start + np.arange(length)))
            seen[i, :length, :prefix] = True
            seen[i, :length, prefix:prefix + length] = np.tri(length, dtype=bool)
            for which, query, shares in wanted:
                line = np.zeros(k, np.float32)
                for at, share in shares.items():
                    line[at if at < prefix else prefix + at - start] = share
                looks.setdefault(which, []).append((i, query - start, line))
        self.queries, self.keys, self.length = torch.from_numpy(queries), torch.from_numpy(keys), [m[3] for m in members]
        self.mask = torch.zeros(seen.shape).masked_fill_(~torch.from_numpy(seen), -1e9)[:, None, None]
        self.looks = {w: (torch.tensor([f[0] for f in v]), torch.tensor([f[1] for f in v]), torch.from_numpy(np.stack([f[2] for f in v])))
                      for w, v in looks.items()}


class Packed:
    """A batch without padding: the tokens of all rows one after the other, and the parts in which they attend.

    tokens, positions and targets [tokens]; slots [rows, image tokens]: where the image tokens go; starts: each row's first
    token; home [tokens]: where a token is among the queries of all parts, one part after the other.
    """

    def __init__(self, rows):
        self.starts = np.concatenate(([0], np.cumsum([len(r[0]) for r in rows])))
        self.tokens, self.positions, self.targets = (torch.tensor([v for r in rows for v in r[i]]) for i in (0, 1, 3))
        self.slots = torch.tensor([r[4] + start for r, start in zip(rows, self.starts)])[:, None] + torch.arange(IMAGE_TOKENS)
        heads, asks = [], []
        for row, start in zip(rows, self.starts.tolist()):
            segments = np.array(row[2])
            prefix = int((segments == 0).sum())
            heads.append((start, 0, 0, prefix, []))
            for segment in sorted(set(row[2]) - {0}):
                at = np.flatnonzero(segments == segment)
                first, last = int(at[0]), int(at[-1]) + 1
                looks = [look for look in row[6] if first <= look[1] < last]
                asks.append((start, prefix if segment < 100 else 0, first, last - first, looks))
        self.parts = [Part(heads)] + [Part(members) for members in alike(asks)]
        self.home, base = torch.zeros(len(self.tokens), dtype=torch.long), 0
        for part in self.parts:
            n, t = part.queries.shape
            real = torch.arange(t) < torch.tensor(part.length)[:, None]
            self.home[part.queries[real]] = (base + torch.arange(n * t).view(n, t))[real]
            base += n * t


def alike(members):
    """The members of parts, in two lots, the short and the long, so that least is padded."""
    members = sorted(members, key=lambda m: m[3])
    cut = min(range(1, len(members) + 1), key=lambda k: k * members[k - 1][3] + (len(members) - k) * members[-1][3])
    return [lot for lot in (members[:cut], members[cut:]) if lot]


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
