"""Accuracy per kind of question, on held-out scenes and on held-out combinations (pairs of colour and shape, numbers, words).

    python3 evaluate.py --gguf TEXT MMPROJ            the weights of a pair of files, run by torch
    python3 evaluate.py --checkpoint RUN/checkpoint.pt
    python3 evaluate.py --write DIR --scenes 50       the pictures as PNG, and questions.json
    python3 evaluate.py --mote build/release/edge/mote --gguf TEXT MMPROJ --write DIR --scenes 50
                                                      the same, answered by the engine and scored
"""

import argparse
import json
import os
import subprocess

import numpy as np
import torch
from PIL import Image

import scenes
from batches import ENGINES, Packer, firsts
from questions import ask
from tokenizer import Tokenizer

BATCH = 64
SETS = {"scenes": "never", "combinations": "only"}
HERE = os.path.dirname(os.path.abspath(__file__))


def ask_all(rng, scene, count):
    """Different questions about a scene, `count` or fewer."""
    out = {}
    for _ in range(4 * count):
        kind, q, a, _ = ask(rng, scene)
        if len(out) < count:
            out.setdefault(q, (kind, q, a))
    return list(out.values())


def held_out(count, held, seed, hard=1.0, questions=6):
    """Held-out scenes, redrawn from a seed: pictures, descriptions, for each (kind, question, answer)s, and patch labels."""
    drawn = [scenes.draw((seed, 777, i), hard, held) for i in range(count)]
    asked = [ask_all(np.random.default_rng((seed, 778, i)), d[1], questions) for i, d in enumerate(drawn)]
    return np.stack([d[0] for d in drawn]), [d[1] for d in drawn], asked, np.stack([d[2] for d in drawn])


def accuracy(model, packer, check, prefix=ENGINES):
    """{kind: (share right, how many)} of greedy answers: right is every token right, and the end."""
    images, described, asked = check[:3]
    right, device = {}, next(model.parameters()).device
    for at in range(0, len(images), BATCH):
        rows = [packer.row(None, s, len(qs), prefix, qs) for s, qs in zip(described[at:at + BATCH], asked[at:at + BATCH])]
        batch = packer.pack(rows, device)
        with torch.no_grad():
            logits = model(torch.from_numpy(images[at:at + BATCH]).to(device), batch)
        good = torch.ones(len(batch.tokens), dtype=torch.bool)
        good[batch.wanted.cpu()] = (logits.argmax(1) == batch.answers).cpu()
        for start, r in zip(firsts(rows), rows):
            for kind, first, last in r[5]:
                right.setdefault(kind, []).append(bool(good[start + first:start + last].all()))
    return {k: (sum(v) / len(v), len(v)) for k, v in right.items()}


def write(folder, check, sizes=False):
    """The pictures as PNG and the questions as JSON; with `sizes`, also some pictures in other sizes."""
    os.makedirs(folder, exist_ok=True)
    out = []
    for i, (pixels, scene, qs) in enumerate(zip(*check[:3])):
        names = ["%03d.png" % i]
        image = Image.fromarray(pixels)
        image.save(os.path.join(folder, names[0]))
        if sizes and i < 6:
            for w, h in ((256, 256), (320, 240), (90, 140)):
                names.append("%03d-%dx%d.png" % (i, w, h))
                image.resize((w, h), Image.LANCZOS).save(os.path.join(folder, names[-1]))
        out += [{"image": n, "kind": k, "question": q, "answer": a} for n in names for k, q, a in qs]
    with open(os.path.join(folder, "questions.json"), "w") as f:
        json.dump(out, f, indent=1)
    return out


def ask_mote(mote, text, mmproj, folder, questions):
    """The engine's accuracy per kind, from `mote run --json`, greedy."""
    right = {}
    for q in questions:
        done = subprocess.run([mote, "run", text, "-mm", mmproj, "--image", os.path.join(folder, q["image"]), "-p", q["question"],
                               "--temp", "0", "-n", "48", "--json"], capture_output=True, text=True, check=True)
        q["said"] = json.loads(done.stdout)["text"].strip()
        right.setdefault(q["kind"], []).append(q["said"] == q["answer"])
    return {k: (sum(v) / len(v), len(v)) for k, v in right.items()}


def show(title, table):
    print("%s\n\n| kind | right | questions |\n|---|---|---|" % title)
    for k in sorted(table):
        print("| %s | %.1f %% | %d |" % (k, 100 * table[k][0], table[k][1]))
    print(flush=True)


def load(gguf=None, checkpoint=None):
    from export import load_gguf
    from model import Eye
    model = Eye()
    if checkpoint:
        model.load_state_dict(dict(torch.load(checkpoint, map_location="cpu")["mean"]))
    else:
        load_gguf(model, *gguf)
    return model.eval()


def main():
    p = argparse.ArgumentParser(description="accuracy per kind of question")
    p.add_argument("--gguf", nargs=2, metavar=("TEXT", "MMPROJ"), action="append", default=[], help="may be given again")
    p.add_argument("--checkpoint")
    p.add_argument("--scenes", type=int, default=2000, help="scenes in each of the two sets")
    p.add_argument("--seed", type=int, default=20)
    p.add_argument("--write", metavar="DIR", help="write pictures and questions")
    p.add_argument("--mote", help="the program; asks it instead of torch (needs --gguf and --write)")
    p.add_argument("--json", help="also write the accuracies to this file")
    a = p.parse_args()
    packer, tables = Packer(Tokenizer.load(os.path.join(HERE, "tokenizer.json"))), {}
    models = {} if a.mote else {os.path.basename(g[0]): load(gguf=g) for g in a.gguf}
    if a.checkpoint:
        models["checkpoint"] = load(checkpoint=a.checkpoint)
    for name, held in SETS.items():
        check = held_out(a.scenes, held, a.seed)
        if a.write:
            folder = os.path.join(a.write, name)
            questions = write(folder, check, sizes=not a.mote)
        for g in a.gguf if a.mote else []:
            tag = "%s, %s" % (os.path.basename(g[0]), name)
            tables[tag] = ask_mote(a.mote, g[0], g[1], folder, questions)
            show("By mote: " + tag, tables[tag])
        for model in models:
            tag = "%s, %s" % (model, name)
            tables[tag] = accuracy(models[model], packer, check)
            show(tag, tables[tag])
    if a.json:
        with open(a.json, "w") as f:
            json.dump(tables, f, indent=1, sort_keys=True)


if __name__ == "__main__":
    main()
