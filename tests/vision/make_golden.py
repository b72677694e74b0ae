#!/usr/bin/python3
"""Writes tests/golden/resize.txt: what Pillow and PyTorch make of pictures given by a formula.

    python3 tests/vision/make_golden.py > tests/golden/resize.txt      (Debian: python3-pil python3-torch)

Lines: FILTER WIDTH HEIGHT NEW_WIDTH NEW_HEIGHT LEFT TOP RIGHT BOTTOM FNV1A64 BYTES. FILTER as in engine/vision/resize.h;
the last two of the result's bytes: their hash, and in hex all of them (filter 4) or the first 12.
"""
import warnings

import PIL
import torch
from PIL import Image

warnings.filterwarnings("ignore")
FILTERS = [Image.BOX, Image.BILINEAR, Image.BICUBIC, Image.LANCZOS]
SIZES = [(1, 1, 1, 1), (1, 1, 5, 3), (2, 2, 1, 1), (3, 2, 2, 3), (5, 7, 7, 5), (7, 5, 7, 11), (7, 5, 13, 5), (17, 13, 31, 29),
         (31, 29, 17, 13), (64, 48, 63, 47), (64, 48, 65, 49), (100, 1, 33, 1), (1, 100, 1, 33), (97, 61, 224, 224),
         (241, 139, 64, 64), (301, 203, 14, 9), (640, 427, 384, 384), (333, 500, 40, 60), (13, 400, 400, 13),
         (255, 255, 1, 1), (16, 16, 512, 512)]
BOXES = [(20, 20, 10, 10, (0.5, 0.25, 19.5, 19.75)), (20, 20, 10, 10, (5, 5, 15, 15)), (33, 21, 33, 21, (1, 0, 33, 21)),
         (33, 21, 50, 7, (0, 2.5, 33, 18.25)), (65, 40, 65, 20, (0, 10, 65, 30))]


def source(width, height):
    return bytes((x * x * 3 + y * (7 + 4 * c) + x * y * 5 + c * 50 + ((x * y) ^ (x + 3 * y))) & 255
                 for y in range(height) for x in range(width) for c in range(3))


def fnv(data):
    value = 0xcbf29ce484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001b3 & 0xffffffffffffffff
    return value


def plain(pixels, width, height, new_width, new_height):
    """torch.nn.functional.interpolate, rounded to bytes as torchvision does it."""
    image = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).reshape(1, height, width, 3).permute(0, 3, 1, 2).float()
    out = torch.nn.functional.interpolate(image, size=(new_height, new_width), mode="bilinear", align_corners=False)
    return bytes(out.round().clamp(0, 255).to(torch.uint8)[0].permute(1, 2, 0).flatten().tolist())


def line(number, sizes, box, result):
    shown = result if number == 4 else result[:12]
    print(number, *sizes, *box, f"{fnv(result):016x}", shown.hex())


def main():
    print(f"# By tests/vision/make_golden.py with Pillow {PIL.__version__} and PyTorch {torch.__version__}.")
    cases = [(size, (0, 0, size[0], size[1])) for size in SIZES] + [(case[:4], case[4]) for case in BOXES]
    for sizes, box in cases:
        pixels = source(*sizes[:2])
        image = Image.frombytes("RGB", sizes[:2], pixels)
        for number, pillow in enumerate(FILTERS):
            line(number, sizes, box, image.resize(sizes[2:], pillow, box=box).tobytes())
        if box == (0, 0, *sizes[:2]) and sizes[2] * sizes[3] <= 400:
            line(4, sizes, box, plain(pixels, *sizes))


main()
