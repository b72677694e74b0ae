#!/usr/bin/python3
"""Compares edge/image with Pillow on files that Pillow writes: pillow_test.py DECODE_TOOL [--memory]

Every mode, quality, subsampling, interlacing and orientation of JPEG, PNG, WebP and PNM, pixels equal to Pillow's; and
files cut short or with a byte changed, which must give an error or a picture, never the death of the program. --memory: also
that four megapixels of each kind fit into the memory that edge/image/decode.h promises (not under sanitizers, which take
address space of their own). Skipped (exit 77) without Python's PIL.
"""
import io
import random
import resource
import struct
import subprocess
import sys
import zlib

try:
    from PIL import Image, ImageOps
except ImportError:
    print("pillow_test: SKIPPED: python3-pil is missing")
    sys.exit(77)

rng = random.Random(4)


class Tool:
    def __init__(self, program, limit=None):
        """`limit`: bytes of address space."""
        self.process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            preexec_fn=limit and (lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))))

    def decode(self, data, drop=0):
        """(width, height, pixels), or the error's text."""
        self.process.stdin.write(b"%d %d\n" % (len(data), drop) + data)
        self.process.stdin.flush()
        line = self.process.stdout.readline().decode()
        assert line, "the program has died"
        if line.startswith("ERROR "):
            return line[6:].strip()
        width, height = map(int, line.split())
        return width, height, self.process.stdout.read(width * height * 3)


def picture(mode, width, height):
    """Soft colours with some noise, so that lossy codecs have something to do."""
    bands = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}[mode]
    data = bytearray()
    for y in range(height):
        for x in range(width):
            for band in range(bands):
                data.append((x * (3 + band) + y * (5 - band) + rng.randrange(9)) % 256 if band < 3 else (x * 37 + y * 11) % 256)
    return Image.frombytes(mode, (width, height), bytes(data))


def encoded(image, **options):
    out = io.BytesIO()
    image.save(out, **options)
    return out.getvalue()


def over_white(image):
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, (255, 255, 255, 255)), rgba).convert("RGB")


def exif(orientation, byte_order):
    """A directory with one entry before the orientation, which must be passed over."""
    e = byte_order
    return (b"Exif\0\0" + (b"II*\0" if e == "<" else b"MM\0*") + struct.pack(e + "IH", 8, 2) +
            struct.pack(e + "HHII", 0x010f, 2, 4, 0) + struct.pack(e + "HHIHH", 0x0112, 3, 1, orientation, 0) +
            struct.pack(e + "I", 0))


def png_chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_chunks(width, height, color, rows, interlaced, depth=8):
    return (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)) +
            png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b""))


def adam7(mode, image):
    """Pillow writes no interlaced files: the seven passes, each row with filter 0."""
    width, height = image.size
    bands = len(image.getbands())
    raw = image.tobytes()
    rows = bytearray()
    for x0, y0, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
        if x0 >= width:
            continue
        for y in range(y0, height, dy):
            rows.append(0)
            for x in range(x0, width, dx):
                rows += raw[(y * width + x) * bands:(y * width + x + 1) * bands]
    return png_chunks(width, height, {"L": 0, "RGB": 2, "LA": 4, "RGBA": 6}[mode], bytes(rows), 1)


def png16(color, bands, width, height):
    rows = bytearray()
    for y in range(height):
        rows += b"\0" + rng.randbytes(width * bands * 2)
    return png_chunks(width, height, color, bytes(rows), 0, 16), rows


def cases():
    """Yields (name, file, Pillow's pixels over white, Pillow's pixels without alpha)."""
    def case(name, data, expected=None):
        image = Image.open(io.BytesIO(data))
        plain = (expected or image).convert("RGB")
        has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
        return name, data, over_white(image) if has_alpha else plain, plain

    sizes = [(1, 1), (7, 5), (33, 16), (64, 49)]
    for width, height in sizes:
        for mode in ("L", "RGB", "CMYK"):
            for quality in (30, 75, 95):
                for options in ({}, {"progressive": True}, {"optimize": True}):
                    yield case(f"jpeg {mode} {width}x{height} q{quality} {options}",
                               encoded(picture(mode, width, height), format="JPEG", quality=quality, **options))
        for subsampling in (0, 1, 2):
            yield case(f"jpeg subsampling {subsampling} {width}x{height}",
                       encoded(picture("RGB", width, height), format="JPEG", subsampling=subsampling))
        for mode in ("L", "LA", "RGB", "RGBA"):
            image = picture(mode, width, height)
            yield case(f"png {mode} {width}x{height}", encoded(image, format="PNG"))
            yield case(f"png interlaced {mode} {width}x{height}", adam7(mode, image))
        grey = picture("L", width, height)
        yield case(f"png 1 bit {width}x{height}", encoded(grey.convert("1"), format="PNG"))
        yield case(f"png grey with a transparent value {width}x{height}", encoded(grey, format="PNG", transparency=7))
        for colors in (2, 4, 16, 200):
            palette = picture("RGB", width, height).quantize(colors)
            yield case(f"png palette {colors} {width}x{height}", encoded(palette, format="PNG"))
            yield case(f"png palette {colors} with alpha {width}x{height}",
                       encoded(palette, format="PNG", transparency=bytes([0, 128])[:min(2, colors)]))
        for mode in ("RGB", "RGBA"):
            for options in ({"quality": 60}, {"quality": 95}, {"lossless": True}):
                yield case(f"webp {mode} {width}x{height} {options}",
                           encoded(picture(mode, width, height), format="WEBP", exact=True, **options))
        yield case(f"ppm {width}x{height}", encoded(picture("RGB", width, height), format="PPM"))
        yield case(f"pgm {width}x{height}", encoded(picture("L", width, height), format="PPM"))
    frames = [picture("RGBA", 20, 14) for _ in range(3)]
    yield case("webp animated", encoded(frames[0], format="WEBP", save_all=True, append_images=frames[1:], lossless=True,
                                        exact=True))
    yield case("webp animated, lossy", encoded(frames[0], format="WEBP", save_all=True, append_images=frames[1:]))
    for orientation in range(1, 9):
        for byte_order in "<>":
            block = exif(orientation, byte_order)
            for name in ("JPEG", "PNG", "WEBP"):
                options = {"lossless": True} if name == "WEBP" else {}
                data = encoded(picture("RGB", 17, 9), format=name, exif=block, **options)
                upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
                yield case(f"{name} orientation {orientation} {byte_order}", data, upright)


def check_16_bits(tool):
    """The upper byte counts. (Pillow reads grey of 16 bits as whole numbers of 32.)"""
    for color, bands in ((0, 1), (2, 3)):
        data, rows = png16(color, bands, 9, 6)
        want = bytearray()
        for y in range(6):
            row = rows[y * (1 + 18 * bands) + 1:(y + 1) * (1 + 18 * bands)]
            for x in range(9):
                want += bytes(row[2 * (x * bands + band % bands)] for band in range(3))
        assert tool.decode(data) == (9, 6, bytes(want)), f"16 bits, color type {color}"


def check_damaged(tool):
    """Cut short: an error. A byte changed: whatever, and the next file is read as if nothing had been."""
    image = picture("RGB", 40, 30)
    whole = {"JPEG": encoded(image, format="JPEG"), "progressive JPEG": encoded(image, format="JPEG", progressive=True),
             "PNG": encoded(image, format="PNG"), "WebP": encoded(image, format="WEBP"),
             "lossless WebP": encoded(image, format="WEBP", lossless=True), "PPM": encoded(image, format="PPM")}
    for name, data in whole.items():
        good = tool.decode(data)
        assert isinstance(good, tuple), (name, good)
        # Nearer to the end: an error or all pixels, as what lacks may be an end marker or a checksum of nothing.
        for length in range(len(data) - 40, len(data)):
            answer = tool.decode(data[:length])
            assert isinstance(answer, str) or answer == good, (name, length)
        for length in list(range(0, 40)) + [len(data) * part // 20 for part in range(1, 20)] + [len(data) - 40]:
            answer = tool.decode(data[:length])
            assert isinstance(answer, str) and 20 < len(answer) < 300, (name, length, answer)
        for _ in range(300):
            broken = bytearray(data)
            broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
            tool.decode(bytes(broken))
        assert tool.decode(data) == good, name


def check_memory(program):
    """4 megapixels of each kind within 12 bytes a pixel; 12 MiB for the program and its libraries."""
    side = 2048
    image = Image.linear_gradient("L").resize((side, side))
    image = Image.merge("RGBA", (image, image.rotate(90), image.rotate(180), image.rotate(45)))
    rgb = image.convert("RGB")
    for name, data in {
            "JPEG": encoded(rgb, format="JPEG", subsampling=0), "CMYK": encoded(rgb.convert("CMYK"), format="JPEG"),
            "progressive JPEG": encoded(rgb, format="JPEG", subsampling=0, progressive=True),
            "progressive CMYK": encoded(rgb.convert("CMYK"), format="JPEG", progressive=True),
            "turned JPEG": encoded(rgb, format="JPEG", exif=exif(6, "<")),
            "PNG": encoded(image, format="PNG", compress_level=1), "WebP": encoded(image, format="WEBP", method=0),
            "interlaced PNG": png_chunks(side, side, 6, bytes(4 * side * side + 2 * 8 * side), 1),
            "lossless WebP": encoded(image, format="WEBP", lossless=True, method=0, quality=0)}.items():
        answer = Tool(program, 12 * side * side + (12 << 20) + len(data)).decode(data)
        assert isinstance(answer, tuple) and answer[:2] == (side, side), (name, answer)


def main():
    tool = Tool(sys.argv[1])
    count = wrong = 0
    for name, data, white, plain in cases():
        for drop, want in ((0, white), (1, plain)):
            count += 1
            got = tool.decode(data, drop)
            if got == (*want.size, want.tobytes()):
                continue
            wrong += 1
            if isinstance(got, str) or got[:2] != want.size:
                print(f"{name}: {got if isinstance(got, str) else got[:2]}, Pillow: {want.size}")
            else:
                worst = max(abs(a - b) for a, b in zip(got[2], want.tobytes()))
                print(f"{name}: alpha {'dropped' if drop else 'over white'}: differs by up to {worst}")
    check_16_bits(tool)
    check_damaged(tool)
    if "--memory" in sys.argv:
        check_memory(sys.argv[1])
    print(f"pillow_test: Pillow {Image.__version__}: {count} pictures, {wrong} differ")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
