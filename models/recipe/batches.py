"""Batches: a picture once, several questions about it after it, each of which sees the picture and itself."""

import glob
import json
import os

import numpy as np
import torch

import wording
from model import CONFIG, IMAGE_TOKENS, LOOKS
from questions import LESSON, ask, vary
from world import CLASSES, COLOUR_NAMES, GRID, PLACES, SIZE, SIZE_NAMES

IMAGE = "<image>" * IMAGE_TOKENS
# What stands around a picture: Hugging Face's processor, then what releases of llama.cpp make of it.
AROUND = ["<fake_token_around_image><global-img>", "<fake_token_around_image>\n<fake_token_around_image><global-img>",
          "\n\n<fake_token_around_image><global-img>"]


SINK = 3.0  # the weight of a row's first token beside each thing that is looked at, so that a sum of attention tells how many
ENGINES = 4  # the prefix that current llama.cpp makes when a prompt starts with the picture


class Packer:
    def __init__(self, tokenizer, lesson=LESSON):
        """lesson: how often training asks what, a table of questions.py."""
        self.lesson = lesson
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
            kind, q, a, about = (*asked[i], []) if asked else ask(rng, scene, self.lesson)
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

    def pack(self, rows, device="cpu"):
        arrays, sizes = numbers(rows)
        return Packed({n: torch.from_numpy(v).to(device) for n, v in arrays.items()}, sizes)


class Part:
    """Some of a batch's questions, or its prefixes, padded to one length: what attends, and to what.

    queries [n, t] and keys [n, k] number tokens of the batch; mask [n, 1, 1, t, k] is added to the scores; looks are
    {one of model.LOOKS: (lines, shares [m, k], their logarithms)}, where a line is a row of the first head's scores, seen as [., k].
    Made from a few numbers a member, where the model is: masks are large, and would be slow to bring there.
    """

    def __init__(self, spans, t, k, looks):
        """spans [n, 4]: first token of the row, length of the prefix seen, where the member starts in the row, its length."""
        row, prefix, start, length = spans[:, :, None].unbind(1)
        at, key = torch.arange(t, device=spans.device), torch.arange(k, device=spans.device)[None]
        own = key - prefix  # where a key is among the member's own tokens
        # What pads a member is its last token again: nobody asks for it, and no other token is read or written as often.
        self.queries = row + start + torch.minimum(at[None], length - 1)
        self.keys = row + torch.where(own < 0, key, start + torch.minimum(own, length - 1))
        unseen = own[:, None, :] > at[None, :, None]
        self.mask = torch.zeros(unseen.shape, device=spans.device).masked_fill_(unseen, -1e9)[:, None, None]
        self.looks = {}
        for which, (lines, cells, values) in looks.items():
            shares = torch.zeros(len(lines) * k, device=spans.device).scatter_(0, cells, values).view(-1, k)
            self.looks[which] = lines, shares, shares.clamp_min(1e-9).log()


class Packed:
    """A batch without padding: the tokens of all rows one after the other, and the parts in which they attend.

    tokens, positions and targets [tokens]; slots [rows, image tokens]: where the image tokens go; home [tokens]: where a
    token is among the queries of all parts, one part after the other; wanted: the tokens with a target, and answers: these.
    """

    def __init__(self, tensors, sizes):
        """tensors: what numbers() gives, as tensors of one device; sizes: (t, k) of each part."""
        self.tokens, self.positions, self.targets, self.slots, self.home, self.wanted, self.answers = (
            tensors[n] for n in ("tokens", "positions", "targets", "slots", "home", "wanted", "answers"))
        self.parts = []
        for i, (t, k) in enumerate(sizes):
            looks = {w: tuple(tensors["%d.%s.%s" % (i, w, n)] for n in ("lines", "cells", "values"))
                     for w in LOOKS if "%d.%s.lines" % (i, w) in tensors}
            self.parts.append(Part(tensors["%d.spans" % i], t, k, looks))


def numbers(rows):
    """A batch as plain arrays, {name: array}, and (t, k) of each of its parts: what travels from process to process."""
    starts = firsts(rows)
    tokens, positions, targets = (np.array([v for r in rows for v in r[i]], np.int64) for i in (0, 1, 3))
    wanted, home = np.flatnonzero(targets >= 0), np.zeros(len(tokens), np.int64)
    slots = np.array([r[4] + start for r, start in zip(rows, starts)])[:, None] + np.arange(IMAGE_TOKENS)
    heads, asks = [], []
    for row, start in zip(rows, starts):
        segments = np.array(row[2])
        prefix = int((segments == 0).sum())
        heads.append((start, 0, 0, prefix, []))
        edges = [prefix, *(np.flatnonzero(np.diff(segments[prefix:])) + prefix + 1).tolist(), len(segments)]
        for first, last in zip(edges, edges[1:]):
            if last > first:
                looks = [look for look in row[6] if first <= look[1] < last]
                asks.append((start, prefix if row[2][first] < 100 else 0, first, last - first, looks))
    out = {"tokens": tokens, "positions": positions, "targets": targets, "slots": slots, "home": home, "wanted": wanted,
           "answers": targets[wanted]}
    sizes, base = [], 0
    for i, members in enumerate([heads] + alike(asks)):
        t, k = max(m[3] for m in members), max(m[1] + m[3] for m in members)
        for j, (row, _, start, length, _) in enumerate(members):
            home[row + start:row + start + length] = np.arange(base + j * t, base + j * t + length)
        base += len(members) * t
        sizes.append((t, k))
        out["%d.spans" % i] = np.array([m[:4] for m in members], np.int64)
        out.update(gazes("%d." % i, members, t, k))
    return out, sizes


def firsts(rows):
    """Each row's first token among all."""
    return np.concatenate(([0], np.cumsum([len(r[0]) for r in rows])))[:-1].tolist()


def gazes(name, members, t, k):
    """The looks of a part's members as arrays: lines, and of their shares [lines, k] the cells that are not zero."""
    looks = {}
    for i, (_, prefix, start, _, wanted) in enumerate(members):
        for which, query, shares in wanted:
            lines, cells, values = looks.setdefault(which, ([], [], []))
            for at, share in shares.items():
                cells.append(len(lines) * k + (at if at < prefix else prefix + at - start))
                values.append(share)
            lines.append(i * CONFIG["heads"] * t + query - start)
    return {"%s%s.%s" % (name, w, n): np.array(v, np.float32 if n == "values" else np.int64)
            for w, three in looks.items() for n, v in zip(("lines", "cells", "values"), three)}


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
