"""Painting: backgrounds, masks of shapes and text, and the map of what covers each pixel."""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from world import COLOURS, GRID, PATCH, SIZE, fonts

OVER = 4  # shapes are drawn this many times larger, then averaged
_font_cache = {}


def font(rng, size):
    paths = fonts_cached()
    key = (paths[int(rng.integers(len(paths)))], int(size))
    if key not in _font_cache:
        _font_cache[key] = ImageFont.truetype(*key)
    return _font_cache[key]


def fonts_cached():
    if "paths" not in _font_cache:
        _font_cache["paths"] = fonts()
    return _font_cache["paths"]


def tint(rng, name):
    """A colour of that name: the base, moved a little in brightness and hue."""
    base = np.array(COLOURS[name], np.float32)
    return np.clip(base * rng.uniform(0.92, 1.06) + rng.uniform(-12, 12, 3), 0, 255).astype(np.float32)


def _smooth(rng, cells, channels):
    small = rng.uniform(0, 255, (cells, cells, channels)).astype(np.uint8)
    planes = [Image.fromarray(small[:, :, c]).resize((SIZE, SIZE), Image.BICUBIC) for c in range(channels)]
    return np.stack([np.asarray(p, np.float32) for p in planes], 2)


def background(rng, hard):
    """A backdrop as float32 [SIZE, SIZE, 3]: plain, a gradient, fractal noise, blobs, stripes or a soft photograph."""
    base = rng.uniform(20, 255, 3).astype(np.float32)
    pick = rng.random()
    if pick < 0.25:
        base = np.full(3, rng.uniform(215, 255), np.float32)
    elif pick < 0.35:
        base = np.full(3, rng.uniform(5, 60), np.float32)
    elif pick < 0.55:
        base = base * 0.35 + 150
    other = np.clip(base + rng.uniform(-1, 1, 3) * 90 * (0.3 + 0.7 * hard), 0, 255).astype(np.float32)
    kind = rng.choice(6, p=[0.3, 0.2, 0.15, 0.15, 0.08, 0.12]) if rng.random() < 0.3 + 0.7 * hard else 0
    if kind == 0:
        return np.tile(base, (SIZE, SIZE, 1))
    if kind == 1:
        angle = rng.uniform(0, 2 * math.pi)
        y, x = np.mgrid[0:SIZE, 0:SIZE] / (SIZE - 1.0) - 0.5
        t = x * math.cos(angle) + y * math.sin(angle)
        t = ((t - t.min()) / (t.max() - t.min()))[:, :, None].astype(np.float32)
        return base * (1 - t) + other * t
    if kind == 2:
        t = sum(_smooth(rng, cells, 1) / 255.0 * w for cells, w in ((3, 0.5), (7, 0.25), (17, 0.15), (40, 0.1)))
        return base * (1 - t) + other * t
    if kind == 3:
        return base * 0.55 + _smooth(rng, int(rng.integers(3, 7)), 3) * 0.45
    if kind == 4:
        angle, period = rng.uniform(0, math.pi), rng.uniform(5, 24)
        y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
        t = 0.5 + 0.5 * np.sin((x * math.cos(angle) + y * math.sin(angle)) * 2 * math.pi / period)[:, :, None]
        return base * (1 - 0.4 * t) + other * 0.4 * t
    horizon = int(rng.integers(SIZE // 3, SIZE - SIZE // 4))
    out = np.tile(base, (SIZE, SIZE, 1))
    out[horizon:] = other
    return out * 0.75 + _smooth(rng, 9, 3) * 0.15 + _smooth(rng, 40, 1) * 0.1


def clutter(rng, out, hard):
    """Faint lines and specks under everything else."""
    if rng.random() > 0.4 * hard:
        return out
    image = Image.fromarray(np.clip(out, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(2, 10))):
        near = out[int(rng.integers(SIZE)), int(rng.integers(SIZE))]
        colour = tuple(int(v) for v in np.clip(near + rng.uniform(-45, 45, 3), 0, 255))
        x, y = rng.uniform(0, SIZE, 2)
        if rng.random() < 0.6:
            draw.line([x, y, x + rng.uniform(-60, 60), y + rng.uniform(-60, 60)], fill=colour, width=1)
        else:
            r = rng.uniform(0.8, 1.8)
            draw.ellipse([x - r, y - r, x + r, y + r], fill=colour)
    return np.asarray(image, np.float32)


def _points(shape):
    """The outline of a shape as points in the unit circle, y downwards."""
    if shape == "square":
        return [(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)]
    if shape == "triangle":
        return [(math.sin(a), -math.cos(a)) for a in (0, 2.0944, 4.1888)]
    if shape == "star":
        return [((1 if k % 2 == 0 else 0.42) * math.sin(k * math.pi / 5),
                 -(1 if k % 2 == 0 else 0.42) * math.cos(k * math.pi / 5)) for k in range(10)]
    if shape == "cross":
        a = 0.32
        return [(-a, -1), (a, -1), (a, -a), (1, -a), (1, a), (a, a), (a, 1), (-a, 1), (-a, a), (-1, a), (-1, -a), (-a, -a)]
    if shape == "diamond":
        return [(0, -1), (0.66, 0), (0, 1), (-0.66, 0)]
    if shape == "arrow":
        return [(0, -1), (0.75, -0.1), (0.28, -0.1), (0.28, 1), (-0.28, 1), (-0.28, -0.1), (-0.75, -0.1)]
    if shape == "heart":
        ts = np.linspace(0, 2 * math.pi, 40)
        return [(math.sin(t) ** 3, -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 15
                 - 0.1) for t in ts]
    raise ValueError(shape)


def shape_mask(rng, shape, radius, turn):
    """The coverage of a shape turned by `turn` radians, float32 [n, n], its centre in the middle."""
    half = int(math.ceil(radius)) + 2
    side = 2 * half * OVER
    image = Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(image)
    c, r = side / 2.0, radius * OVER
    if shape in ("circle", "ring", "moon"):
        draw.ellipse([c - r * 0.92, c - r * 0.92, c + r * 0.92, c + r * 0.92], fill=255)
        if shape == "moon":
            k, x, y = r * 0.78, c + r * 0.5 * math.cos(turn), c + r * 0.5 * math.sin(turn)
            draw.ellipse([x - k, y - k, x + k, y + k], fill=0)
        if shape == "ring":
            k = r * rng.uniform(0.48, 0.58)
            draw.ellipse([c - k, c - k, c + k, c + k], fill=0)
    else:
        cos, sin = math.cos(turn), math.sin(turn)
        sx, sy = rng.uniform(0.93, 1.0), rng.uniform(0.93, 1.0)
        points = [(x * sx, y * sy) for x, y in _points(shape)]
        draw.polygon([(c + r * (x * cos - y * sin), c + r * (x * sin + y * cos)) for x, y in points], fill=255)
    return np.asarray(image.reduce(OVER), np.float32) / 255.0


class Canvas:
    """A picture being painted, with the number of the thing that covers each pixel."""

    def __init__(self, pixels):
        self.pixels = pixels
        self.owner = np.zeros((SIZE, SIZE), np.uint8)

    def window(self, mask, x, y):
        """The parts of the canvas and of the mask that meet when the mask's middle is put at x, y."""
        h, w = mask.shape
        left, top = int(round(x - w / 2)), int(round(y - h / 2))
        x0, y0, x1, y1 = max(0, left), max(0, top), min(SIZE, left + w), min(SIZE, top + h)
        return (slice(y0, y1), slice(x0, x1)), mask[y0 - top:y1 - top, x0 - left:x1 - left]

    def paint(self, mask, x, y, colour, thing, shade=None):
        """Paints a mask and claims its pixels for thing number `thing` (0 claims nothing)."""
        where, part = self.window(mask, x, y)
        fill = colour if shade is None else np.clip(colour * self.window(shade, x, y)[1][:, :, None], 0, 255)
        self.pixels[where] += (fill - self.pixels[where]) * part[:, :, None]
        if thing:
            self.owner[where][part > 0.5] = thing

    def contrast(self, mask, x, y, colour):
        """How far a colour is from what lies under the mask: the distance of the nearest tenth of the pixels."""
        where, part = self.window(mask, x, y)
        under = self.pixels[where][part > 0.3]
        if not len(under):
            return 0.0
        return float(np.percentile(np.sqrt(((under[::3] - colour) ** 2).sum(1)), 10))

    def patches(self):
        """For each patch the thing that covers most of it (0: none)."""
        cells = self.owner.reshape(GRID, PATCH, GRID, PATCH).swapaxes(1, 2).reshape(GRID * GRID, -1)
        out = np.zeros(GRID * GRID, np.uint8)
        for i in np.flatnonzero(cells.any(1)):
            counts = np.bincount(cells[i])
            counts[0] = 0
            best = int(counts.argmax())
            if counts[best] >= 12:
                out[i] = best
        return out


def text_masks(rng, text, size, turn):
    """The coverage of a text and, for each of its characters, of that character alone, all of one shape."""
    face = font(rng, size)
    left, top, right, bottom = face.getbbox(text)  # whole numbers, which releases of Pillow give as floats
    left, top, right, bottom = math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)
    w, h = right - left + 4, bottom - top + 4
    image = Image.new("L", (w, h), 0)
    ImageDraw.Draw(image).text((2 - left, 2 - top), text, fill=255, font=face)
    cuts = [int(round(2 - left + face.getlength(text[:i]))) for i in range(len(text) + 1)]
    cuts[0], cuts[-1] = 0, w
    whole = np.asarray(image.rotate(turn, Image.BICUBIC, expand=True), np.float32) / 255.0
    parts = []
    for i in range(len(text)):
        one = Image.new("L", (w, h), 0)
        if cuts[i + 1] > cuts[i]:
            one.paste(image.crop((cuts[i], 0, cuts[i + 1], h)), (cuts[i], 0))
        parts.append(np.asarray(one.rotate(turn, Image.BILINEAR, expand=True), np.float32) / 255.0)
    return whole, parts
