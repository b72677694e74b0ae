"""Scenes: a random picture, what is in it, and for each patch of the tower what covers it.

    python3 scenes.py OUT --shards 60 --seed 1                       draws shards of training scenes into OUT (resumes)
    python3 scenes.py OUT --shards 16 --seed 2 --kind practice --ramp 0
"""

import argparse
import io
import json
import math
import os
import time

import numpy as np
from PIL import Image, ImageFilter

from canvas import Canvas, background, clutter, shape_mask, text_masks, tint
from world import (CLASS_ID, COLOUR_ID, COLOUR_NAMES, DIRECTIONS, GRID, HELD_NUMBERS, HELD_PAIRS, HELD_WORDS, PATCH,
                   SHAPES, SIZE, SIZE_ID, SIZE_NAMES, SIZES, WORDS)

SHARD = 2048
PLANES = 5  # of labels: class, colour, size, whether a middle is there, what is read (1 + a number, 101 + a gauge's value)
TURNS = {"square": 0.22, "triangle": 0.5, "cross": 0.2, "heart": 0.35, "diamond": 0.15, "moon": 0.5, "star": 3.2,
         "circle": 0, "ring": 0, "arrow": 0.15}
KINDS = ["shapes", "number", "word", "gauge", "bars", "mixed"]
MIX = [0.60, 0.17, 0.06, 0.05, 0.05, 0.07]
# A seventh kind, crowded with numbers, words and shapes, is what the tower practises on alone; nothing is asked about it.


class Maker:
    """Paints one scene; `held` says which held-out things it may use: "never", "only" or "any"."""

    def __init__(self, rng, hard, held):
        self.rng, self.hard, self.held = rng, hard, held
        self.canvas = Canvas(clutter(rng, background(rng, hard), hard))
        self.labels = [(0, 0, 0, 0)]  # per thing: class, colour, size, what it reads
        self.centres = []
        self.shapes, self.taken, self.boxes = [], [], []

    def claim(self, cls, colour, size=0, reads=0):
        self.labels.append((CLASS_ID[cls], COLOUR_ID[colour], size, reads))
        return len(self.labels) - 1

    def pair(self, shape, colour):
        """Completes a pair of shape and colour where one is missing, as `held` allows."""
        for _ in range(50):
            s = shape or SHAPES[int(self.rng.integers(len(SHAPES)))]
            c = colour or COLOUR_NAMES[int(self.rng.integers(len(COLOUR_NAMES)))]
            if self.held == "only" and self.rng.random() < 0.7:
                c, s = sorted(HELD_PAIRS)[int(self.rng.integers(len(HELD_PAIRS)))]
            if self.held != "never" or (c, s) not in HELD_PAIRS:
                return s, c
        return None, None

    def shape(self, shape=None, colour=None, size=None):
        """Adds one shape where there is room; False where there is none."""
        rng = self.rng
        for _ in range(30):
            s, c = self.pair(shape, colour)
            if s is None:
                return False
            z = size or SIZE_NAMES[int(rng.choice(3, p=[0.3, 0.45, 0.25]))]
            radius = rng.uniform(*SIZES[z])
            x, y = rng.uniform(radius + 1, SIZE - radius - 1, 2)
            if any(math.hypot(x - a, y - b) < radius + r + 2 for a, b, r in self.taken):
                continue
            turn = rng.uniform(-1, 1) * TURNS[s]
            direction = int(rng.integers(4)) if s == "arrow" else None
            if direction is not None:
                turn += direction * math.pi / 2
            mask = shape_mask(rng, s, radius, turn)
            paint = tint(rng, c)
            if self.canvas.contrast(mask, x, y, paint) < (80 - 18 * self.hard):
                continue
            thing = self.claim(s, c, SIZE_ID[z])
            if rng.random() < 0.15 * self.hard:  # a soft shadow
                self.canvas.paint(mask * 0.35, x + 2, y + 2, np.zeros(3, np.float32), 0)
            shade = None
            if rng.random() < 0.3 * self.hard:  # lit from one side
                n = mask.shape[0]
                ramp = np.linspace(1 - rng.uniform(0, 0.18), 1.06, n, dtype=np.float32)
                shade = np.tile(ramp, (n, 1)) if rng.random() < 0.5 else np.tile(ramp[::-1, None], (1, n))
            self.canvas.paint(mask, x, y, paint, thing, shade)
            self.taken.append((x, y, radius))
            self.centres.append((x, y))
            self.shapes.append({"shape": s, "colour": c, "size": z, "x": round(float(x), 1), "y": round(float(y), 1),
                                "dir": DIRECTIONS[direction] if direction is not None else None})
            return True
        return False

    def fill(self, count):
        """Adds `count` shapes, some of them alike."""
        rng = self.rng
        theme_shape, theme_colour = self.pair(None, None)
        alike = rng.random()
        for _ in range(count):
            again = rng.random() < 0.6
            if alike < 0.2 and again:
                self.shape(shape=theme_shape)
            elif alike < 0.4 and again:
                self.shape(colour=theme_colour)
            elif alike < 0.5 and again:
                self.shape(shape=theme_shape, colour=theme_colour)
            else:
                self.shape()

    def text(self, text, low, high):
        """Adds a text that is high..low pixels tall; its colour and place, or None where it does not fit."""
        rng = self.rng
        for _ in range(40):
            turn = float(rng.normal(0, 5 + 5 * self.hard)) if rng.random() < 0.6 else 0.0
            whole, parts = text_masks(rng, text, rng.uniform(low, high), turn)
            h, w = whole.shape
            if w > SIZE - 4 or h > SIZE - 4:
                high = max(low, high * 0.9)
                low = min(low, 16)
                continue
            x, y = rng.uniform(w / 2 + 1, SIZE - w / 2 - 1), rng.uniform(h / 2 + 1, SIZE - h / 2 - 1)
            radius = max(w, h) / 2.0
            if any(math.hypot(x - a, y - b) < radius * 0.9 + r + 2 for a, b, r in self.taken):
                continue
            c = COLOUR_NAMES[int(rng.integers(len(COLOUR_NAMES)))]
            paint = tint(rng, c)
            if not self.write(text, whole, parts, x, y, c, paint):
                continue
            self.taken.append((x, y, radius))
            return {"text": text, "colour": c, "x": round(float(x), 1), "y": round(float(y), 1)}
        return None

    def write(self, text, whole, parts, x, y, c, paint):
        """Paints a text's masks in a colour, where that can be read; tells whether it could."""
        rng, (h, w) = self.rng, whole.shape
        if rng.random() < 0.2:  # on a plate
            plate = np.pad(np.ones((h, w), np.float32), 3)
            pc = tint(rng, COLOUR_NAMES[int(rng.integers(len(COLOUR_NAMES)))])
            if np.sqrt(((pc - paint) ** 2).sum()) > 110:
                self.canvas.paint(plate, x, y, pc, 0)
        if self.canvas.contrast(whole, x, y, paint) < (95 - 20 * self.hard):
            return False
        self.canvas.paint(whole, x, y, paint, 0)
        reads = 1 + int(text) if text.isdigit() else 0
        for ch, part in zip(text, parts):
            where, mask = self.canvas.window(part, x, y)
            self.canvas.owner[where][mask > 0.35] = self.claim(ch.lower(), c, reads=reads)
            ys, xs = np.nonzero(mask > 0.35)
            if len(xs):
                self.centres.append((where[1].start + xs.mean(), where[0].start + ys.mean()))
        return True

    def clear(self, x, y, w, h):
        """Whether a box around x, y meets no other box and no shape."""
        if any(abs(x - a) < (w + c) / 2 + 1 and abs(y - b) < (h + d) / 2 + 1 for a, b, c, d in self.boxes):
            return False
        return all(math.hypot(max(0, abs(x - a) - w / 2), max(0, abs(y - b) - h / 2)) > r for a, b, r in self.taken)

    def crowd(self):
        """As many numbers as find room, among a few words and shapes: for the tower, which learns from every patch."""
        rng = self.rng
        self.fill(int(rng.choice(4, p=[0.4, 0.3, 0.2, 0.1])))
        for i in range(int(rng.integers(3, 12))):
            text = self.word() if rng.random() < 0.12 else self.number()
            turn = float(rng.normal(0, 5 + 5 * self.hard)) if rng.random() < 0.6 else 0.0
            whole, parts = text_masks(rng, text, rng.uniform(24, 90 if i == 0 else 50), turn)
            h, w = whole.shape
            if w > SIZE - 4 or h > SIZE - 4:
                continue
            for _ in range(12):
                x, y = rng.uniform(w / 2 + 1, SIZE - w / 2 - 1), rng.uniform(h / 2 + 1, SIZE - h / 2 - 1)
                c = COLOUR_NAMES[int(rng.integers(len(COLOUR_NAMES)))]
                if self.clear(x, y, w, h) and self.write(text, whole, parts, x, y, c, tint(rng, c)):
                    self.boxes.append((x, y, w, h))
                    break

    def number(self):
        rng = self.rng
        while True:
            n = str(int(rng.integers(0, 10))) if rng.random() < 0.2 else str(int(rng.integers(10, 100)))
            if self.held == "only" and rng.random() < 0.5:
                n = sorted(HELD_NUMBERS)[int(rng.integers(len(HELD_NUMBERS)))]
            if self.held != "never" or n not in HELD_NUMBERS:
                return n

    def word(self):
        rng = self.rng
        while True:
            w = WORDS[int(rng.integers(len(WORDS)))]
            if rng.random() < 0.25:
                w = "".join("abcdefghijklmnopqrstuvwxyz"[int(rng.integers(26))] for _ in range(int(rng.integers(2, 5))))
            if self.held == "only" and rng.random() < 0.5:
                w = sorted(HELD_WORDS)[int(rng.integers(len(HELD_WORDS)))]
            if self.held != "never" or w not in HELD_WORDS:
                style = rng.random()
                return w.upper() if style < 0.5 else (w.capitalize() if style < 0.65 else w)

    def gauge(self):
        """A dial of 0 to 10, from lower left over the top to lower right, with a needle."""
        rng = self.rng
        radius = rng.uniform(34, 58)
        x, y = rng.uniform(radius + 2, SIZE - radius - 2, 2)
        value = int(rng.integers(0, 11))
        face, mark = ("white", "black") if rng.random() < 0.6 else ("black", "white")
        c = COLOUR_NAMES[int(rng.integers(6))] if rng.random() < 0.6 else mark
        half = int(radius) + 3
        yy, xx = np.mgrid[-half:half, -half:half].astype(np.float32) + 0.5
        dist = np.hypot(xx, yy)
        disc = np.clip(radius - dist + 0.5, 0, 1)
        self.canvas.paint(disc, x, y, tint(rng, face), self.claim("dial", face, reads=101 + value))
        rim = disc * np.clip(dist - radius + 3, 0, 1)
        ink = tint(rng, mark)
        self.canvas.paint(rim, x, y, ink, 0)

        def ray(at, r0, r1, width):
            a = math.radians(-225 + 27.0 * at)
            along, across = xx * math.cos(a) + yy * math.sin(a), -xx * math.sin(a) + yy * math.cos(a)
            return np.clip(width / 2 - np.abs(across) + 0.5, 0, 1) * np.clip(along - r0 + 0.5, 0, 1) * np.clip(
                r1 - along + 0.5, 0, 1)

        for k in range(11):
            self.canvas.paint(ray(k, radius * (0.72 if k % 5 == 0 else 0.8), radius * 0.92, 2.4 if k % 5 == 0 else 1.3),
                              x, y, ink, 0)
        needle = ray(value + rng.uniform(-0.12, 0.12), -radius * 0.12, radius * rng.uniform(0.62, 0.8), rng.uniform(2.4, 4.5))
        self.canvas.paint(np.maximum(needle, np.clip(radius * 0.09 - dist + 0.5, 0, 1)), x, y, tint(rng, c),
                          self.claim("needle", c, reads=101 + value))
        return {"value": value, "colour": c}

    def bars(self):
        """A bar chart: bars of different colours and clearly different heights on a line."""
        rng = self.rng
        count = int(rng.integers(2, 6))
        colours = [COLOUR_NAMES[int(i)] for i in rng.permutation(len(COLOUR_NAMES))]
        floor, top = rng.uniform(96, 118), rng.uniform(8, 20)
        left, right = rng.uniform(6, 18), SIZE - rng.uniform(6, 18)
        heights = np.linspace(rng.uniform(0.12, 0.3), 1.0, count) + rng.uniform(-0.03, 0.03, count)
        rng.shuffle(heights)
        pitch = (right - left) / count
        width = pitch * rng.uniform(0.5, 0.85)
        out = []
        for i in range(count):
            h = max(6, int(heights[i] * (floor - top)))
            mask = np.ones((h, max(4, int(width))), np.float32)
            x, y = left + pitch * (i + 0.5), floor - h / 2.0
            while colours:
                c = colours.pop()
                paint = tint(rng, c)
                if self.canvas.contrast(mask, x, y, paint) > 60:
                    self.canvas.paint(mask, x, y, paint, self.claim("bar", c))
                    self.centres.append((x, y))
                    out.append({"colour": c, "height": h})
                    break
        shade = 0.0 if self.canvas.pixels.mean() > 110 else 255.0
        self.canvas.paint(np.ones((2, int(right - left) + 4), np.float32), (left + right) / 2, floor + 1,
                          np.full(3, shade, np.float32), 0)
        return out


def finish(rng, pixels, hard):
    """The camera: blur, exposure, noise."""
    if rng.random() < 0.35 * hard:
        image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        pixels = np.asarray(image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9))), np.float32)
    if rng.random() < 0.5 * hard:
        pixels = (pixels - 128) * rng.uniform(0.85, 1.05) + 128 + rng.uniform(-10, 10)
    if rng.random() < 0.5 * hard:
        pixels = pixels + rng.normal(0, rng.uniform(2, 11), pixels.shape).astype(np.float32)
    out = np.clip(pixels + 0.5, 0, 255).astype(np.uint8)
    if rng.random() < 0.1 * hard:  # what a camera's file does to it
        data = io.BytesIO()
        Image.fromarray(out).save(data, "JPEG", quality=int(rng.integers(40, 90)))
        out = np.asarray(Image.open(data))
    return out


def draw(seed, hard=1.0, held="never", kind=None):
    """One scene: its picture (uint8 [SIZE, SIZE, 3]), its description and its patch labels (uint8 [4, patches])."""
    rng = np.random.default_rng(seed)
    kind = kind or KINDS[int(rng.choice(len(KINDS), p=MIX))]
    m = Maker(rng, hard, held)
    scene = {"kind": kind}
    if kind in ("shapes", "mixed"):
        if kind == "mixed":
            scene["number"] = m.text(m.number(), 24, 44)
        m.fill(int(rng.choice(8, p=[0.04, 0.2, 0.2, 0.18, 0.15, 0.13, 0.06, 0.04])) if kind == "shapes"
               else int(rng.integers(1, 4)))
    elif kind == "practice":
        m.crowd()
    elif kind == "number":
        scene["number"] = m.text(m.number(), 26, 96)
    elif kind == "word":
        scene["word"] = m.text(m.word(), 22, 60)
    elif kind == "gauge":
        scene["gauge"] = m.gauge()
    else:
        scene["bars"] = m.bars()
    scene["shapes"] = m.shapes
    owner = m.canvas.patches()
    labels = np.array(m.labels, np.uint8)[owner].T
    centre = np.zeros(GRID * GRID, np.uint8)
    for x, y in m.centres:
        centre[min(GRID - 1, int(y) // PATCH) * GRID + min(GRID - 1, int(x) // PATCH)] = 1
    return finish(rng, m.canvas.pixels, hard), scene, np.concatenate([labels[:3], centre[None], labels[3:]])


def shard(out, seed, index, hard, kind=None):
    """Draws shard number `index` into `out`, unless it is there."""
    base = os.path.join(out, "shard-%05d" % index)
    if os.path.exists(base + ".json"):
        return
    images = np.empty((SHARD, SIZE, SIZE, 3), np.uint8)
    labels = np.empty((SHARD, PLANES, GRID * GRID), np.uint8)
    scenes = []
    for i in range(SHARD):
        images[i], scene, labels[i] = draw((seed, index, i), hard, kind=kind)
        scenes.append(scene)
    np.save(base + ".images.npy", images)
    np.save(base + ".labels.npy", labels)
    with open(base + ".tmp", "w") as f:
        json.dump(scenes, f)
    os.rename(base + ".tmp", base + ".json")


def main():
    p = argparse.ArgumentParser(description="draw training scenes")
    p.add_argument("out")
    p.add_argument("--shards", type=int, default=40)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--ramp", type=int, default=8, help="shards over which scenes become hard")
    p.add_argument("--kind", choices=KINDS + ["practice"], help="scenes of this kind only")
    a = p.parse_args()
    os.makedirs(a.out, exist_ok=True)
    for i in range(a.shards):
        start = time.time()
        shard(a.out, a.seed, i, min(1.0, 0.3 + 0.7 * i / max(1, a.ramp)), a.kind)
        print("shard %d of %d: %.1f ms a scene" % (i + 1, a.shards, (time.time() - start) * 1e3 / SHARD), flush=True)


if __name__ == "__main__":
    main()
