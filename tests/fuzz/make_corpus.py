#!/usr/bin/python3
"""Writes the seeds of the GGUF fuzz target: tests/fuzz/make_corpus.py [FOLDER]   (default: corpus/gguf beside it)

Small valid files with something of everything, and one file for each way in which GGUF readers were broken before.
The files are committed, since not every machine that runs the tests has Python; running this again writes the same bytes.
Inputs that a fuzzer found are added to the folder by hand and left alone by this script.
"""
import os
import struct
import sys

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
FORMATS = {U8: "<B", I8: "<b", U16: "<H", I16: "<h", U32: "<I", I32: "<i", F32: "<f", BOOL: "<B", U64: "<Q", I64: "<q",
           F64: "<d"}
MAX = 2**64 - 1
HOSTILE = {"1": 1, "2p31": 2**31, "2p32": 2**32, "2p61p1": 2**61 + 1, "2p63": 2**63, "max-1": MAX - 1, "max": MAX}


def text(value, claimed=None):
    value = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(value) if claimed is None else claimed) + value


def scalar(kind, value):
    return text(value) if kind == STRING else struct.pack(FORMATS[kind], value)


def entry(key, kind, value):
    return text(key) + struct.pack("<I", kind) + scalar(kind, value)


def array(key, kind, values, claimed=None):
    head = struct.pack("<IIQ", ARRAY, kind, len(values) if claimed is None else claimed)
    return text(key) + head + b"".join(scalar(kind, value) for value in values)


def tensor(name, dims, kind, offset, num_dims=None):
    return (text(name) + struct.pack("<I", len(dims) if num_dims is None else num_dims) +
            b"".join(struct.pack("<Q", dim) for dim in dims) + struct.pack("<IQ", kind, offset))


def gguf(entries=(), tensors=(), data=b"", version=3, alignment=32, num_entries=None, num_tensors=None, magic=b"GGUF"):
    head = magic + struct.pack("<IQQ", version, len(tensors) if num_tensors is None else num_tensors,
                               len(entries) if num_entries is None else num_entries)
    head += b"".join(entries) + b"".join(tensors)
    return head + bytes(-len(head) % alignment) + data


def pattern(count):
    return bytes((7 + 31 * i) % 256 for i in range(count))


def valid():
    scalars = [entry("u8", U8, 1), entry("i8", I8, -1), entry("u16", U16, 2), entry("i16", I16, -2), entry("u32", U32, 3),
               entry("i32", I32, -3), entry("f32", F32, 0.5), entry("bool", BOOL, 1), entry("string", STRING, "text"),
               entry("u64", U64, 4), entry("i64", I64, -4), entry("f64", F64, 0.25)]
    arrays = [array("a%d" % kind, kind, [0, 1]) for kind in FORMATS] + [
        array("strings", STRING, ["<s>", "", "caf\u00e9", b"\xff\xfe"]), array("none", U32, []), array("no strings", STRING, [])]
    model = [entry("general.architecture", STRING, "llama"), entry("general.alignment", U32, 32),
             entry("llama.block_count", U32, 1), entry("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
             array("tokenizer.ggml.tokens", STRING, ["<unk>", "a", "b"]), array("tokenizer.ggml.scores", F32, [0, -1, -2])]
    tensors = [tensor("token_embd.weight", [4, 3], 0, 0), tensor("blk.0.attn_q.weight", [32, 2], 8, 64),
               tensor("output.weight", [32, 1, 1, 1], 2, 160)]
    yield "empty", gguf()
    yield "empty-v2", gguf(version=2)
    yield "scalars", gguf(scalars)
    yield "arrays", gguf(arrays)
    yield "model", gguf(model, tensors, pattern(192))
    yield "model-v2", gguf(model, tensors, pattern(192), version=2)
    yield "alignment-8", gguf([entry("general.alignment", U32, 8)], [tensor("t", [3], 0, 0)], pattern(16), alignment=8)
    yield "alignment-64k", gguf([entry("general.alignment", U32, 65536)], [tensor("t", [3], 0, 65536)])
    # One seed for every number format: id, values and bytes of a block.
    blocks = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84),
              11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 20: (32, 18), 23: (256, 136), 24: (1, 1),
              25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 30: (1, 2), 39: (32, 17)}
    offset, formats = 0, []
    for kind, (values, size) in blocks.items():
        formats.append(tensor("t%d" % kind, [values], kind, offset))
        offset += (size + 31) // 32 * 32
    yield "formats", gguf([], formats, pattern(offset))
    part = [[entry("split.no", U16, i), entry("split.count", U16, 2), entry("split.tensors.count", I32, 2)] for i in (0, 1)]
    yield "split", (gguf(part[0], [tensor("a", [8], 0, 0)], pattern(32)) + gguf(part[1], [tensor("b", [8], 0, 0)], pattern(32)))
    yield "split-alone", gguf(part[1], [tensor("b", [8], 0, 0)], pattern(32))
    yield "split-wrong-order", gguf(part[1]) + gguf(part[0])


def hostile():
    one = [entry("key", U32, 1)]
    spot = [tensor("t", [8], 0, 0)]
    for name, value in HOSTILE.items():
        yield "g1-entries-" + name, gguf(one, num_entries=value + 1 if value == 1 else value)
        yield "g1-tensors-" + name, gguf([], spot, pattern(32), num_tensors=value + 1 if value == 1 else value)
        yield "g1-key-" + name, gguf([text("key", value) + struct.pack("<II", U32, 1)])
        yield "g1-string-" + name, gguf([text("key") + struct.pack("<I", STRING) + text("text", value)])
        yield "g1-array-" + name, gguf([array("key", U64, [1, 2, 3], claimed=value)])
        yield "g1-strings-" + name, gguf([array("key", STRING, ["a", "b", "c"], claimed=value)])
        yield "g1-name-" + name, gguf([], [text("t", value) + tensor("", [8], 0, 0)[8:]], pattern(32))
        yield "g4-offset-" + name, gguf([], [tensor("t", [8], 0, value & ~31)], pattern(32))
        yield "g3-dim-" + name, gguf([], [tensor("t", [value, value], 0, 0)], pattern(32))
    shapes = {"wrap": [2**32, 2**32], "wrap4": [2**32, 2**32, 1, 1], "wrap2": [2**31, 2**33], "zero-first": [0, 9],
              "zero-last": [9, 0], "none": [], "five": [1] * 5, "bytes": [2**62]}
    for name, dims in shapes.items():
        yield "g3-" + name, gguf([], [tensor("t", dims, 0, 0)], pattern(64))
    yield "g3-dims-max", gguf([], [tensor("t", [1], 0, 0, num_dims=2**32 - 1)], pattern(64))
    yield "g3-block", gguf([], [tensor("t", [31], 2, 0)], pattern(64))
    yield "g3-foreign", gguf([], [tensor("t", [256], 16, 0)], pattern(256))
    yield "g3-unknown", gguf([], [tensor("t", [256], 1000, 0)], pattern(256))
    yield "g4-end", gguf([], [tensor("t", [9], 0, 0)], pattern(32))
    yield "g4-unaligned", gguf([], [tensor("t", [1], 0, 4)], pattern(64))
    yield "g4-overlap", gguf([], [tensor("a", [16], 0, 0), tensor("b", [16], 0, 32)], pattern(128))
    for value in (0, 1, 3, 2**16 + 1, 2**17, 2**30, 2**31):
        yield "g5-%d" % value, gguf([entry("general.alignment", U32, value)], spot, pattern(32))
    yield "g5-u64", gguf([entry("general.alignment", U64, 32)], spot, pattern(32))
    yield "g5-string", gguf([entry("general.alignment", STRING, "32")], spot, pattern(32))
    yield "g5-twice", gguf([entry("general.alignment", U32, 32)] * 2, spot, pattern(32))
    yield "g6-nested", gguf([text("key") + struct.pack("<I", ARRAY) + struct.pack("<IQ", ARRAY, 1) * 50])
    yield "g6-key-twice", gguf(one * 2)
    yield "g6-tensor-twice", gguf([], [tensor("t", [8], 0, 0), tensor("t", [8], 0, 32)], pattern(64))
    yield "g6-bool", gguf([entry("key", BOOL, 2)])
    yield "g6-bools", gguf([array("key", BOOL, [0, 1, 2])])
    yield "g6-type", gguf([text("key") + struct.pack("<II", 13, 1)])
    yield "g6-element-type", gguf([array("key", U32, [1]).replace(struct.pack("<II", ARRAY, U32), struct.pack("<II", ARRAY, 99))])
    yield "g6-key-bytes", gguf([entry(b"a\0\x1b\xff", U32, 1)])
    yield "g6-key-empty", gguf([entry("", U32, 1)])
    yield "g6-name-long", gguf([], [tensor("n" * 256, [8], 0, 0)], pattern(32))
    for name, head in {"ggml": b"lmgg", "ggjt": b"tjgg", "swapped": b"FUGG", "html": b"<!DO", "zip": b"PK\3\4"}.items():
        yield "magic-" + name, gguf(magic=head)
    for version in (0, 1, 4, 0x03000000):
        yield "version-%x" % version, gguf(version=version)
    yield "no-bytes", b""
    yield "cut", gguf([entry("key", STRING, "text")], spot, pattern(32))[:60]


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus", "gguf")
    os.makedirs(folder, exist_ok=True)
    count = total = 0
    for family in (valid(), hostile()):
        for name, content in family:
            with open(os.path.join(folder, name), "wb") as file:
                file.write(content)
            count, total = count + 1, total + len(content)
    print("%d files, %d bytes in %s" % (count, total, folder))


if __name__ == "__main__":
    main()
