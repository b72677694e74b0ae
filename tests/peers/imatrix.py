#!/usr/bin/python3
"""Holds mote imatrix against llama.cpp's: sums of squared activations per column, of the same tokens.

  tests/peers/imatrix.py TEXT MODEL.gguf ... [--context 128] [--chunks 4]

llama.cpp runs in its library (npm install in tests/peers, or --modules), with a callback that looks at the inputs of every
matrix product, in NumPy; mote as the program. Both files have the same weights in F32 or F16. For each model it prints the
tensors compared and the largest relative difference of a tensor's means (root mean square over its columns). Fails above
0.5 % (experts: 5 %, for a token between two experts may go either way), where a tensor is missing, or where counts differ.
ggml's own reader must open mote's file.
"""
import argparse
import ctypes
import glob
import os
import subprocess
import sys
import tempfile

import numpy

from llama_quantizer import GgufFile, Library

HERE = os.path.dirname(os.path.abspath(__file__))
EVAL = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_bool, ctypes.c_void_p)


class Tensor(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("buffer", ctypes.c_void_p), ("ne", ctypes.c_int64 * 4), ("nb", ctypes.c_size_t * 4),
                ("op", ctypes.c_int), ("op_params", ctypes.c_int32 * 16), ("flags", ctypes.c_int32),
                ("src", ctypes.c_void_p * 10), ("view_src", ctypes.c_void_p), ("view_offs", ctypes.c_size_t),
                ("data", ctypes.c_void_p), ("name", ctypes.c_char * 64)]


class ModelParams(ctypes.Structure):
    _fields_ = [("pointers", ctypes.c_void_p * 2), ("numbers", ctypes.c_int32 * 5), ("more", ctypes.c_void_p * 4),
                ("vocab_only", ctypes.c_bool), ("flags", ctypes.c_bool * 5)]


class ContextParams(ctypes.Structure):
    _fields_ = [("n_ctx", ctypes.c_uint32), ("n_batch", ctypes.c_uint32), ("n_ubatch", ctypes.c_uint32),
                ("counts", ctypes.c_int32 * 6), ("kinds", ctypes.c_int * 5), ("floats", ctypes.c_float * 6),
                ("yarn_orig_ctx", ctypes.c_uint32), ("defrag", ctypes.c_float), ("cb_eval", EVAL),
                ("cb_user", ctypes.c_void_p), ("types", ctypes.c_int * 2), ("abort", ctypes.c_void_p * 2),
                ("flags", ctypes.c_bool * 6), ("samplers", ctypes.c_void_p), ("n_samplers", ctypes.c_size_t),
                ("other", ctypes.c_void_p)]


class Batch(ctypes.Structure):
    _fields_ = [("n_tokens", ctypes.c_int32), ("token", ctypes.POINTER(ctypes.c_int32)), ("embd", ctypes.c_void_p),
                ("pos", ctypes.POINTER(ctypes.c_int32)), ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
                ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))), ("logits", ctypes.POINTER(ctypes.c_int8))]


class GgufParams(ctypes.Structure):
    _fields_ = [("no_alloc", ctypes.c_bool), ("context", ctypes.c_void_p)]


class Collector:
    def __init__(self, library):
        self.library, self.sums, self.counts = library, {}, {}
        library.base.ggml_op_desc.restype = ctypes.c_char_p
        library.base.ggml_op_desc.argtypes = [ctypes.c_void_p]
        self.callback = EVAL(self.on_tensor)

    def on_tensor(self, pointer, ask, _):
        tensor = Tensor.from_address(pointer)
        kind = self.library.base.ggml_op_desc(pointer)
        if kind not in (b"MUL_MAT", b"MUL_MAT_ID"):
            return not ask
        weight, x = (Tensor.from_address(tensor.src[i]) for i in range(2))
        name = weight.name.decode()
        if not name.startswith("blk."):
            return not ask
        if ask:
            return True
        assert x.type == 0
        size = x.nb[3] * (x.ne[3] - 1) + x.nb[2] * (x.ne[2] - 1) + x.nb[1] * (x.ne[1] - 1) + 4 * x.ne[0]
        raw = numpy.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(x.data))
        values = numpy.lib.stride_tricks.as_strided(raw.view(numpy.float32), (x.ne[2], x.ne[1], x.ne[0]),
                                                    (x.nb[2], x.nb[1], 4)).astype(numpy.float64) ** 2
        if kind == b"MUL_MAT":
            values = values.reshape(-1, x.ne[0])
            self.add(name, 1, 0, values.sum(0), values.shape[0])
            return True
        ids = Tensor.from_address(tensor.src[2])
        for token in range(ids.ne[1]):
            for used in range(ids.ne[0]):
                expert = ctypes.c_int32.from_address(ids.data + token * ids.nb[1] + used * ids.nb[0]).value
                self.add(name, weight.ne[2], expert, values[token, used % x.ne[1]], 1)
        return True

    def add(self, name, matrices, matrix, squares, count):
        if name not in self.sums:
            self.sums[name] = numpy.zeros((matrices, squares.size))
            self.counts[name] = numpy.zeros(matrices)
        self.sums[name][matrix] += squares
        self.counts[name][matrix] += count


def collect(library, path, chunks):
    llama = library.llama
    for name, result in (("llama_model_default_params", ModelParams), ("llama_context_default_params", ContextParams),
                         ("llama_batch_init", Batch), ("llama_model_load_from_file", ctypes.c_void_p),
                         ("llama_init_from_model", ctypes.c_void_p), ("llama_get_memory", ctypes.c_void_p)):
        getattr(llama, name).restype = result
    llama.llama_model_load_from_file.argtypes = [ctypes.c_char_p, ModelParams]
    llama.llama_init_from_model.argtypes = [ctypes.c_void_p, ContextParams]
    llama.llama_decode.argtypes = [ctypes.c_void_p, Batch]
    llama.llama_get_memory.argtypes = [ctypes.c_void_p]
    llama.llama_memory_clear.argtypes = [ctypes.c_void_p, ctypes.c_bool]
    llama.llama_free.argtypes = llama.llama_model_free.argtypes = [ctypes.c_void_p]
    model = llama.llama_model_load_from_file(path.encode(), llama.llama_model_default_params())
    if not model:
        raise SystemExit("llama.cpp cannot load " + path + ": " + "".join(library.log[-2:]))
    collector = Collector(library)
    params = llama.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = len(chunks[0])
    params.cb_eval = collector.callback
    context = llama.llama_init_from_model(model, params)
    batch = llama.llama_batch_init(len(chunks[0]), 0, 1)
    for chunk in chunks:
        llama.llama_memory_clear(llama.llama_get_memory(context), True)
        batch.n_tokens = len(chunk)
        for i, token in enumerate(chunk):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, i, 1, 1
            batch.seq_id[i][0] = 0
        assert llama.llama_decode(context, batch) == 0
    llama.llama_free(context)
    llama.llama_model_free(model)
    return collector


def compare(args, library, path, folder):
    out = os.path.join(folder, "imatrix.gguf")
    words = subprocess.run([args.mote, "tokenize", path, "-f", args.text], check=True, capture_output=True, text=True)
    tokens = [int(token) for token in words.stdout.split()]
    chunks = [tokens[i * args.context:(i + 1) * args.context] for i in range(args.chunks)]
    assert len(chunks[-1]) == args.context, "a longer text is needed"
    metadata = GgufFile(path).metadata
    if metadata.get("tokenizer.ggml.add_bos_token", metadata["tokenizer.ggml.model"] == b"llama"):
        for chunk in chunks:
            chunk[0] = metadata["tokenizer.ggml.bos_token_id"]
    subprocess.run([args.mote, "imatrix", path, "-f", args.text, "-o", out, "-c", str(args.context), "--chunks",
                    str(args.chunks)], check=True, capture_output=True)
    library.base.gguf_init_from_file.argtypes = [ctypes.c_char_p, GgufParams]
    library.base.gguf_init_from_file.restype = ctypes.c_void_p
    assert library.base.gguf_init_from_file(out.encode(), GgufParams(True, None)), "ggml cannot open mote's file"
    collector = collect(library, path, chunks)
    file = GgufFile(out)
    names = {name.removesuffix(".in_sum2") for name in file.tensors if name.endswith(".in_sum2")}
    good = names == set(collector.sums)
    if not good:
        print("only one has:", sorted(names ^ set(collector.sums))[:8])
    worst, where = 0, ""
    for name in names & set(collector.sums):
        counts = file.values(library, name + ".counts").astype(numpy.float64)
        sums = file.values(library, name + ".in_sum2").reshape(counts.size, -1)
        experts = counts.size > 1
        if not experts and (counts != collector.counts[name]).any() or counts.sum() != collector.counts[name].sum():
            print(f"{name}: counts {counts} and {collector.counts[name]}")
            good = False
        want = collector.sums[name]
        difference = numpy.sqrt(((sums - want) ** 2).sum() / (want ** 2).sum())
        if difference > worst:
            worst, where = difference, name
        good = good and difference < (0.05 if experts else 0.005)
    print(f"{os.path.basename(path):28} {len(names)} tensors, worst difference {worst:.2e} {where}" + ("" if good else "   WRONG"))
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--build", default=os.path.join(HERE, "..", "..", "build", "release"))
    parser.add_argument("--modules", default=os.path.join(HERE, "node_modules"), help="a folder node_modules")
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--chunks", type=int, default=4)
    args = parser.parse_args()
    args.mote = os.path.join(args.build, "edge", "mote")
    library = Library(args.modules)
    folders = glob.glob(os.path.join(args.modules, "@node-llama-cpp", "linux-x64", "bins", "*"))
    library.ggml.ggml_backend_load_all_from_path(folders[0].encode())
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(0 if all([compare(args, library, path, folder) for path in args.models]) else 1)


if __name__ == "__main__":
    main()
