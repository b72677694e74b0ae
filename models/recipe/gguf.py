"""GGUF files: a small writer and reader with numpy, for F32, F16, Q8_0 and Q4_0 tensors."""

import struct

import numpy as np

TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 8}
FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7}
BLOCK = 32
ALIGN = 32


def q8_0(x):
    """float32 [rows, 32 * n] as blocks of a float16 scale and 32 int8."""
    b = x.reshape(-1, BLOCK)
    d = np.abs(b).max(1) / 127.0
    q = np.rint(b / np.where(d > 0, d, 1)[:, None]).astype(np.int8)
    return np.concatenate([d.astype(np.float16)[:, None].view(np.uint8), q.view(np.uint8)], 1).tobytes()


def q4_0(x):
    """float32 [rows, 32 * n] as blocks of a float16 scale and 32 nibbles, the first half in the low ones."""
    b = x.reshape(-1, BLOCK)
    d = np.take_along_axis(b, np.abs(b).argmax(1)[:, None], 1)[:, 0] / -8.0
    q = np.clip(b / np.where(d != 0, d, 1)[:, None] + 8.5, 0, 15).astype(np.uint8)
    return np.concatenate([d.astype(np.float16)[:, None].view(np.uint8), q[:, :16] | (q[:, 16:] << 4)], 1).tobytes()


def encode(x, kind):
    if kind == "F32":
        return np.ascontiguousarray(x, np.float32).tobytes()
    if kind == "F16":
        return np.ascontiguousarray(x, np.float16).tobytes()
    if x.shape[-1] % BLOCK:
        raise ValueError("rows of %d do not divide into blocks of %d" % (x.shape[-1], BLOCK))
    return (q8_0 if kind == "Q8_0" else q4_0)(np.ascontiguousarray(x, np.float32))


def decode(data, shape, kind):
    if kind in ("F32", "F16"):
        return np.frombuffer(data, np.float32 if kind == "F32" else np.float16).astype(np.float32).reshape(shape)
    blocks = np.frombuffer(data, np.uint8).reshape(-1, 34 if kind == "Q8_0" else 18)
    d = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    if kind == "Q8_0":
        q = blocks[:, 2:].copy().view(np.int8).astype(np.float32)
    else:
        q = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], 1).astype(np.float32) - 8
    return (d * q).reshape(shape)


def byte_count(shape, kind):
    n = int(np.prod(shape))
    return {"F32": n * 4, "F16": n * 2, "Q8_0": n // BLOCK * 34, "Q4_0": n // BLOCK * 18}[kind]


def _string(s):
    b = s.encode()
    return struct.pack("<Q", len(b)) + b


def _value(v):
    """The type number and the bytes of a metadata value."""
    if isinstance(v, bool):
        return 7, struct.pack("<?", v)
    if isinstance(v, int):
        return 4, struct.pack("<I", v)
    if isinstance(v, float):
        return 6, struct.pack("<f", v)
    if isinstance(v, str):
        return 8, _string(v)
    if all(isinstance(e, int) for e in v):  # token types
        return 9, struct.pack("<IQ", 5, len(v)) + b"".join(struct.pack("<i", e) for e in v)
    kind = _value(v[0])[0]
    return 9, struct.pack("<IQ", kind, len(v)) + b"".join(_value(e)[1] for e in v)


def write(path, keys, tensors):
    """Writes metadata {key: value} and tensors {name: (array, kind)}."""
    head = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(keys))]
    for k, v in keys.items():
        kind, data = _value(v)
        head.append(_string(k) + struct.pack("<I", kind) + data)
    blobs, offset = [], 0
    for name, (x, kind) in tensors.items():
        data = encode(x, kind)
        dims = x.shape[::-1]
        head.append(_string(name) + struct.pack("<I%dQIQ" % len(dims), len(dims), *dims, TYPES[kind], offset))
        data += bytes(-len(data) % ALIGN)
        blobs.append(data)
        offset += len(data)
    head = b"".join(head)
    with open(path, "wb") as f:
        f.write(head + bytes(-len(head) % ALIGN) + b"".join(blobs))


class Reader:
    """The metadata `keys` and the tensors of a file."""

    def __init__(self, path):
        with open(path, "rb") as f:
            self.data = f.read()
        self.at = 4
        if self.data[:4] != b"GGUF":
            raise ValueError("%s is not a GGUF file" % path)
        _, tensors, keys = self.take("<IQQ")
        self.keys = {}
        for _ in range(keys):
            name = self.string()
            self.keys[name] = self.value(self.take("<I")[0])
        names = {v: k for k, v in TYPES.items()}
        entries = []
        for _ in range(tensors):
            name = self.string()
            dims = self.take("<%dQ" % self.take("<I")[0])
            kind, offset = self.take("<IQ")
            entries.append((name, dims[::-1], names[kind], offset))
        base = self.at + -self.at % ALIGN
        self.tensors = {n: decode(self.data[base + o:base + o + byte_count(s, k)], s, k) for n, s, k, o in entries}

    def take(self, form):
        out = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return out

    def string(self):
        n = self.take("<Q")[0]
        self.at += n
        return self.data[self.at - n:self.at].decode()

    def value(self, kind):
        if kind == 8:
            return self.string()
        if kind == 9:
            inner, n = self.take("<IQ")
            return [self.value(inner) for _ in range(n)]
        return self.take("<" + {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}[kind])[0]
