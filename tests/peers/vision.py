#!/usr/bin/python3
"""Makes tests/golden/llama_cpp_vision.txt: what llama.cpp answers for small random vision-language models of every projector.

  tests/peers/vision.py --oracle PROGRAM [--build build/release] [--only NAME] [--golden tests/golden/llama_cpp_vision.txt]

Needs python3-pil and python3-numpy, the target peer_vision_models of a build, and a program around llama.cpp's mtmd library:

  PROGRAM MODEL.gguf MMPROJ.gguf OUT -p PROMPT -v VIEWS -t 1 -i PICTURE WxH [-i ...]

It tokenizes the prompt (<__media__> is a picture), takes the views of VIEWS instead of its own resampled ones, and writes
  OUT.layout  a line a piece: `text pos P ids ...` or `image pos P tokens N nx X ny Y npos M views WxH ...`
  OUT.emb     the pictures' embeddings as float32, piece by piece
  OUT.logits  float32, a row for each token of the last text piece
VIEWS holds, for each picture, int32 views, columns, rows (of tiles; 0 and 0: none), then for each view int32 width, height and
its float32 pixels, RGB interleaved, normalised.

The views are those of the models' own processors (transformers; InternVL's dynamic_preprocess), written here again with Pillow,
because llama.cpp resamples differently from what the models were trained with. Everything after the pixels is llama.cpp, with
these differences from a plain build, each a known defect there or a rounding that would hide errors:
  mlp, internvl   the class token comes first, as the position table has it (llama.cpp issue 25814)
  mlp             every stored block runs, where feature_layer does not say otherwise (issue 25817)
  qwen3vl         positions are interpolated with aligned corners, and rotary pairs past the sections follow time, as in transformers
  all             GELU by its formula and not by a table of float16; attention in float32 (flash attention off, float32 cache)

A golden case is these lines:
  case MODEL CASE PROMPT
  picture SEED WxH                                          once for each picture
  view WxH MEAN INDEX:VALUE...                              once for each view: mean and 8 of its normalised pixels
  text POSITION IDS...  |  image POSITION TOKENS POSITIONS_TAKEN WIDTH NORM INDEX:VALUE...          the prompt's pieces in order:
                                                            Euclidean norm of all embeddings, and 24 of their values
  logits TOKEN:VALUE...                                     after the last token: the 8 most likely, then every 64th
  end
"""
import argparse
import math
import os
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

BILINEAR, BICUBIC, LANCZOS = Image.BILINEAR, Image.BICUBIC, Image.LANCZOS


def stretch(image, width, height, how):
    return image if image.size == (width, height) else image.resize((width, height), how)


def tiles(image, side):
    """Squares in reading order."""
    width, height = image.size
    return [image.crop((x, y, x + side, y + side)) for y in range(0, height, side) for x in range(0, width, side)]


def idefics3_views(image, model):
    side, longest = model["image"], model["longest"]
    if longest == 0:
        return [stretch(image, side, side, LANCZOS)], 0, 0
    width, height = image.size
    if width >= height:
        size = [longest, int(longest / (width / height))]
        size[1] += size[1] % 2
    else:
        size = [int(longest * (width / height)), longest]
        size[0] += size[0] % 2
    image = stretch(image, max(size[0], 1), max(size[1], 1), LANCZOS)
    width, height = image.size
    aspect = width / height
    if width >= height:
        width = math.ceil(width / side) * side
        height = math.ceil(int(width / aspect) / side) * side
    else:
        height = math.ceil(height / side) * side
        width = math.ceil(int(height * aspect) / side) * side
    image = stretch(image, width, height, LANCZOS)
    if width <= side and height <= side:
        return [image], 0, 0
    # The library wants the overview first; in the prompt it comes last.
    return [stretch(image, side, side, LANCZOS)] + tiles(image, side), width // side, height // side


def qwen_views(image, model):
    """smart_resize with the limits that llama.cpp has: 8 to 4096 tokens."""
    unit = 2 * model["patch"]
    least, most = 8 * unit * unit, 4096 * unit * unit
    width, height = image.size
    w, h = max(unit, round(width / unit) * unit), max(unit, round(height / unit) * unit)
    if w * h > most:
        beta = math.sqrt(width * height / most)
        w, h = max(unit, math.floor(width / beta / unit) * unit), max(unit, math.floor(height / beta / unit) * unit)
    elif w * h < least:
        beta = math.sqrt(least / (width * height))
        w, h = math.ceil(width * beta / unit) * unit, math.ceil(height * beta / unit) * unit
    return [stretch(image, w, h, BICUBIC)], 0, 0


def gemma3_views(image, model):
    return [stretch(image, model["image"], model["image"], BILINEAR)], 0, 0


def internvl_views(image, model):
    side, most = model["image"], model["tiles"]
    width, height = image.size
    ratios = sorted({(i, j) for i in range(1, most + 1) for j in range(1, most + 1) if i * j <= most}, key=lambda r: (r[0] * r[1], r))
    best, best_difference = (1, 1), math.inf
    for ratio in ratios:
        difference = abs(width / height - ratio[0] / ratio[1])
        if difference < best_difference:
            best, best_difference = ratio, difference
        elif difference == best_difference and width * height > 0.5 * side * side * ratio[0] * ratio[1]:
            best = ratio
    views = tiles(stretch(image, best[0] * side, best[1] * side, BICUBIC), side)
    if len(views) > 1:
        views.append(stretch(image, side, side, BICUBIC))
    return views, 0, 0


def pixtral_views(image, model):
    unit = model["patch"] * max(model["merge"], 1)
    width, height = image.size
    ratio = max(width / model["image"], height / model["image"])
    if ratio > 1:
        width, height = math.floor(width / ratio), math.floor(height / ratio)
    return [stretch(image, -(-width // unit) * unit, -(-height // unit) * unit, BICUBIC)], 0, 0


def mlp_views(image, model):
    """LLaVA: a square on the mean colour, then the tower's size."""
    width, height = image.size
    longer = max(width, height)
    square = Image.new("RGB", (longer, longer), (122, 116, 104))
    square.paste(image, ((longer - width) // 2, (longer - height) // 2))
    return [stretch(square, model["image"], model["image"], BICUBIC)], 0, 0


VIEWS = {
    "idefics3": idefics3_views,
    "qwen2vl_merger": qwen_views,
    "qwen2.5vl_merger": qwen_views,
    "qwen3vl_merger": qwen_views,
    "gemma3": gemma3_views,
    "internvl": internvl_views,
    "pixtral": pixtral_views,
    "mlp": mlp_views,
}


def normalised(view, model):
    pixels = np.asarray(view, dtype=np.float32) / np.float32(255)
    return (pixels - model["mean"]) / model["std"]


def samples(values, count):
    values = values.reshape(-1)
    return " ".join(f"{i}:{values[i]:.7g}" for i in sorted({k * (values.size - 1) // (count - 1) for k in range(count)}))


def write_views(path, pictures, folder, model):
    """Writes VIEWS; returns the golden file's lines about pictures and views."""
    lines = []
    with open(path, "wb") as out:
        for size, name in pictures:
            width, height = map(int, size.split("x"))
            with open(os.path.join(folder, name), "rb") as file:
                image = Image.frombytes("RGB", (width, height), file.read())
            views, columns, rows = VIEWS[model["projector"]](image, model)
            np.array([len(views), columns, rows], np.int32).tofile(out)
            lines.append(f"picture {name.split('-')[1]} {size}")
            for view in views:
                pixels = normalised(view, model)
                np.array(view.size, np.int32).tofile(out)
                pixels.astype(np.float32).tofile(out)
                lines.append(f"view {view.size[0]}x{view.size[1]} {pixels.mean(dtype=np.float64):.7g} {samples(pixels, 8)}")
    return lines


def layout_lines(out):
    """The prompt's pieces, with the embeddings' samples."""
    embeddings = np.fromfile(out + ".emb", np.float32)
    with open(out + ".layout", encoding="utf-8") as file:
        pieces = [line.split() for line in file]
    total = sum(int(words[4]) for words in pieces if words[0] == "image")
    width, at, lines = embeddings.size // total, 0, []
    for words in pieces:
        if words[0] == "text":
            lines.append(" ".join(["text", words[2]] + words[4:]))
        elif words[0] == "image":
            count = int(words[4]) * width
            part, at = embeddings[at:at + count], at + count
            norm = math.sqrt(float(np.sum(part.astype(np.float64) ** 2)))
            lines.append(f"image {words[2]} {words[4]} {words[10]} {width} {norm:.7g} {samples(part, 24)}")
    return lines


def logits_line(out, vocab):
    last = np.fromfile(out + ".logits", np.float32)[-vocab:]
    best = [int(i) for i in np.argsort(-last, kind="stable")[:8]]
    return "logits " + " ".join(f"{i}:{last[i]:.7g}" for i in best + [i for i in range(0, vocab, 64) if i not in best])


def golden_case(args, folder, model, case, pictures, prompt):
    out, views = os.path.join(folder, "out"), os.path.join(folder, "views")
    lines = [f"case {model['name']} {case} {prompt}"] + write_views(views, pictures, folder, model)
    command = [args.oracle, os.path.join(folder, model["name"] + ".gguf"), os.path.join(folder, f"mmproj-{model['name']}.gguf"), out,
               "-p", prompt, "-v", views, "-t", "1"]
    for size, name in pictures:
        command += ["-i", os.path.join(folder, name), size]
    subprocess.run(command, check=True)
    return lines + layout_lines(out) + [logits_line(out, args.vocab), "end"]


def read_model(words):
    numbers = [int(word) for word in words[3:8]]
    model = dict(zip(("image", "patch", "longest", "tiles", "merge"), numbers), name=words[1], projector=words[2])
    model["mean"], model["std"] = (np.array([float(word) for word in words[i:i + 3]], np.float32) for i in (8, 11))
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oracle", required=True)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--only", default="", help="models whose name has this")
    parser.add_argument("--golden", help="the file to write; otherwise the lines are printed")
    parser.add_argument("--version", default="a5bb8ba4", help="llama.cpp's commit, for the first line")
    parser.add_argument("--vocab", type=int, default=512)
    args = parser.parse_args()
    lines = [f"# Made by tests/peers/vision.py with llama.cpp {args.version}; what the lines are stands there."]
    with tempfile.TemporaryDirectory() as folder:
        made = subprocess.run([os.path.join(args.build, "tests", "peer_vision_models"), folder], check=True, stdout=subprocess.PIPE, text=True)
        model = None
        for line in made.stdout.splitlines():
            words = line.split(" ", 4)
            if words[0] == "model":
                model = read_model(line.split())
            elif args.only in words[1]:
                pictures = [item.split(":") for item in words[3].split(",")]
                lines += golden_case(args, folder, model, words[2], pictures, words[4])
    text = "\n".join(lines) + "\n"
    if args.golden:
        with open(args.golden, "w", encoding="ascii") as file:
            file.write(text)
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
