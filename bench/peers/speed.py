#!/usr/bin/python3
"""mote and llama.cpp (node-llama-cpp) on the same files, interleaved. `scripts/bench peers` calls this with what it built.

  speed.py --build DIR --cache DIR [--packages DIR] [--node NODE] [--shapes A,B] [--types A,B] [-p 512] [-n 128] [-d 0]
           [-r 5] [-t THREADS] [--flash auto|on|off] [--fast-prompts] [-o md|json] [MODEL.gguf ...]

Both engines load a file and stay; then they take turns, A B A B, so that a change of the machine's mood hits both. A round is
one prompt of -p tokens and -n tokens written one by one, each behind -d tokens of context; the first round is not counted. Each
engine is timed by its own clock around evaluation alone. Printed are medians with minimum and maximum, and the ratio of
each round: its median, minimum and maximum.

Without MODEL.gguf: random weights in the shapes of real models (make_model), quantised with `mote quantize`, kept in --cache. I8,
which llama.cpp does not know, stands against its Q8_0 of the same weights.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SHAPES = ["llama3.2-1b", "qwen2.5-0.5b"]
TYPES = ["Q4_0", "Q8_0", "I8", "Q4_K_M", "F16"]
PEER_TYPES = {"I8": "Q8_0"}  # what the peer reads instead of a type that it does not know: the nearest, from the same file


class Engine:
    """A process that speaks the protocol of mote_speed.cc."""

    def __init__(self, words, environment=None):
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=os.environ | (environment or {}))
        self.name = self.line().removeprefix("ready ")

    def line(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"speed.py: {self.process.args[0]} ended with {self.process.wait()}")
        return line.strip()

    def seconds(self, what, count, depth):
        self.process.stdin.write(f"{what} {count} {depth}\n")
        self.process.stdin.flush()
        return float(self.line())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def made_model(options, shape, kind):
    """The path of a model of this shape and type in the cache, written if it is not there."""
    path = os.path.join(options.cache, f"{shape}-{kind.lower()}.gguf")
    if os.path.exists(path):
        return path
    unfinished = path + ".part"
    if kind == "F16":
        words = [os.path.join(options.build, "bench", "make_model"), shape, unfinished]
    else:
        words = [os.path.join(options.build, "edge", "mote"), "quantize", made_model(options, shape, "F16"), unfinished, kind]
    print(f"writing {path}", file=sys.stderr)
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    os.rename(unfinished, path)
    return path


def compare(options, path, peer_path):
    """Rows {file, test, mote: [tokens/s], peer: [tokens/s]} of one file, and the peer's where it is another."""
    tests = [(what, count) for what, count in [("pp", options.prompt), ("tg", options.generated)] if count > 0]
    context = str(options.depth + max(count for _, count in tests))
    engines = {"mote": Engine([os.path.join(options.build, "bench", "mote_speed"), path, str(options.threads), context],
                              {"MOTE_FAST_PROMPTS": "on" if options.fast_prompts else "off"}),
               "peer": Engine([options.node, os.path.join(HERE, "llama_speed.mjs"), options.packages, peer_path,
                               str(options.threads), context, options.flash])}
    rows = []
    for what, count in tests:
        name = f"{what}{count}" + (f" @ {options.depth}" if options.depth else "")
        rows.append({"file": os.path.basename(path), "peer_file": os.path.basename(peer_path), "test": name, "mote": [], "peer": []})
    for turn in range(options.rounds + 1):
        for row, (what, count) in zip(rows, tests):
            for side, engine in engines.items():
                speed = count / engine.seconds(what, count, options.depth)
                if turn > 0:  # the first one touches memory
                    row[side].append(speed)
    for side, engine in engines.items():
        for row in rows:
            row[side + "_name"] = engine.name
        engine.close()
    return rows


def spread(values, digits):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench peers", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("models", nargs="*", metavar="MODEL.gguf", help="files to compare on; default: --shapes x --types")
    parser.add_argument("--build", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--cache", required=True, help="folder for models and npm packages")
    parser.add_argument("--packages", help="folder whose node_modules has node-llama-cpp; default: the cache")
    parser.add_argument("--node", default="node")
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--types", default=",".join(TYPES), help="as mote quantize has them")
    parser.add_argument("-p", "--prompt", type=int, default=512, help="tokens read at once; 0: none")
    parser.add_argument("-n", "--generated", type=int, default=128, help="tokens written one by one; 0: none")
    parser.add_argument("-d", "--depth", type=int, default=0, help="tokens of context before them")
    parser.add_argument("-r", "--rounds", type=int, default=5)
    parser.add_argument("-t", "--threads", type=int, default=os.cpu_count())
    parser.add_argument("--flash", choices=["auto", "on", "off"], default="auto", help="llama.cpp's flash attention")
    parser.add_argument("--fast-prompts", action="store_true", help="mote reads prompts by the matrix unit")
    parser.add_argument("-o", "--output", choices=["md", "json"], default="md")
    options = parser.parse_args()
    if options.prompt + options.generated == 0 or options.rounds < 1:
        parser.error("nothing to measure")
    options.packages = options.packages or options.cache
    files = [(path, path) for path in options.models] or [
        (made_model(options, shape, kind), made_model(options, shape, PEER_TYPES.get(kind, kind)))
        for shape in options.shapes.split(",") for kind in options.types.split(",")]
    rows = []
    for path, peer_path in files:
        new = compare(options, path, peer_path)
        if options.output == "md":
            if not rows:
                print(f"A: {new[0]['mote_name']}\nB: {new[0]['peer_name']}\n{options.rounds} rounds, {options.threads} threads; "
                      "medians (minimum to maximum)\n")
                print("| model | test | A tokens/s | B tokens/s | A / B |\n| --- | --- | ---: | ---: | ---: |")
            for row in new:
                ratios = [a / b for a, b in zip(row["mote"], row["peer"])]
                against = "" if path == peer_path else f" (B: {row['peer_file'].removesuffix('.gguf')})"
                print(f"| {row['file'].removesuffix('.gguf')}{against} | {row['test']} | {spread(row['mote'], 1)} | {spread(row['peer'], 1)} "
                      f"| {spread(ratios, 2)} |", flush=True)
        rows += new
    if options.output == "json":
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
