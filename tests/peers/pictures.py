#!/usr/bin/python3
"""The model in the box on the recipe's pictures: mote beside llama.cpp, on the same two files.

  tests/peers/pictures.py --oracle PROGRAM MODEL.gguf MMPROJ.gguf PICTURES [--count 50] [--build build/release] [--own-size]

PICTURES holds questions.json ([{"image", "kind", "question", "answer"}]) and the pictures that it names. Both engines answer one
question about each, greedily. PROGRAM is that of vision.py with `-n TOKENS -t 1` (threads), after which OUT.layout ends with
`greedy IDS...` and `answer TEXT`, and OUT.logits goes on with a row for each token generated but the last. Printed: how many
answers are the recipe's, and whether the engines give the same tokens: a share over all tokens up to and with the first that
differs. llama.cpp gets the picture resampled as Pillow does it, so that the engines are compared and not their resampling; with
--own-size it resamples itself. Without the program `mote` in the build llama.cpp alone is asked.

With the target peer_picture_rows in the build also, from the same pixels: the relative error of the picture's rows, and of the
logits behind the prompt and behind each token of llama.cpp's answer, and on how many of these both have the same most likely
token. llama.cpp must give the picture as one view (later ones than a5bb8ba4 tile a file without clip.vision.preproc_image_size,
showing it twice: leave the tile out), and for Q8_0 and Q4_0 without AMX, which fails on a vocabulary of 673.
Needs python3-numpy and python3-pil.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

TOKENS = 24


def chosen(folder, count):
    """(pixels, kind, question, answer) of up to `count` pictures: another of its questions for each."""
    with open(os.path.join(folder, "questions.json"), encoding="utf-8") as file:
        asked = {}
        for one in json.load(file):
            asked.setdefault(one["image"], []).append(one)
    out = []
    for number, (name, questions) in enumerate(sorted(asked.items())[:count]):
        pixels = np.asarray(Image.open(os.path.join(folder, name)).convert("RGB"))
        one = questions[number % len(questions)]
        out.append((name, pixels, one["kind"], one["question"], one["answer"]))
    return out


def ask_llama(args, folder, pixels, question):
    if not args.own_size:
        pixels = np.asarray(Image.fromarray(pixels).resize((args.size, args.size), Image.LANCZOS))
    picture, out = os.path.join(folder, "picture.rgb"), os.path.join(folder, "out")
    pixels.tofile(picture)
    prompt = f"<|im_start|>User:<__media__>{question}<end_of_utterance>\nAssistant:"
    size = f"{pixels.shape[1]}x{pixels.shape[0]}"
    subprocess.run([args.oracle, args.model, args.mmproj, out, "-p", prompt, "-i", picture, size, "-n", str(TOKENS), "-t", "1"], check=True)
    with open(out + ".layout", encoding="utf-8") as file:
        lines = file.read().split("\n")
    ids = next(line for line in lines if line.startswith("greedy")).split()[1:]
    text = next(line for line in lines if line.startswith("answer"))[len("answer "):]
    return [int(i) for i in ids], text, [line for line in lines if line.startswith(("text", "image"))], (prompt, picture, size)


class Numbers:
    """Of both engines, on the same pixels: rows of pictures, and logits behind the prompt and each token of the answer."""

    def __init__(self):
        self.rows, self.logits, self.same, self.margins = [], [], 0, []

    def add(self, args, folder, asked, ids):
        ours, theirs = os.path.join(folder, "ours"), os.path.join(folder, "out")
        program = os.path.join(args.build, "tests", "peer_picture_rows")
        subprocess.run([program, args.model, args.mmproj, ours, *asked, ",".join(str(i) for i in ids[:-1])], check=True)
        got, want = (np.fromfile(name + ".emb", np.float32) for name in (ours, theirs))
        self.rows.append(np.linalg.norm(got - want) / np.linalg.norm(want))
        got = np.fromfile(ours + ".logits", np.float32).reshape(len(ids), -1)
        want = np.fromfile(theirs + ".logits", np.float32).reshape(-1, got.shape[1])[-len(ids):]
        self.logits += list(np.linalg.norm(got - want, axis=1) / np.linalg.norm(want, axis=1))
        differ = got.argmax(axis=1) != want.argmax(axis=1)
        self.same += len(ids) - int(differ.sum())
        best = np.sort(want, axis=1)[differ]
        self.margins += list(best[:, -1] - best[:, -2])

    def show(self):
        print(f"rows: relative error at most {max(self.rows):.1e}, median {np.median(self.rows):.1e}")
        print(f"logits: relative error at most {max(self.logits):.1e}, median {np.median(self.logits):.1e}")
        count = len(self.logits)
        print(f"most likely token: the same behind {self.same} of {count} tokens, {100 * self.same / count:.2f} %"
              + "".join(f"; where not, llama.cpp's first led by {margin:.3f}" for margin in self.margins))
        return self.same >= 0.99 * count


def ask_mote(args, folder, pixels, question):
    picture = os.path.join(folder, "picture.png")
    Image.fromarray(pixels).save(picture)
    words = [os.path.join(args.build, "edge", "mote"), "run", args.model, "-mm", args.mmproj, "--image", picture, "-p", question,
             "-n", str(TOKENS), "--temp", "0", "--json"]
    answer = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout)
    return answer["tokens"], answer["text"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("mmproj")
    parser.add_argument("pictures")
    parser.add_argument("--oracle", required=True)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--own-size", action="store_true", help="llama.cpp resamples")
    parser.add_argument("--size", type=int, default=128, help="the tower's native square, pixels")
    parser.add_argument("--count", type=int, default=50)
    args = parser.parse_args()
    ours_too = os.access(os.path.join(args.build, "edge", "mote"), os.X_OK)
    numbers = Numbers() if os.access(os.path.join(args.build, "tests", "peer_picture_rows"), os.X_OK) else None
    right = same = compared = number = 0
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, pixels, kind, question, answer) in enumerate(chosen(args.pictures, args.count)):
            ids, text, pieces, asked = ask_llama(args, folder, pixels, question)
            if numbers is not None:
                numbers.add(args, folder, asked, ids)
            text = text.replace("<end_of_utterance>", "").strip()
            right += text == answer
            line = f"{name:16s} {kind:9s} {question} -> {text}" + ("" if text == answer else f"   (recipe: {answer})")
            if number == 0:
                print("\n".join(pieces))
            if ours_too:
                ours, our_text = ask_mote(args, folder, pixels, question)
                # The end token is not among mote's.
                theirs = ids[:len(ours)]
                agree = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), len(ours))
                same, compared = same + agree, compared + min(len(ours), agree + 1)
                line += "" if agree == len(ours) else f"   MOTE: {our_text.strip()}"
            print(line, flush=True)
    print(f"llama.cpp answers {right} of {number + 1} as the recipe does")
    if ours_too:
        print(f"same tokens: {same} of {compared}, {100 * same / max(compared, 1):.2f} %")
    agree = numbers is None or numbers.show()
    return 1 if not agree or (ours_too and same < 0.99 * compared) else 0


if __name__ == "__main__":
    sys.exit(main())
