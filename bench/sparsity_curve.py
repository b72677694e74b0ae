#!/usr/bin/python3
"""Perplexity over density for each method of `mote sparsify`: a table and a plot.

    bench/sparsity_curve.py --program build/release/edge/mote --model ../shared/data/stories260K.gguf \\
        --page docs/sparsify.md --plot docs/sparsify-perplexity.svg

The texts are the model's own, drawn at temperature 1 (nothing else that it was trained on is at hand): some stories for
the calibration, others for the perplexity. The table replaces what stands between the two marks in the page.
"""
import argparse
import json
import math
import os
import subprocess
import sys
import tempfile

METHODS = ["magnitude", "wanda", "reconstruct"]
DENSITIES = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5]
COLOURS = {"magnitude": "#b35900", "wanda": "#0072b2", "reconstruct": "#00795c"}
BEGIN, END = "<!-- bench/sparsity_curve.py writes from here -->", "<!-- to here -->"


def stories(program, model, first, count):
    """Stories by the model itself, one for each seed."""
    texts = []
    for seed in range(first, first + count):
        done = subprocess.run([program, "run", model, "--no-chat", "-p", "Once upon a time", "--temp", "1", "--top-k", "0",
                               "--top-p", "1", "--min-p", "0", "-n", "240", "-s", str(seed), "-t", "1"],
                              check=True, capture_output=True, text=True)
        texts.append("Once upon a time" + done.stdout.strip())
    return "\n".join(texts) + "\n"


def measure(program, model, folder, method, density, kind):
    """What sparsify says of one method and density."""
    out = os.path.join(folder, "out.gguf")
    done = subprocess.run([program, "sparsify", model, out, "--method", method, "--density", str(density), "--type", kind,
                           "--calibration", os.path.join(folder, "calibration.txt"), "--test", os.path.join(folder, "test.txt"),
                           "-c", "256", "-t", "1", "--json"], check=True, capture_output=True, text=True)
    told = json.loads(done.stdout)
    print("%s at %.1f: %.3f" % (method, density, told["after"]["perplexity"]), file=sys.stderr, flush=True)
    return told


def table(rows, dense):
    lines = ["| density | bytes | " + " | ".join(METHODS) + " |", "|---|---|" + "---|" * len(METHODS),
             "| dense | %d | %s |" % (dense["bytes_in"], " | ".join(["%.3f" % dense["before"]["perplexity"]] * len(METHODS)))]
    for density in DENSITIES:
        row = rows[density]
        lines.append("| %.1f | %d | %s |" % (density, row[METHODS[0]]["bytes_out"],
                                             " | ".join("%.3f" % row[m]["after"]["perplexity"] for m in METHODS)))
    return "\n".join(lines)


def plot(rows, dense, title):
    """An SVG: density from left to right, perplexity up, on a logarithmic scale."""
    width, height, left, right, top, bottom = 640, 400, 64, 120, 40, 48
    base = dense["before"]["perplexity"]
    values = [rows[d][m]["after"]["perplexity"] for d in DENSITIES for m in METHODS]
    low, high = math.log(base * 0.97), math.log(max(values) * 1.05)
    x = lambda d: left + (d - DENSITIES[-1]) / (DENSITIES[0] - DENSITIES[-1]) * (width - left - right)
    y = lambda p: height - bottom - (math.log(p) - low) / (high - low) * (height - top - bottom)
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">' % (width, height),
           '<rect width="100%" height="100%" fill="#ffffff"/>',
           '<text x="%d" y="22" font-size="14">%s</text>' % (left, title)]
    for density in DENSITIES:
        out.append('<path d="M%.1f %d V%d" stroke="#e0e0e0"/><text x="%.1f" y="%d" text-anchor="middle">%.1f</text>' % (
            x(density), top, height - bottom, x(density), height - bottom + 18, density))
    ticks = [p for p in (2, 2.5, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100, 200, 500, 1000) if low <= math.log(p) <= high]
    for tick in ticks:
        out.append('<path d="M%d %.1f H%d" stroke="#e0e0e0"/><text x="%d" y="%.1f" text-anchor="end">%g</text>' % (
            left, y(tick), width - right, left - 8, y(tick) + 4, tick))
    out.append('<text x="%.1f" y="%d" text-anchor="middle">density (share of blocks kept)</text>' % (
        (left + width - right) / 2, height - 10))
    out.append('<text x="16" y="%d" transform="rotate(-90 16 %d)" text-anchor="middle">perplexity</text>' % (
        (height - bottom + top) // 2, (height - bottom + top) // 2))
    out.append('<path d="M%d %.1f H%d" stroke="#555555" stroke-dasharray="5 4"/><text x="%d" y="%.1f">dense</text>' % (
        left, y(base), width - right, width - right + 8, y(base) + 4))
    labels = []
    for method in METHODS:
        points = [(x(d), y(rows[d][method]["after"]["perplexity"])) for d in DENSITIES]
        out.append('<polyline fill="none" stroke="%s" stroke-width="2" points="%s"/>' % (
            COLOURS[method], " ".join("%.1f,%.1f" % p for p in points)))
        out += ['<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>' % (px, py, COLOURS[method]) for px, py in points]
        labels.append((points[-1][1], method))
    for i, method in enumerate(METHODS):
        out.append('<rect x="%d" y="%d" width="12" height="12" fill="%s"/><text x="%d" y="%d">%s</text>' % (
            width - right + 8, top + 20 * i, COLOURS[method], width - right + 26, top + 10 + 20 * i, method))
    return "\n".join(out + ["</svg>", ""])


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--program", default="build/release/edge/mote")
    p.add_argument("--model", default="../shared/data/stories260K.gguf")
    p.add_argument("--type", default="int8")
    p.add_argument("--stories", type=int, default=120, help="for the calibration; a third as many for the perplexity")
    p.add_argument("--page", help="the page whose table is replaced")
    p.add_argument("--plot", help="the SVG to write")
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, first, count in (("calibration", 1, a.stories), ("test", 100000, a.stories // 3)):
            with open(os.path.join(folder, name + ".txt"), "w") as f:
                f.write(stories(a.program, a.model, first, count))
        rows = {d: {m: measure(a.program, a.model, folder, m, d, a.type) for m in METHODS} for d in DENSITIES}
    dense = rows[DENSITIES[0]][METHODS[0]]
    text = table(rows, dense)
    print(text)
    if a.page:
        with open(a.page) as f:
            page = f.read()
        if BEGIN not in page or END not in page:
            sys.exit("%s has not the two marks between which the table goes: %s and %s" % (a.page, BEGIN, END))
        before, after = page.split(BEGIN)[0], page.split(END)[1]
        with open(a.page, "w") as f:
            f.write(before + BEGIN + "\n\n" + text + "\n\n" + END + after)
    if a.plot:
        with open(a.plot, "w") as f:
            f.write(plot(rows, dense, "stories260K, %s, blocks of 16 x 4" % a.type if a.type == "int8" else "stories260K, " + a.type))


if __name__ == "__main__":
    main()
