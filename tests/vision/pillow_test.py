#!/usr/bin/python3
"""Compares engine/vision/resize.h with Pillow, byte for byte: pillow_test.py RESIZE_TOOL [SEED]

Random pictures, sizes, boxes and filters, on every row of the kernel table that this machine can run; fixed seed unless
given. Skipped (exit 77) without Python's PIL.
"""
import random
import subprocess
import sys

try:
    from PIL import Image
except ImportError:
    print("pillow_test: SKIPPED: python3-pil is missing")
    sys.exit(77)

FILTERS = [Image.BOX, Image.BILINEAR, Image.BICUBIC, Image.LANCZOS]
ROWS = ["scalar", "sse4", "avx2", "avx512", "neon", "wasm"]


def picture(rng, width, height):
    """Noise, hard black and white (where weights overshoot), or a ramp."""
    kind = rng.randrange(3)
    count = width * height * 3
    if kind == 0:
        return rng.randbytes(count)
    if kind == 1:
        return bytes(255 * (byte & 1) for byte in rng.randbytes(count))
    return bytes((i * 7 // 3) & 255 for i in range(count))


def side(rng):
    return rng.choice([1, 2, 3, rng.randint(4, 40), rng.randint(41, 300)])


def jobs(rng, count):
    for index in range(count):
        width, height, new_width, new_height = side(rng), side(rng), side(rng), side(rng)
        if rng.random() < 0.2:
            new_width = width
        if rng.random() < 0.2:
            new_height = height
        box = (0, 0, width, height)
        if rng.random() < 0.3:
            # Halves and quarters, which text and float32 give alike.
            left, top = rng.randrange(4 * width) / 4, rng.randrange(4 * height) / 4
            box = (left, top, rng.randint(int(4 * left) + 1, 4 * width) / 4, rng.randint(int(4 * top) + 1, 4 * height) / 4)
        yield index % 4, width, height, new_width, new_height, box


def runnable(tool):
    """Rows that are compiled in and that this CPU runs."""
    rows = []
    for row in ROWS:
        done = subprocess.run([tool], input=f"{row} 0 1 1 1 1 0 0 1 1\nabc".encode(), capture_output=True)
        if done.returncode == 0 and len(done.stdout) == 3:
            rows.append(row)
    return rows


def main():
    tool = sys.argv[1]
    rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    rows = runnable(tool)
    assert "scalar" in rows, rows
    program = subprocess.Popen([tool], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    compared = different = 0
    for filter_number, width, height, new_width, new_height, box in jobs(rng, 600):
        pixels = picture(rng, width, height)
        want = Image.frombytes("RGB", (width, height), pixels).resize((new_width, new_height), FILTERS[filter_number],
                                                                     box=box).tobytes()
        for row in rows:
            program.stdin.write(f"{row} {filter_number} {width} {height} {new_width} {new_height} "
                                f"{' '.join(map(str, box))}\n".encode() + pixels)
            program.stdin.flush()
            got = program.stdout.read(len(want))
            compared += len(want)
            if got != want:
                different += 1
                worst = max((abs(a - b) for a, b in zip(got, want)), default=None)
                print(f"{row}: filter {filter_number}, {width} x {height} to {new_width} x {new_height}, box {box}: "
                      f"{len(got)} of {len(want)} bytes came, worst difference {worst}")
    program.stdin.close()
    program.wait()
    print(f"pillow_test: Pillow {Image.__version__}, rows {' '.join(rows)}: {compared} bytes, {different} pictures differ")
    sys.exit(1 if different or not compared else 0)


if __name__ == "__main__":
    main()
