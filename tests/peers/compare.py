#!/usr/bin/python3
"""Compares mote's logits with llama.cpp's on small random models of every family, weight type and rope scaling.

  tests/peers/compare.py [--build build/release] [--tokens 512] [--only SUBSTRING] [MODEL.gguf ...]
  tests/peers/compare.py --text STORY.txt [--float] MODEL.gguf ...      on the tokens of a text, of trained models
  tests/peers/compare.py --golden tests/golden/llama_cpp_logits.txt     writes llama.cpp's side for tests/run/golden_test.cc

Needs npm packages (npm install in tests/peers), Node, and the targets mote_program and peer_models of a build:
  cmake --preset release && cmake --build --preset release --target mote_program peer_models
 For every model the same pseudo-random tokens go through
both engines; printed are the share of positions with the same most likely token and the relative error of the logits (root
mean square over a row): the median and the worst of all positions. Fails where F32 or F16 agree on less than 99 % of positions, or
F32's error is 1e-3 or more: its worst, or its median for mixtures of experts, where two experts of nearly the same
probability may change places and one position then differs for good reason. Quantised weights are held to 8 % (experts to 20 %):
both engines round activations to 8 bits, each in its own blocks. --float says how near either is to the same weights in F32
(mote quantize), whose activations nobody rounds.
"""
import argparse
import array
import math
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
FLOAT_TYPES = ("F32", "F16", "BF16")


def random_tokens(count, vocab):
    seed, out = 7, []
    for _ in range(count):
        seed = (seed * 1664525 + 1013904223) % 2**32
        out.append((seed >> 8) % vocab)
    return out


def read_floats(path):
    values = array.array("f")
    with open(path, "rb") as file:
        values.frombytes(file.read())
    return values


def compare(ours, theirs, count):
    """(share of equal top-1, median and worst relative error) over `count` rows."""
    vocab = len(theirs) // count
    same, errors = 0, []
    for row in range(count):
        a = ours[row * vocab:(row + 1) * vocab]
        b = theirs[row * vocab:(row + 1) * vocab]
        same += max(range(vocab), key=a.__getitem__) == max(range(vocab), key=b.__getitem__)
        error = math.fsum((x - y) ** 2 for x, y in zip(a, b))
        errors.append(math.sqrt(error / math.fsum(y * y for y in b)))
    errors.sort()
    return same / count, errors[count // 2], errors[-1]


def weight_type(path):
    stem = os.path.basename(path).removesuffix(".gguf")
    return "F32" if "-rope-" in stem else stem.rsplit("-", 1)[-1]


def llama_logits(args, path, folder, tokens):
    out = os.path.join(folder, "theirs.bin")
    subprocess.run([args.node, os.path.join(args.modules, "llama_logits.mjs"), path, ",".join(map(str, tokens)), out],
                   check=True, stdout=subprocess.DEVNULL)
    return read_floats(out)


def golden_line(args, path, folder):
    """name, tokens of the prompt, then `id:logit` of the eight most likely and every 64th token of the last position."""
    tokens = random_tokens(args.tokens, args.vocab)
    logits = llama_logits(args, path, folder, tokens)
    vocab = len(logits) // args.tokens
    last = logits[-vocab:]
    best = sorted(range(vocab), key=last.__getitem__, reverse=True)[:8]
    ids = best + [i for i in range(0, vocab, 64) if i not in best]
    name = os.path.basename(path).removesuffix(".gguf")
    return " ".join([name, str(args.tokens)] + [f"{i}:{last[i]:.7g}" for i in ids])


def mote(args, *words):
    return subprocess.run([os.path.join(args.build, "edge", "mote"), *words], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True).stdout


def mote_logits(args, path, folder, tokens):
    out = os.path.join(folder, "ours.bin")
    mote(args, "logits", path, "--tokens", ",".join(map(str, tokens)), "--out", out)
    return read_floats(out)


def from_float(args, path, folder, tokens, ours, theirs):
    """How near both are to the same weights in F32."""
    exact_path = os.path.join(folder, "exact.gguf")
    mote(args, "quantize", path, exact_path, "F32", "--allow-requantize")
    exact = mote_logits(args, exact_path, folder, tokens)
    os.remove(exact_path)
    texts = []
    for name, logits in (("mote", ours), ("llama.cpp", theirs)):
        same, median, _ = compare(logits, exact, len(tokens))
        texts.append(f"{name} {100 * same:.2f} % and {median:.1e}")
    return ", from F32: " + ", ".join(texts)


def check(args, path, folder):
    tokens = random_tokens(args.tokens, args.vocab)
    if args.text:
        with open(args.text, encoding="utf-8") as file:
            tokens = [int(t) for t in mote(args, "tokenize", path, "-p", file.read()).split()][:args.tokens]
    ours, theirs = mote_logits(args, path, folder, tokens), llama_logits(args, path, folder, tokens)
    if len(ours) != len(theirs) or not ours:
        return f"{os.path.basename(path)}: {len(ours)} logits against {len(theirs)}", False
    same, median, worst = compare(ours, theirs, len(tokens))
    kind, experts = weight_type(path), "moe" in os.path.basename(path)
    if kind in FLOAT_TYPES:
        good = same >= 0.99 and (kind != "F32" or (median if experts else worst) < 1e-3)
    else:
        good = median < (0.2 if experts else 0.08)
    line = f"{os.path.basename(path):28s} top-1 {100 * same:6.2f} %   relative error {median:.1e}, worst {worst:.1e}"
    return line + (from_float(args, path, folder, tokens, ours, theirs) if args.float else ""), good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--vocab", type=int, default=512, help="tokens are drawn below this id")
    parser.add_argument("--only", default="")
    parser.add_argument("--text", help="a file whose first tokens are taken instead")
    parser.add_argument("--float", action="store_true", help="compare both with the same weights in F32 as well")
    parser.add_argument("--node", default="node")
    parser.add_argument("--modules", default=HERE, help="folder with llama_logits.mjs and node_modules")
    parser.add_argument("--golden", help="write llama.cpp's logits after 24 tokens to this file and compare nothing")
    args = parser.parse_args()
    if args.golden:
        args.tokens = 24
    failed, golden = 0, []
    with tempfile.TemporaryDirectory() as folder:
        models = args.models
        if not models:
            made = subprocess.run([os.path.join(args.build, "tests", "peer_models"), folder], check=True, stdout=subprocess.PIPE, text=True)
            models = made.stdout.split()
        for path in models:
            if args.only not in path:
                continue
            if args.golden:
                golden.append(golden_line(args, path, folder))
                continue
            line, good = check(args, path, folder)
            print(line + ("" if good else "   TOO FAR"), flush=True)
            failed += not good
    if args.golden:
        with open(args.golden, "w", encoding="ascii") as file:
            file.write("# Made by tests/peers/compare.py --golden with llama.cpp (node-llama-cpp 3.22.1).\n")
            file.write("\n".join(golden) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
