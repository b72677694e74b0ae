#!/usr/bin/env python3
"""Writes corpus/sparse: block-sparse matrices as files and as bare arrays, good ones and ones that must be refused."""
import pathlib
import struct

HERE = pathlib.Path(__file__).resolve().parent / "corpus" / "sparse"


def arrays(kind, rows, cols, counts, index, rest=b"\x00\x3c" * 64):
    """kind: 0 I8, 1 F16, 2 BF16, 3 Q4_0."""
    return (struct.pack("<BHHH", kind, rows, cols, len(index)) + bytes(counts) + bytes(index) + rest)


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def gguf(kind, rows, cols, counts, index, scales, values, version=1, names=("m",), lose=None):
    """One matrix of GGUF type `kind`; `lose`: a suffix whose tensor is left out."""
    value_type = kind if kind in (1, 30) else 24
    keys = [("mote.sparse.version", struct.pack("<II", 4, version)),
            ("mote.sparse.names", struct.pack("<IIQ", 9, 8, len(names)) + b"".join(text(n) for n in names))]
    for key, number in (("types", kind), ("rows", rows), ("cols", cols)):
        keys.append((f"mote.sparse.{key}", struct.pack("<IIQ", 9, 4, len(names)) + struct.pack("<I", number) * len(names)))
    tensors = [("m.sparse_counts", 24, len(counts), bytes(counts)), ("m.sparse_index", 24, len(index), bytes(index)),
               ("m.sparse_scales", 1, len(scales) // 2, scales),
               ("m.sparse_values", value_type, len(values) // (1 if value_type == 24 else 2), values)]
    tensors = [t for t in tensors if t[2] > 0 and not (lose and t[0].endswith(lose))]
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys))
    header += b"".join(text(k) + v for k, v in keys)
    offset, data = 0, b""
    for name, kind_id, count, payload in tensors:
        header += text(name) + struct.pack("<IQIQ", 1, count, kind_id, offset)
        padded = payload + b"\x00" * (-len(payload) % 32)
        data += padded
        offset += len(padded)
    return header + b"\x00" * (-len(header) % 32) + data


def main():
    HERE.mkdir(parents=True, exist_ok=True)
    one = b"\x00\x3c" * 16
    files = {
        "arrays-i8": arrays(0, 20, 288, [3, 1, 0, 2], [0, 5, 63, 7, 1, 2]),
        "arrays-f16": arrays(1, 5, 258, [128, 1], list(range(128)) + [0]),
        "arrays-bf16": arrays(2, 33, 6, [1, 0, 3], [2, 0, 1, 2]),
        "arrays-q4_0": arrays(3, 16, 64, [3], [0, 4, 7]),
        "arrays-place-outside": arrays(0, 16, 32, [1], [8]),
        "arrays-place-twice": arrays(0, 16, 32, [2], [3, 3]),
        "arrays-count-too-large": arrays(0, 16, 32, [9], list(range(9))),
        "arrays-count-beyond": arrays(0, 16, 512, [64, 255], list(range(64))),
        "arrays-sum-short": arrays(0, 16, 512, [1, 1], [0, 0, 1]),
        "arrays-no-columns": arrays(1, 16, 0, [], []),
        "file-i8": gguf(24, 20, 32, [2, 1], [0, 7, 3], one * 2, bytes(range(192))),
        "file-f16": gguf(1, 16, 8, [2], [0, 3], b"", bytes(128)),
        "file-q4_0": gguf(2, 16, 64, [1], [7], one * 2, bytes(64)),
        "file-version": gguf(24, 16, 32, [1], [0], one, bytes(64), version=2),
        "file-name-twice": gguf(24, 16, 32, [1], [0], one, bytes(64), names=("m", "m")),
        "file-lacks-index": gguf(24, 16, 32, [1], [0], one, bytes(64), lose="index"),
        "file-lacks-scales": gguf(24, 16, 32, [1], [0], one, bytes(64), lose="scales"),
        "file-short-values": gguf(24, 16, 32, [2], [0, 1], one, bytes(64)),
        "file-huge": gguf(1, 1 << 26, 1 << 26, [1], [0], b"", bytes(64)),
        "file-too-wide": gguf(24, 16, 0xFFFFFFE0, [1], [0], one, bytes(64)),
        "file-type": gguf(12, 16, 32, [1], [0], one, bytes(64)),
    }
    for name, content in files.items():
        (HERE / name).write_bytes(content)


if __name__ == "__main__":
    main()
