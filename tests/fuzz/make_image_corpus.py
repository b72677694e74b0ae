#!/usr/bin/python3
"""Writes the seeds of the image fuzz target (corpus/image beside it) and what becomes of them (tests/golden/images.txt).

    python3 tests/fuzz/make_image_corpus.py      (Debian: python3-pil)

Small files of every kind as Pillow writes them, and each way in which image readers were broken or exhausted before (i1,
i2, i4). A line of the golden file: NAME FORMAT ok WIDTH HEIGHT FNV1A64, the pixels over white as Pillow decodes them; or
NAME FORMAT CODE, the error that is due (engine/core/status.h). tests/image reads both. Running this again with the same Pillow
writes the same bytes. Inputs that a fuzzer found are added to the folder by hand and left alone by this script.
"""
import io
import os
import struct
import zlib

from PIL import Image, ImageOps

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
FOLDER = os.path.join(ROOT, "tests/fuzz/corpus/image")
ROWS = b"\0ab\0cd"
INVALID, MALFORMED, UNSUPPORTED, TOO_LARGE = "invalid argument", "malformed", "unsupported", "out of memory"


def picture(mode, width=20, height=14):
    bands = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}[mode]
    return Image.frombytes(mode, (width, height), bytes((x * (9 + 2 * band) + y * (13 - band) + x * y // 7) % 256
                                                        for y in range(height) for x in range(width) for band in range(bands)))


def encoded(image, **options):
    out = io.BytesIO()
    image.save(out, **options)
    return out.getvalue()


def exif(orientation):
    return (b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0))


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, color, rows, depth=8, interlaced=0, before=b""):
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)) +
            before + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def adam7(image):
    width, height = image.size
    rows = b""
    for x0, y0, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
        for y in range(y0, height, dy):
            rows += b"\0" + b"".join(bytes(image.getpixel((x, y))) for x in range(x0, width, dx))
    return png(width, height, 6, rows, interlaced=1)


def jpeg_size(data, width, height):
    """The frame header says another size."""
    at = max(data.find(b"\xff\xc0\0\x11"), data.find(b"\xff\xc2\0\x11"))
    return data[:at + 5] + struct.pack(">HH", height, width) + data[at + 9:]


def riff(*chunks):
    body = b"WEBP" + b"".join(name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def u24(value):
    return struct.pack("<I", value)[:3]


def good():
    """Name: file that Pillow and mote read alike."""
    rgb, rgba, grey = picture("RGB"), picture("RGBA"), picture("L")
    frames = [picture("RGBA", 20, 14 + i).crop((0, 0, 20, 14)) for i in range(3)]
    return {
        "jpeg-rgb": encoded(rgb, format="JPEG", optimize=True), "jpeg-grey": encoded(grey, format="JPEG", optimize=True),
        "jpeg-cmyk": encoded(picture("CMYK"), format="JPEG", optimize=True),
        "jpeg-444": encoded(rgb, format="JPEG", subsampling=0, optimize=True),
        "jpeg-progressive": encoded(rgb, format="JPEG", progressive=True),
        **{f"jpeg-exif{i}": encoded(rgb, format="JPEG", exif=exif(i), optimize=True) for i in range(2, 9)},
        "jpeg-exif-cut": encoded(rgb, format="JPEG", exif=exif(6)[:20], optimize=True),
        "jpeg-one-pixel": encoded(picture("RGB", 1, 1), format="JPEG", optimize=True),
        "png-rgb": encoded(rgb, format="PNG"), "png-rgba": encoded(rgba, format="PNG"),
        "png-grey": encoded(grey, format="PNG"), "png-grey-alpha": encoded(picture("LA"), format="PNG"),
        "png-1-bit": encoded(grey.convert("1"), format="PNG"), "png-palette": encoded(rgb.quantize(16), format="PNG"),
        "png-palette-alpha": encoded(rgb.quantize(16), format="PNG", transparency=bytes(range(0, 256, 16))),
        "png-interlaced": adam7(rgba), "png-exif5": encoded(rgb, format="PNG", exif=exif(5)),
        "png-16-bit": png(9, 4, 2, b"".join(b"\0" + bytes((i * 37 + y) % 256 for i in range(54)) for y in range(4)), depth=16),
        # i4: compressed text and profiles whose contents are megabytes are skipped unread.
        "i4-png-text": png(2, 2, 0, ROWS, before=chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(4 << 20), 9))),
        "i4-png-profile": png(2, 2, 0, ROWS, before=chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(4 << 20), 9))),
        "webp-lossy": encoded(rgb, format="WEBP"), "webp-lossy-alpha": encoded(rgba, format="WEBP", exact=True),
        "webp-lossless": encoded(rgb, format="WEBP", lossless=True),
        "webp-lossless-alpha": encoded(rgba, format="WEBP", lossless=True, exact=True),
        "webp-exif8": encoded(rgb, format="WEBP", lossless=True, exif=exif(8)),
        "webp-animated": encoded(frames[0], format="WEBP", save_all=True, append_images=frames[1:], lossless=True, exact=True),
        "ppm": encoded(picture("RGB", 5, 3), format="PPM"), "pgm": encoded(picture("L", 5, 3), format="PPM"),
        "ppm-comment": b"P6 # with a word\n2 # and another\n1 255\nabcdef",
    }


def bad():
    """Name: file, error."""
    rgb = picture("RGB")
    jpeg, progressive = encoded(rgb, format="JPEG", optimize=True), encoded(rgb, format="JPEG", progressive=True)
    whole_png, webp = encoded(rgb, format="PNG"), encoded(rgb, format="WEBP")
    last_scan = progressive[progressive.rfind(b"\xff\xda"):-2]
    frame = encoded(picture("RGB", 8, 8), format="WEBP", lossless=True)[12:]
    place = lambda x, y: u24(x) + u24(y) + u24(7) + u24(7) + u24(9) + b"\0"
    canvas = lambda width, height, flags: bytes([flags, 0, 0, 0]) + u24(width - 1) + u24(height - 1)
    broken_sum = bytearray(whole_png)
    broken_sum[whole_png.find(b"IDAT") + 6] ^= 1
    return {
        "empty": (b"", UNSUPPORTED), "text": (b"a picture of a cat\n", UNSUPPORTED), "one-byte": (b"\xff", UNSUPPORTED),
        # i2: formats that are refused by name.
        "i2-gif": (encoded(picture("L"), format="GIF"), UNSUPPORTED), "i2-bmp": (encoded(picture("L"), format="BMP"), UNSUPPORTED),
        "i2-tiff": (encoded(picture("L"), format="TIFF"), UNSUPPORTED),
        "i2-heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", UNSUPPORTED),
        # i1: headers that ask for gigabytes.
        "i1-jpeg": (jpeg_size(jpeg, 65500, 65500), TOO_LARGE), "i1-jpeg-progressive": (jpeg_size(progressive, 65500, 65500), TOO_LARGE),
        "i1-jpeg-no-width": (jpeg_size(jpeg, 0, 14), MALFORMED),
        "i1-png": (png(65535, 65535, 6, b"\0" * 99), TOO_LARGE), "i1-png-interlaced": (png(65535, 65535, 6, b"\0" * 99, interlaced=1), TOO_LARGE),
        "i1-png-2p31": (png(2**31 - 1, 2**31 - 1, 6, b"\0" * 99), INVALID), "i1-png-2p32": (png(2**32 - 1, 1, 0, b"\0\0"), INVALID),
        "i1-png-no-width": (png(0, 5, 2, b"\0"), INVALID),
        "i1-webp": (riff((b"VP8X", canvas(16384, 16384, 2)), (b"ANIM", bytes(6)), (b"ANMF", place(0, 0) + frame)), TOO_LARGE),
        "i1-ppm": (b"P6 65535 65535 255\nabc", TOO_LARGE), "i1-ppm-2p32": (b"P6 4294967296 4294967296 255\nabc", MALFORMED),
        "i1-pgm-long": (b"P5 " + b"9" * 400 + b" 1 255\n", MALFORMED), "ppm-no-maximum": (b"P6 2 2 0\nabcdefabcdef", MALFORMED),
        # i4: a file of little scans, frames that stand outside, pixels that never come.
        "i4-jpeg-scans": (progressive[:-2] + last_scan * 200 + progressive[-2:], MALFORMED),
        "i4-webp-frame-outside": (riff((b"VP8X", canvas(16, 16, 2)), (b"ANIM", bytes(6)), (b"ANMF", place(6, 0) + frame)), MALFORMED),
        "i4-webp-no-frame": (riff((b"VP8X", canvas(16, 16, 2)), (b"ANIM", bytes(6))), MALFORMED),
        "i4-webp-nested": (riff((b"VP8X", canvas(16, 16, 2)), (b"ANIM", bytes(6)),
                                (b"ANMF", place(0, 0) + riff((b"VP8X", canvas(8, 8, 2)), (b"ANIM", bytes(6))))), MALFORMED),
        "i4-png-few-pixels": (png(4096, 4096, 0, bytes(5000)), MALFORMED),
        "i4-png-few-pixels-interlaced": (png(4096, 4096, 6, bytes(5000), interlaced=1), MALFORMED),
        "jpeg-cut": (jpeg[:-60], MALFORMED), "jpeg-progressive-cut": (progressive[:-60], MALFORMED), "jpeg-start": (jpeg[:40], MALFORMED),
        "jpeg-12-bit": (jpeg.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"), MALFORMED),
        "png-cut": (whole_png[:-40], MALFORMED), "png-start": (whole_png[:30], MALFORMED), "png-sum": (bytes(broken_sum), MALFORMED),
        "png-as-text": (whole_png.replace(b"\r\n", b"\n"), UNSUPPORTED),
        "webp-cut": (webp[:-30], MALFORMED), "webp-start": (webp[:20], MALFORMED), "ppm-cut": (b"P6 2 2 255\nabcdefabcde", MALFORMED),
    }


def fnv(data):
    value = 0xcbf29ce484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001b3 & 0xffffffffffffffff
    return value


def decoded(data):
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    image = image.convert("RGB")
    return f"ok {image.width} {image.height} {fnv(image.tobytes()):016x}"


def main():
    os.makedirs(FOLDER, exist_ok=True)
    lines = []
    for name, data in good().items():
        # Pillow refuses such text; what is right is the picture without it.
        lines.append((name, data, decoded(png(2, 2, 0, ROWS) if name.startswith("i4-png") else data)))
    for name, (data, error) in bad().items():
        lines.append((name, data, error))
    with open(os.path.join(ROOT, "tests/golden/images.txt"), "w") as golden:
        golden.write("# By tests/fuzz/make_image_corpus.py: what becomes of the files of tests/fuzz/corpus/image.\n")
        for name, data, result in lines:
            with open(os.path.join(FOLDER, name), "wb") as file:
                file.write(data)
            golden.write(f"{name} {result}\n")


main()
