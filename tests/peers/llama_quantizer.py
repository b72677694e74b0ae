"""llama.cpp's quantizer, called in its library from the npm package node-llama-cpp; GGUF files read and written by hand.

Used by quantize.py. Structures are those of llama.h and ggml.h at the release that package.json names.
"""
import ctypes
import glob
import os
import struct

import numpy

TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7, "Q8_0": 8, "Q2_K": 10, "Q3_K": 11, "Q4_K": 12,
         "Q5_K": 13, "Q6_K": 14, "IQ4_NL": 20, "IQ4_XS": 23, "I32": 26, "BF16": 30, "MXFP4": 39}
TYPE_NAMES = {number: name for name, number in TYPES.items()}
FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10, "Q3_K_S": 11,
              "Q3_K_M": 12, "Q3_K_L": 13, "Q4_K_S": 14, "Q4_K_M": 15, "Q5_K_S": 16, "Q5_K_M": 17, "Q6_K": 18,
              "Q2_K_S": 21, "IQ4_NL": 25, "IQ4_XS": 30, "BF16": 32, "MXFP4_MOE": 38}
NO_TYPE = 43  # GGML_TYPE_COUNT, read anew by Quantizer from the library's own defaults


class ImatrixEntry(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("data", ctypes.POINTER(ctypes.c_float)), ("size", ctypes.c_size_t)]


class Override(ctypes.Structure):
    _fields_ = [("pattern", ctypes.c_char_p), ("type", ctypes.c_int)]


class Params(ctypes.Structure):
    _fields_ = [("nthread", ctypes.c_int32), ("ftype", ctypes.c_int), ("output_tensor_type", ctypes.c_int),
                ("token_embedding_type", ctypes.c_int), ("allow_requantize", ctypes.c_bool),
                ("quantize_output_tensor", ctypes.c_bool), ("only_copy", ctypes.c_bool), ("pure", ctypes.c_bool),
                ("keep_split", ctypes.c_bool), ("dry_run", ctypes.c_bool), ("imatrix", ctypes.POINTER(ImatrixEntry)),
                ("kv_overrides", ctypes.c_void_p), ("tt_overrides", ctypes.POINTER(Override)),
                ("prune_layers", ctypes.c_void_p), ("max_buf_size", ctypes.c_size_t)]


class TypeTraits(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("block_values", ctypes.c_int64), ("interleave", ctypes.c_int64),
                ("block_bytes", ctypes.c_size_t), ("is_quantized", ctypes.c_bool),
                ("to_float", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)),
                ("from_float", ctypes.c_void_p)]


class Library:
    """`modules`: the folder node_modules that holds node-llama-cpp."""

    def __init__(self, modules):
        folders = glob.glob(os.path.join(modules, "@node-llama-cpp", "linux-x64", "bins", "*"))
        if not folders:
            raise SystemExit(f"no @node-llama-cpp/linux-x64 in {modules}; try npm install in tests/peers")
        folder = folders[0]
        find = lambda stem: sorted(glob.glob(os.path.join(folder, f"lib{stem}*.so")), key=len)[0]
        # The dynamic linker finds the rest beside them.
        self.base = ctypes.CDLL(find("ggml-base"), mode=ctypes.RTLD_GLOBAL)
        self.ggml = ctypes.CDLL(find("ggml."), mode=ctypes.RTLD_GLOBAL)
        self.llama = ctypes.CDLL(find("llama."), mode=ctypes.RTLD_GLOBAL)
        self.log = []
        log_type = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
        self.on_log = log_type(lambda level, text, user: self.log.append(text.decode(errors="replace")))
        self.llama.llama_log_set(self.on_log, None)
        self.llama.llama_model_quantize_default_params.restype = Params
        self.llama.llama_model_quantize.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.POINTER(Params)]
        self.llama.llama_model_quantize.restype = ctypes.c_uint32
        self.base.ggml_get_type_traits.restype = ctypes.POINTER(TypeTraits)
        self.base.ggml_quantize_chunk.restype = ctypes.c_size_t
        self.base.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64,
                                                  ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
        self.llama.llama_backend_init()

    def quantize(self, source, target, file_type, threads=2, imatrix=None, pure=False, output=None, embedding=None,
                 overrides=(), leave_output=False, requantize=False):
        """Writes `target`; `imatrix` is {tensor name: values}. Raises RuntimeError with the library's last lines."""
        params = self.llama.llama_model_quantize_default_params()
        params.nthread, params.ftype, params.pure, params.allow_requantize = threads, FILE_TYPES[file_type], pure, requantize
        params.quantize_output_tensor = not leave_output
        if output:
            params.output_tensor_type = TYPES[output]
        if embedding:
            params.token_embedding_type = TYPES[embedding]
        keep = []
        if imatrix:
            entries = (ImatrixEntry * (len(imatrix) + 1))()
            for entry, (name, values) in zip(entries, imatrix.items()):
                values = numpy.ascontiguousarray(values, dtype=numpy.float32)
                keep.append(values)
                entry.name, entry.size = name.encode(), values.size
                entry.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
            params.imatrix = entries
        if overrides:
            rules = (Override * (len(overrides) + 1))()
            for rule, (pattern, kind) in zip(rules, overrides):
                rule.pattern, rule.type = pattern.encode(), TYPES[kind]
            params.tt_overrides = rules
        self.log.clear()
        if self.llama.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params)) != 0:
            raise RuntimeError("llama.cpp refused: " + "".join(self.log[-3:]))

    def traits(self, kind):
        return self.base.ggml_get_type_traits(kind).contents

    def decode(self, kind, data, values):
        """`values` floats of the bytes `data` in the number format `kind`."""
        if kind == TYPES["F32"]:
            return data[:values * 4].view(numpy.float32)
        if kind == TYPES["F16"]:
            return data[:values * 2].view(numpy.float16).astype(numpy.float32)
        out = numpy.empty(values, numpy.float32)
        self.traits(kind).to_float(data.ctypes.data, out.ctypes.data, values)
        return out


class GgufFile:
    """Tensor table and metadata of a little-endian GGUF file; the data mapped."""

    SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}

    def __init__(self, path):
        self.bytes = numpy.memmap(path, numpy.uint8, "r")
        self.at = 4
        _, tensors, entries = self._take("<I"), self._take("<Q"), self._take("<Q")
        self.metadata = {}
        for _ in range(entries):
            key = self._string().decode()
            self.metadata[key] = self._value(self._take("<I"))
        table = []
        for _ in range(tensors):
            name = self._string().decode()
            shape = [self._take("<Q") for _ in range(self._take("<I"))]  # columns first
            table.append((name, shape, self._take("<I"), self._take("<Q")))
        alignment = self.metadata.get("general.alignment", 32)
        data = (self.at + alignment - 1) // alignment * alignment
        self.tensors = {name: (shape, kind, data + offset) for name, shape, kind, offset in table}

    def _take(self, form):
        value = struct.unpack_from(form, self.bytes, self.at)[0]
        self.at += struct.calcsize(form)
        return value

    def _string(self):
        size = self._take("<Q")
        self.at += size
        return self.bytes[self.at - size:self.at].tobytes()

    def _value(self, kind):
        if kind == 8:
            return self._string()
        if kind != 9:
            return self._take(self.SCALARS[kind])
        kind, count = self._take("<I"), self._take("<Q")
        return [self._value(kind) for _ in range(count)]

    def types(self):
        return {name: kind for name, (_, kind, _) in self.tensors.items()}

    def values(self, library, name):
        shape, kind, offset = self.tensors[name]
        count = int(numpy.prod(shape, dtype=numpy.int64))
        traits = library.traits(kind)
        size = count // traits.block_values * traits.block_bytes
        return library.decode(kind, self.bytes[offset:offset + size], count)


def pack_string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def write_gguf(path, metadata, tensors):
    """metadata: {key: str | int | float | list of int | list of str}; tensors: [(name, array, last axis the columns)], F32."""
    def value(item):
        if isinstance(item, str):
            return 8, pack_string(item)
        if isinstance(item, float):
            return 6, struct.pack("<f", item)
        if isinstance(item, int):
            return 4, struct.pack("<I", item)
        kind = value(item[0])[0]
        return 9, struct.pack("<IQ", kind, len(item)) + b"".join(value(x)[1] for x in item)

    tensors = [(name, numpy.ascontiguousarray(array, dtype="<f4")) for name, array in tensors]
    with open(path, "wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)))
        for key, item in metadata.items():
            kind, packed = value(item)
            file.write(pack_string(key) + struct.pack("<I", kind) + packed)
        offset = 0
        for name, array in tensors:
            shape = array.shape[::-1]
            file.write(pack_string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, TYPES["F32"], offset))
            offset += (array.nbytes + 31) // 32 * 32
        file.write(b"\0" * (-file.tell() % 32))
        for _, array in tensors:
            raw = array.tobytes()
            file.write(raw + b"\0" * (-len(raw) % 32))
