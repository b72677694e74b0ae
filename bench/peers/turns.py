#!/usr/bin/python3
"""Several models, or several ways of running one, in turns on this machine.

  turns.py --build DIR [--packages DIR] [--node NODE] [-p 512] [-n 64] [-r 5] [-t THREADS] SIDE SIDE ...

A SIDE is NAME=MODEL.gguf[,WORD...]. Words: isa=avx512_vnni and the like (MOTE_ISA), fast (prompts by the matrix unit), sparse or dense
(how block-sparse matrices are multiplied), build=DIR (another program than --build's), llama (llama.cpp by node-llama-cpp instead of
mote; --packages names the folder whose node_modules has it). All of them are loaded and stay; a round takes each in its turn with one
prompt of -p tokens and -n tokens one by one, and the first round is not counted. Printed are medians with minimum and maximum, and what
the first side's speed is to each, round by round. Beside the clock stands each program's own processor time, which what else runs
here disturbs less; the ratios are of both.
"""
import argparse
import os
import statistics
import sys

from speed import HERE, Engine, spread


class Side:
    def __init__(self, options, text):
        self.name, _, rest = text.partition("=")
        path, *words = rest.split(",")
        if not path.endswith(".gguf"):
            sys.exit(f"turns.py: '{text}': a side is NAME=MODEL.gguf[,WORD...]")
        environment = {"MOTE_FAST_PROMPTS": "off"}
        build, llama = options.build, False
        for word in words:
            key, _, value = word.partition("=")
            if key == "isa" and value:
                environment["MOTE_ISA"] = value
            elif key == "build" and value:
                build = value
            elif word == "fast":
                environment["MOTE_FAST_PROMPTS"] = "on"
            elif word in ("sparse", "dense"):
                environment["MOTE_SPARSE"] = word
            elif word == "llama":
                llama = True
            else:
                sys.exit(f"turns.py: '{word}' of '{text}': no such word; there are isa=, build=, fast, sparse, dense and llama")
        context = str(max(options.prompt, options.generated))
        program = [os.path.join(build, "bench", "mote_speed"), path, str(options.threads), context]
        if llama:
            program = [options.node, os.path.join(HERE, "llama_speed.mjs"), options.packages, path, str(options.threads), context, "auto"]
        self.engine = Engine(program, environment)
        self.speeds = {}   # by test: tokens per second of the clock, and of one processor's time
        self.of_cpu = {}

    def cpu_seconds(self):
        with open(f"/proc/{self.engine.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def measure(self, what, count, keep):
        before = self.cpu_seconds()
        speed = count / self.engine.seconds(what, count, 0)
        if keep:
            self.speeds.setdefault(what, []).append(speed)
            self.of_cpu.setdefault(what, []).append(count / max(self.cpu_seconds() - before, 0.01))


def main():
    parser = argparse.ArgumentParser(prog="turns.py", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("sides", nargs="+", metavar="SIDE", help="NAME=MODEL.gguf[,WORD...]")
    parser.add_argument("--build", required=True, help="folder of a build that has bench/mote_speed")
    parser.add_argument("--packages", help="folder whose node_modules has node-llama-cpp")
    parser.add_argument("--node", default="node")
    parser.add_argument("-p", "--prompt", type=int, default=512, help="tokens read at once; 0: none")
    parser.add_argument("-n", "--generated", type=int, default=64, help="tokens written one by one; 0: none")
    parser.add_argument("-r", "--rounds", type=int, default=5)
    parser.add_argument("-t", "--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    tests = [(what, count) for what, count in [("pp", options.prompt), ("tg", options.generated)] if count > 0]
    if not tests or options.rounds < 1:
        parser.error("nothing to measure")
    sides = [Side(options, text) for text in options.sides]
    for turn in range(options.rounds + 1):
        for what, count in tests:
            for side in sides:
                side.measure(what, count, turn > 0)
    print(f"{options.rounds} rounds, {options.threads} threads; medians (minimum to maximum)\n")
    print(f"| side | test | tokens/s | {sides[0].name} over it | by processor time |\n| --- | --- | ---: | ---: | ---: |")
    for what, count in tests:
        for side in sides:
            ratios = [[a / b for a, b in zip(first, own)] for first, own in
                      [(sides[0].speeds[what], side.speeds[what]), (sides[0].of_cpu[what], side.of_cpu[what])]]
            print(f"| {side.name} | {what}{count} | {spread(side.speeds[what], 1)} | {spread(ratios[0], 2)} | {spread(ratios[1], 2)} |")
    for side in sides:
        side.engine.close()


if __name__ == "__main__":
    main()
