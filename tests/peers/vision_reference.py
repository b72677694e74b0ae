#!/usr/bin/python3
"""The towers once more, in double precision and without another engine: checks tests/golden/llama_cpp_vision.txt.

  tests/peers/vision_reference.py [--build build/release] [--golden tests/golden/llama_cpp_vision.txt] [--only NAME]

Reads the small models that peer_vision_models writes and the golden file, computes every picture's embeddings from the same
views with numpy as the models' papers and transformers define them, and prints the relative error of the golden values. Fails
where an F32 model's is 1e-4 or more (F16: 3e-3, Q8_0: 0.05). Needs python3-numpy and python3-pil.
"""
import argparse
import math
import os
import struct
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

import vision

BOUNDS = {"F16": 3e-3, "Q8_0": 0.05}


class Gguf:
    """Metadata and tensors as float64 with the shape reversed (rows first)."""

    SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        self.at = 4
        self.take("I")
        count, keys = self.take("Q"), self.take("Q")
        self.meta = {}
        for _ in range(keys):
            key = self.string()
            self.meta[key] = self.value(self.take("I"))
        entries = []
        for _ in range(count):
            name = self.string()
            shape = [self.take("Q") for _ in range(self.take("I"))]
            entries.append((name, shape, self.take("I"), self.take("Q")))
        base = (self.at + 31) // 32 * 32
        self.tensors = {name: self.tensor(shape, kind, base + offset) for name, shape, kind, offset in entries}

    def take(self, form):
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values[0]

    def string(self):
        size = self.take("Q")
        self.at += size
        return self.data[self.at - size:self.at].decode()

    def value(self, kind):
        if kind == 8:
            return self.string()
        if kind == 9:
            of, count = self.take("I"), self.take("Q")
            return [self.value(of) for _ in range(count)]
        return self.take(self.SCALARS[kind])

    def tensor(self, shape, kind, offset):
        count = math.prod(shape)
        if kind == 8:
            blocks = np.frombuffer(self.data, np.dtype([("scale", "<f2"), ("q", "i1", 32)]), count // 32, offset)
            values = blocks["scale"].astype(np.float64)[:, None] * blocks["q"]
        else:
            values = np.frombuffer(self.data, {0: "<f4", 1: "<f2"}[kind], count, offset).astype(np.float64)
        return values.reshape(shape[::-1])


def gelu(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def quick_gelu(x):
    return x / (1 + np.exp(-1.702 * x))


def silu(x):
    return x / (1 + np.exp(-x))


def layer_norm(x, weight, bias, epsilon):
    x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * weight
    return x if bias is None else x + bias


def rms_norm(x, weight, epsilon):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * weight


class Tower:
    def __init__(self, file):
        self.t, meta = file.tensors, file.meta
        key = "clip.vision."
        self.projector = meta["clip.projector_type"]
        self.width, self.patch = meta[key + "embedding_length"], meta[key + "patch_size"]
        self.layers, self.heads = meta[key + "block_count"], meta[key + "attention.head_count"]
        self.epsilon = meta[key + "attention.layer_norm_epsilon"]
        self.scale, self.merge = meta.get(key + "projector.scale_factor", 0), meta.get(key + "spatial_merge_size", 1)
        self.pattern, self.features = meta.get(key + "n_wa_pattern", 0), meta.get(key + "feature_layer", [])
        self.rms = self.projector in ("pixtral", "qwen2.5vl_merger")
        self.act = gelu if meta.get("clip.use_gelu") else silu if meta.get("clip.use_silu") else quick_gelu

    def linear(self, x, name):
        y = x @ self.t[name + ".weight"].T
        return y + self.t[name + ".bias"] if name + ".bias" in self.t else y

    def norm(self, x, name):
        weight = self.t[name + ".weight"]
        return rms_norm(x, weight, self.epsilon) if self.rms else layer_norm(x, weight, self.t.get(name + ".bias"), self.epsilon)

    def patches(self, pixels):
        """Reading order: (rows, columns, width)."""
        p = self.patch
        rows, columns = pixels.shape[0] // p, pixels.shape[1] // p
        cut = pixels.reshape(rows, p, columns, p, 3).transpose(0, 2, 4, 1, 3).reshape(rows, columns, -1)
        kernel = self.t["v.patch_embd.weight"]
        if "v.patch_embd.weight.1" in self.t:
            kernel = kernel + self.t["v.patch_embd.weight.1"]
        x = cut @ kernel.reshape(self.width, -1).T
        return x + self.t["v.patch_embd.bias"] if "v.patch_embd.bias" in self.t else x

    def positions(self, rows, columns):
        """The learned table; Qwen3-VL's stretched to the grid, corners on corners."""
        table = self.t["v.position_embd.weight"]
        if self.projector != "qwen3vl_merger":
            return table
        side = int(math.sqrt(len(table)))
        table = table.reshape(side, side, -1)

        def along(axis_values, count):
            at = np.linspace(0, side - 1, count)
            low = np.minimum(at.astype(int), side - 1)
            high = np.minimum(low + 1, side - 1)
            part = (at - low).reshape(-1, *[1] * (axis_values.ndim - 1))
            return axis_values[low] * (1 - part) + axis_values[high] * part

        return along(along(table, rows).transpose(1, 0, 2), columns).transpose(1, 0, 2).reshape(rows * columns, -1)

    def rotate(self, x, rows, columns):
        """x: (heads, tokens, head): pairs turned by the patch's row and column."""
        half = x.shape[-1] // 2
        y, z = np.divmod(np.arange(rows * columns), columns)
        k = np.arange(half // 2)
        if self.projector == "pixtral":
            angle = np.concatenate([np.outer(y, 1e4 ** (-4 * k / (2 * half))), np.outer(z, 1e4 ** (-(4 * k + 2) / (2 * half)))], 1)
            a, b = x[..., 0::2], x[..., 1::2]
        else:
            step = 1e4 ** (-2 * k / half)
            angle = np.concatenate([np.outer(y, step), np.outer(z, step)], 1)
            a, b = x[..., :half], x[..., half:]
        cos, sin = np.cos(angle), np.sin(angle)
        out = np.empty_like(x)
        if self.projector == "pixtral":
            out[..., 0::2], out[..., 1::2] = a * cos - b * sin, a * sin + b * cos
        else:
            out[..., :half], out[..., half:] = a * cos - b * sin, a * sin + b * cos
        return out

    def visible(self, layer, rows, columns):
        """Who sees whom in this layer; None: everyone."""
        if self.pattern == 0 or (layer + 1) % self.pattern == 0:
            return None
        side = 112 // self.patch // 2 * 2
        y, x = np.divmod(np.arange(rows * columns), columns)
        window = y // side * columns + x // side
        return window[:, None] == window[None, :]

    def attention(self, x, b, layer, rows, columns):
        if b + "attn_qkv.weight" in self.t:
            q, k, v = np.split(self.linear(x, b + "attn_qkv"), 3, -1)
        else:
            q, k, v = (self.linear(x, b + name) for name in ("attn_q", "attn_k", "attn_v"))
        q, k, v = (part.reshape(len(x), self.heads, -1).transpose(1, 0, 2) for part in (q, k, v))
        if self.projector == "pixtral" or self.projector.startswith("qwen"):
            q, k = self.rotate(q, rows, columns), self.rotate(k, rows, columns)
        score = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
        seen = self.visible(layer, rows, columns)
        if seen is not None:
            score = np.where(seen, score, -np.inf)
        score = np.exp(score - score.max(-1, keepdims=True))
        out = (score / score.sum(-1, keepdims=True)) @ v
        return self.linear(out.transpose(1, 0, 2).reshape(len(x), -1), b + "attn_out")

    def block(self, x, layer, rows, columns):
        b = f"v.blk.{layer}."
        y = self.attention(self.norm(x, b + "ln1"), b, layer, rows, columns)
        x = x + y * self.t.get(b + "ls1.weight", 1)
        h = self.norm(x, b + "ln2")
        up, down = b + "ffn_up", b + "ffn_down"
        if self.t[up + ".weight"].shape[0] == self.width:  # the first converter's names
            up, down = down, up
        y = self.act(self.linear(h, b + "ffn_gate")) * self.linear(h, up) if b + "ffn_gate.weight" in self.t else self.act(self.linear(h, up))
        return x + self.linear(y, down) * self.t.get(b + "ls2.weight", 1)

    def __call__(self, pixels):
        grid = self.patches(pixels.astype(np.float64))
        rows, columns, _ = grid.shape
        x = grid.reshape(rows * columns, -1)
        if "v.class_embd" in self.t:
            x = np.concatenate([self.t["v.class_embd"][None], x])
        if "v.position_embd.weight" in self.t:
            x = x + self.positions(rows, columns)
        if "v.pre_ln.weight" in self.t:
            x = self.norm(x, "v.pre_ln")
        states = [x]
        for layer in range(self.layers):
            states.append(self.block(states[-1], layer, rows, columns))
        x = np.concatenate([states[i] for i in sorted(self.features)], -1) if self.features else states[-1]
        if "v.post_ln.weight" in self.t:
            x = self.norm(x, "v.post_ln")
        if "v.class_embd" in self.t:
            x = x[1:]
        return self.project(x, states, rows, columns)

    def squares(self, x, rows, columns, side):
        """Tokens of side by side patches in reading order: (tokens, side * side, width)."""
        x = x.reshape(rows // side, side, columns // side, side, -1).transpose(0, 2, 1, 3, 4)
        return x.reshape(rows // side * (columns // side), side * side, -1)

    def project(self, x, states, rows, columns):
        if self.projector == "idefics3":
            return self.linear(self.squares(x, rows, columns, self.scale).reshape(-1, self.width * self.scale**2), "mm.model.fc")
        if self.projector == "gemma3":
            x = rms_norm(self.squares(x, rows, columns, self.scale).mean(1), self.t["mm.soft_emb_norm.weight"], self.epsilon)
            return x @ self.t["mm.input_projection.weight"]
        if self.projector == "internvl":
            x = self.squares(x, rows, columns, self.scale).reshape(-1, self.width * self.scale**2)
            x = layer_norm(x, self.t["mm.model.mlp.0.weight"], self.t["mm.model.mlp.0.bias"], 1e-5)
            return self.linear(gelu(self.linear(x, "mm.model.mlp.1")), "mm.model.mlp.3")
        if self.projector == "mlp":
            return self.linear(gelu(self.linear(x, "mm.0")), "mm.2")
        if self.projector == "pixtral":
            return self.project_pixtral(x, rows, columns)
        main = self.linear(gelu(self.linear(self.squares(x, rows, columns, 2).reshape(-1, 4 * self.width), "mm.0")), "mm.2")
        parts = [main]
        for layer in range(self.layers):
            d = f"v.deepstack.{layer}."
            if d + "fc1.weight" in self.t:
                y = self.norm(self.squares(states[layer + 1], rows, columns, 2).reshape(-1, 4 * self.width), d + "norm")
                parts.append(self.linear(gelu(self.linear(y, d + "fc1")), d + "fc2"))
        return np.concatenate(parts, -1)

    def project_pixtral(self, x, rows, columns):
        if self.merge > 1:
            x = rms_norm(x, self.t["mm.input_norm.weight"], self.epsilon)
            x = self.squares(x, rows, columns, self.merge).transpose(0, 2, 1).reshape(-1, self.width * self.merge**2)
            x = self.linear(x, "mm.patch_merger")
            rows, columns = rows // self.merge, columns // self.merge
        x = self.linear(gelu(self.linear(x, "mm.1")), "mm.2").reshape(rows, columns, -1)
        end = np.broadcast_to(self.t["v.token_embd.img_break"], (rows, 1, x.shape[-1]))
        return np.concatenate([x, end], 1).reshape(-1, x.shape[-1])[:-1]


def golden_images(path):
    """{(model, case): [[(index, value), ...] of each image piece]}"""
    found, key = {}, None
    with open(path, encoding="ascii") as file:
        for line in file:
            words = line.split()
            if words[0] == "case":
                key = (words[1], words[2])
                found[key] = []
            elif words[0] == "image":
                found[key].append([(int(i), float(v)) for i, v in (word.split(":") for word in words[6:])])
    return found


def case_embeddings(tower, model, pictures, folder):
    """One array for each image piece of the prompt, in its order."""
    pieces = []
    for size, name in pictures:
        width, height = map(int, size.split("x"))
        with open(os.path.join(folder, name), "rb") as file:
            image = Image.frombytes("RGB", (width, height), file.read())
        views, columns, _ = vision.VIEWS[model["projector"]](image, model)
        parts = [tower(vision.normalised(view, model)) for view in views]
        if model["projector"] == "idefics3":
            pieces += parts[1:] + parts[:1] if columns else parts
        else:
            pieces.append(np.concatenate(parts))
    return pieces


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--golden", default="tests/golden/llama_cpp_vision.txt")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    golden, failed = golden_images(args.golden), 0
    with tempfile.TemporaryDirectory() as folder:
        made = subprocess.run([os.path.join(args.build, "tests", "peer_vision_models"), folder], check=True, stdout=subprocess.PIPE, text=True)
        model = tower = None
        for line in made.stdout.splitlines():
            words = line.split(" ", 4)
            if args.only not in words[1]:
                continue
            if words[0] == "model":
                model = vision.read_model(line.split())
                tower = Tower(Gguf(os.path.join(folder, f"mmproj-{model['name']}.gguf")))
                continue
            pieces = case_embeddings(tower, model, [item.split(":") for item in words[3].split(",")], folder)
            wanted = golden[(words[1], words[2])]
            pairs = [(piece.reshape(-1)[i], value) for piece, samples in zip(pieces, wanted) for i, value in samples]
            error = math.sqrt(sum((a - b) ** 2 for a, b in pairs) / sum(b * b for _, b in pairs))
            good = len(pieces) == len(wanted) and error < BOUNDS.get(words[1].rsplit("-", 1)[-1], 1e-4)
            failed += not good
            print(f"{words[1]:16s} {words[2]:8s} relative error {error:.1e}" + ("" if good else "   TOO FAR"), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
