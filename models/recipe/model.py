"""The model: a SigLIP-style tower, idefics3's pixel shuffle and projection, a Llama decoder. As GGUF engines run it."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from world import CLASSES, COLOURS, GRID, PATCH

CONFIG = {"vit": 192, "vit_layers": 6, "vit_heads": 6, "vit_ff": 768, "scale": 2, "dim": 192, "layers": 4, "heads": 6, "kv_heads": 2,
          "ff": 512, "vocab": 673, "eps": 1e-5, "ln_eps": 1e-6, "theta": 10000.0, "context": 2048}
IMAGE_TOKENS = (GRID // CONFIG["scale"]) ** 2
# What the training heads say of a patch: class, colour, size; of a middle that is in it (or none) class, colour, place, row and
# column; tens (or none) and units of a number, a gauge's value.
AUX = [len(CLASSES), len(COLOURS) + 1, 4, len(CLASSES), len(COLOURS) + 1, 10, GRID + 1, GRID + 1, 11, 10, 11]


def linear(fan_in, fan_out, bias, gain=1.0):
    layer = nn.Linear(fan_in, fan_out, bias=bias)
    nn.init.normal_(layer.weight, std=gain / math.sqrt(fan_in))
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


WAVES = 8  # frequencies along each axis in the first 4 * WAVES channels of the position embeddings


def waves():
    """Position embeddings to start from: sines and cosines of column and row, so that a step is a rotation."""
    at = torch.arange(GRID).float()[:, None] * (torch.arange(WAVES) + 0.5) * (math.pi / GRID)
    table = torch.stack((torch.cos(at), torch.sin(at)), 2).flatten(1)
    return torch.cat((table[None].expand(GRID, -1, -1), table[:, None].expand(-1, GRID, -1)), 2).reshape(GRID * GRID, -1)


def look(q, k, head, dx, dy):
    """Makes a head start by looking at the patch that is dx columns and dy rows away: a convolution's inductive bias."""
    step = torch.stack((torch.full((WAVES,), float(dx)), torch.full((WAVES,), float(dy)))).flatten()
    angle = step * (torch.arange(WAVES) + 0.5).repeat(2) * (math.pi / GRID)
    turn = torch.zeros(4 * WAVES, 4 * WAVES)
    for i, a in enumerate(angle.tolist()):
        turn[2 * i:2 * i + 2, 2 * i:2 * i + 2] = torch.tensor([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])
    rows = slice(head * 4 * WAVES, (head + 1) * 4 * WAVES)
    with torch.no_grad():
        q.weight[rows] *= 0.15
        k.weight[rows] *= 0.15
        q.weight[rows, :4 * WAVES] = turn
        k.weight[rows, :4 * WAVES] = torch.eye(4 * WAVES)


NEIGHBOURS = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1), (2, 0), (-2, 0), (0, 2), (0, -2)]


class VitBlock(nn.Module):
    def __init__(self, c, index):
        super().__init__()
        w = c["vit"]
        self.heads = c["vit_heads"]
        self.ln1, self.ln2 = nn.LayerNorm(w, c["ln_eps"]), nn.LayerNorm(w, c["ln_eps"])
        self.q, self.k, self.v = (linear(w, w, True) for _ in range(3))
        self.out = linear(w, w, True, 0.5)
        if w // self.heads == 4 * WAVES:
            for head in range(self.heads - 1):
                look(self.q, self.k, head, *NEIGHBOURS[(index * (self.heads - 1) + head) % len(NEIGHBOURS)])
        self.up, self.down = linear(w, c["vit_ff"], True), linear(c["vit_ff"], w, True, 0.3)
        with torch.no_grad():  # so that later blocks still find the positions
            self.out.weight[:4 * WAVES] *= 0.1
            self.down.weight[:4 * WAVES] *= 0.1

    def forward(self, x):
        b, t, w = x.shape
        h = self.ln1(x)
        q, k, v = (f(h).view(b, t, self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        a = torch.softmax(q @ (k.transpose(2, 3) * (1.0 / math.sqrt(w // self.heads))), -1) @ v
        x = x + self.out(a.transpose(1, 2).reshape(b, t, w))
        return x + self.down(F.gelu(self.up(self.ln2(x)), approximate="tanh"))


class Tower(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.frozen = False  # nothing but the projection learns
        self.patch = linear(3 * PATCH * PATCH, c["vit"], True)
        self.position = nn.Parameter(torch.randn(GRID * GRID, c["vit"]) * 0.02)
        with torch.no_grad():
            self.position[:, :4 * WAVES] = waves()
            self.patch.weight[:4 * WAVES] *= 0.05
        self.blocks = nn.ModuleList(VitBlock(c, i) for i in range(c["vit_layers"]))
        self.post = nn.LayerNorm(c["vit"], c["ln_eps"])
        self.project = linear(c["vit"] * c["scale"] ** 2, c["dim"], False, 0.5)

    def forward(self, images):
        """uint8 [b, SIZE, SIZE, 3] to image tokens [b, IMAGE_TOKENS, dim] and patch features [b, patches, vit]."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            x = self.patch(cut(images)) + self.position
            for block in self.blocks:
                x = block(x)
            x = self.post(x)
        return self.project(shuffle(x, self.c["scale"])), x


    @torch.no_grad()
    def whiten(self, images):
        """Starts the patch embedding as the pictures' principal components, each as strong as the others.

        Otherwise the mean colour of a patch, which is nearly all of its variance, drowns the edges.
        """
        x = cut(images).flatten(0, 1)
        mean = x.mean(0)
        values, vectors = torch.linalg.eigh((x - mean).t() @ (x - mean) / len(x))
        first = 4 * WAVES  # the channels before it are the positions'
        n = self.patch.weight.shape[0] - first
        values, vectors = values[-n:], vectors[:, -n:]
        self.patch.weight[first:] = 0.7 * (vectors / torch.sqrt(values + 1e-4)).t()
        self.patch.bias[first:] = -self.patch.weight[first:] @ mean


def cut(images):
    """uint8 [b, SIZE, SIZE, 3] to patches [b, patches, 3 * PATCH * PATCH], normalised, planes of colour one by one."""
    b = images.shape[0]
    x = (images.float() / 255.0 - 0.5) / 0.5
    return x.view(b, GRID, PATCH, GRID, PATCH, 3).permute(0, 1, 3, 5, 2, 4).reshape(b, GRID * GRID, -1)


def shuffle(x, s):
    """idefics3's pixel shuffle: each s by s square of patches becomes one token, its channels row by row."""
    b, t, w = x.shape
    n = int(math.sqrt(t)) // s
    return x.view(b, n, s, n, s, w).permute(0, 1, 3, 2, 4, 5).reshape(b, n * n, w * s * s)


class RmsNorm(nn.Module):
    def __init__(self, dim, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(dim)), eps

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def pick(x, at):
    """x[at] for rows of x, with a gradient that is much faster than that of indexing."""
    return x.index_select(0, at.flatten()).view(*at.shape, *x.shape[1:])


def rotate(x, cos, sin):
    """Rotary positions on neighbouring pairs, as GGUF's llama wants them."""
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, self.heads, self.kv = c["dim"], c["heads"], c["kv_heads"]
        self.hd = d // self.heads
        self.norm1, self.norm2 = RmsNorm(d, c["eps"]), RmsNorm(d, c["eps"])
        self.q, self.out = linear(d, d, False), linear(d, d, False, 0.3)
        self.k, self.v = linear(d, self.kv * self.hd, False), linear(d, self.kv * self.hd, False)
        self.gate, self.up, self.down = linear(d, c["ff"], False), linear(d, c["ff"], False), linear(c["ff"], d, False, 0.3)

    def forward(self, x, batch, cos, sin, layer, only=None):
        """The block's output for the tokens [tokens, dim] of a batch, or `only` some, and how far attention is from its looks,
        summed."""
        h = self.norm1(x)
        q = rotate(self.q(h).view(-1, self.heads, self.hd), cos, sin)
        k = rotate(self.k(h).view(-1, self.kv, self.hd), cos, sin) * (1.0 / math.sqrt(self.hd))
        v = self.v(h).view(-1, self.kv, self.hd)
        group, out, far = self.heads // self.kv, [], x.new_zeros(())
        for part in batch.parts:
            n, t = part.queries.shape
            one, keys, values = (pick(y, at).transpose(1, 2) for y, at in ((q, part.queries), (k, part.keys), (v, part.keys)))
            # the query heads of one key head, one below the other
            s = (one.reshape(n, self.kv, group * t, self.hd) @ keys.transpose(2, 3)).view(n, self.kv, group, t, -1) + part.mask
            a = torch.softmax(s, -1).view(n, self.kv, group * t, -1) @ values
            out.append(a.view(n, self.heads, t, self.hd).transpose(1, 2).reshape(n * t, -1))
            wanted = [(lines + head * t, shares, logs) for which, (lines, shares, logs) in part.looks.items()
                      for at, head in LOOKS[which] if at == layer]
            if wanted:
                lines, shares, logs = (torch.cat(v) for v in zip(*wanted))
                far = far + (shares * (logs - torch.log_softmax(pick(s.view(-1, s.shape[-1]), lines), -1))).sum()
        home = batch.home
        if only is not None:
            x, home = x.index_select(0, only), home[only]
        x = x + self.out(torch.cat(out).index_select(0, home))
        h = self.norm2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h)), far


# Heads of the decoder that are taught where to look, (layer, head): the words for a thing at the thing (and at all of many,
# so that they can be counted), the answer at the words for the first thing of a question, and for the second.
LOOKS = {"thing": ((1, 4), (2, 3)), "many": ((1, 3),), "first": ((2, 0), (3, 0)), "second": ((2, 1), (3, 1))}


class Eye(nn.Module):
    """The whole model; `aux` are the training heads, which are not exported."""

    def __init__(self, c=None):
        super().__init__()
        self.c = dict(CONFIG, **(c or {}))
        self.tower = Tower(self.c)
        self.embed = nn.Parameter(torch.randn(self.c["vocab"], self.c["dim"]) * 0.05)
        self.blocks = nn.ModuleList(Block(self.c) for _ in range(self.c["layers"]))
        self.norm = RmsNorm(self.c["dim"], self.c["eps"])
        self.aux = linear(self.c["vit"], sum(AUX), True, 0.3)

    def forward(self, images, batch):
        """Logits where a batch has targets, for pictures; in the order of its tokens."""
        return self.read(self.tower(images)[0], batch)[0]

    def read(self, pictures, batch):
        """Logits where a batch has targets, for the tower's image tokens, and the mean distance of attention from its looks."""
        x = pick(self.embed, batch.tokens)
        x = x.index_copy(0, batch.slots.flatten(), pictures.flatten(0, 1))
        hd = self.c["dim"] // self.c["heads"]
        angle = batch.positions[:, None, None].float() * self.c["theta"] ** (-torch.arange(0, hd, 2, device=x.device).float() / hd)
        cos, sin = torch.cos(angle), torch.sin(angle)
        far = x.new_zeros(())
        for layer, block in enumerate(self.blocks):
            x, apart = block(x, batch, cos, sin, layer, batch.wanted if block is self.blocks[-1] else None)
            far = far + apart
        taught = sum(len(LOOKS[which]) * len(lines) for part in batch.parts for which, (lines, _, _) in part.looks.items())
        return self.norm(x) @ self.embed.t(), far / max(1, taught)
