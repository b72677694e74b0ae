#!/usr/bin/python3
"""Holds mote quantize against llama.cpp's quantizer: the type of every tensor, the error in every tensor, and the time.

  tests/peers/quantize.py types                     many shapes of model through both; fails on a type that differs
  tests/peers/quantize.py golden FILE               writes llama.cpp's side for tests/format/convert_golden_test.cc
  tests/peers/quantize.py errors MODEL.gguf ...     real or random weights in F32 or F16; fails where mote's is larger
  tests/peers/quantize.py time MODEL.gguf TYPE      both in turn, --rounds times, with --threads

Needs npm packages (npm install in tests/peers, or --modules), python3-numpy, and the target mote_program of a build.

The error of a tensor is the sum of (decoded - original)^2, weighted with the importances where there are any; both files
are decoded by llama.cpp. Importances are random (log-normal, with a few columns a thousand times the rest), or those of
--imatrix FILE (GGUF). A run without faults prints one line per type: the ratio of the errors over all tensors, and the
worst of one tensor.
"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy

from llama_quantizer import TYPES, TYPE_NAMES, GgufFile, Library, write_gguf

HERE = os.path.dirname(os.path.abspath(__file__))
FILE_TYPES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q2_K_S", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_K_S", "Q4_K_M",
              "Q5_K_S", "Q5_K_M", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4_MOE", "F16", "BF16"]
ATTENTION = "attn_q attn_k attn_v attn_output"
DENSE = ATTENTION + " ffn_gate ffn_up ffn_down"
EXPERTS = ATTENTION + " ffn_gate_inp ffn_gate_exps ffn_up_exps ffn_down_exps"

# name: architecture, layers, heads, key/value heads, experts, columns, tensors outside the layers, in each, in every other
MODELS = {
    "llama-1b": ("llama", 16, 32, 8, 0, 256, "token_embd output_norm", DENSE, ""),
    "llama-8b": ("llama", 32, 32, 8, 0, 256, "token_embd output_norm output", DENSE, ""),
    "llama-13b": ("llama", 40, 40, 40, 0, 256, "token_embd output", "attn_q attn_v attn_output ffn_down", ""),
    "llama-70b": ("llama", 80, 64, 8, 0, 256, "token_embd output", "attn_v attn_output ffn_down", ""),
    "llama-short": ("llama", 3, 8, 2, 0, 256, "token_embd", DENSE, ""),
    "mixtral": ("llama", 32, 32, 8, 8, 256, "token_embd output", EXPERTS, ""),
    "qwen2-0.5b": ("qwen2", 24, 14, 2, 0, 96, "token_embd output_norm", "attn_q attn_k attn_v attn_output ffn_down:512", ""),
    "qwen2-72b": ("qwen2", 80, 64, 8, 0, 256, "token_embd output", "attn_v ffn_down", ""),
    "qwen3moe": ("qwen3moe", 48, 32, 4, 128, 256, "token_embd output", EXPERTS, ""),
    "gemma3": ("gemma3", 26, 4, 1, 0, 288, "token_embd output_norm", DENSE, ""),
    "phi3": ("phi3", 32, 32, 32, 0, 256, "token_embd output", "attn_qkv attn_output ffn_up ffn_down", ""),
    "falcon": ("falcon", 32, 71, 1, 0, 256, "token_embd output", "attn_qkv attn_output ffn_up ffn_down", ""),
    "gpt2": ("gpt2", 12, 12, 12, 0, 256, "token_embd position_embd", "attn_qkv attn_output ffn_up ffn_down", ""),
    "holes": ("llama", 24, 16, 4, 0, 256, "token_embd output per_layer_token_embd",
              "attn_norm ffn_gate_inp_shexp ffn_down altup_router", "attn_v attn_output attn_kv_b ssm_conv1d"),
}


def tensors_of(model):
    """[(name, shape, rows first)], in the order of the golden file."""
    _, layers, _, _, _, columns, outside, each, other = MODELS[model]
    out = []

    def add(prefix, words):
        for word in words.split():
            stem, _, cols = word.partition(":")
            cols = int(cols or columns)
            shape = (cols,) if stem.endswith("_norm") else (3, 2, cols) if stem.endswith("_exps") else (2, cols)
            out.append((prefix + stem + ".weight", shape))

    add("", outside)
    for layer in range(layers):
        add(f"blk.{layer}.", each)
        if layer % 2 == 1:
            add(f"blk.{layer}.", other)
    return out


def write_model(path, model):
    architecture, layers, heads, kv_heads, experts, columns, *_ = MODELS[model]
    metadata = {"general.architecture": architecture, "general.file_type": 0}
    for key, value in (("block_count", layers), ("attention.head_count", heads), ("attention.head_count_kv", kv_heads),
                       ("context_length", 512), ("embedding_length", 8 * heads), ("feed_forward_length", 512),
                       ("attention.layer_norm_rms_epsilon", 1e-5), ("attention.layer_norm_epsilon", 1e-5),
                       ("attention.sliding_window", 512), ("expert_feed_forward_length", 512), ("rope.dimension_count", 8),
                       ("attention.key_length", 8), ("attention.value_length", 8)):
        metadata[f"{architecture}.{key}"] = value
    if experts:
        metadata |= {f"{architecture}.expert_count": experts, f"{architecture}.expert_used_count": 2}
    random = numpy.random.default_rng(1)
    write_gguf(path, metadata, [(name, random.standard_normal(shape)) for name, shape in tensors_of(model)])


def write_imatrix(path, importances, chunk_size=512):
    """{tensor: means}, one matrix each or (matrices, columns), as llama-imatrix would after one chunk."""
    tensors = []
    for name, means in importances.items():
        means = numpy.atleast_2d(means)
        tensors.append((name + ".in_sum2", means * chunk_size))
        tensors.append((name + ".counts", numpy.full((means.shape[0], 1), chunk_size)))
    write_gguf(path, {"general.type": "imatrix", "imatrix.datasets": ["random"], "imatrix.chunk_count": 1,
                      "imatrix.chunk_size": chunk_size}, tensors)


def mote(args, source, target, file_type, *more):
    done = subprocess.run([args.mote, "quantize", source, target, file_type, "-t", str(args.threads), *more],
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError("mote: " + done.stderr.strip())


def llama_types(library, source, target, file_type, importances, **options):
    library.quantize(source, target, file_type, imatrix=importances, **options)
    return GgufFile(target).types()


def ones(model):
    return {name: numpy.ones(shape[-1] * (shape[0] if len(shape) == 3 else 1)) for name, shape in tensors_of(model)
            if len(shape) > 1}


def run_length(numbers):
    out = []
    for number in numbers:
        if out and out[-1][0] == number:
            out[-1][1] += 1
        else:
            out.append([number, 1])
    return " ".join(str(n) if count == 1 else f"{n}*{count}" for n, count in out)


def golden(args, library, folder):
    source, target = os.path.join(folder, "in.gguf"), os.path.join(folder, "out.gguf")
    with open(args.words[0], "w", encoding="ascii") as file:
        file.write("# Written by tests/peers/quantize.py golden: the types that llama.cpp v0.5.0 gives the tensors of small\n"
                   "# models, GGUF type numbers in the order of the tensors, without (0) and with (1) an importance matrix.\n")
        for model, (architecture, layers, heads, kv_heads, experts, columns, outside, each, other) in MODELS.items():
            write_model(source, model)
            file.write(f"model {model} {architecture} {layers} {heads} {kv_heads} {experts} {columns}\n"
                       f"outside {outside}\neach {each}\nother {other}\n")
            for file_type in FILE_TYPES:
                found = {}
                for importance in "01":
                    if file_type == "Q2_K_S" and importance == "0":
                        continue
                    types = llama_types(library, source, target, file_type, ones(model) if importance == "1" else None)
                    found.setdefault(run_length([types[name] for name, _ in tensors_of(model)]), []).append(importance)
                for numbers, importances in found.items():
                    file.write(f"types {file_type} {''.join(importances)} {numbers}\n")


# Options on top of a type: for mote, for llama.cpp.
OPTIONS = {
    "": ([], {}),
    "pure": (["--pure"], {"pure": True}),
    "output": (["--output-tensor-type", "Q8_0"], {"output": "Q8_0"}),
    "embedding": (["--token-embedding-type", "Q5_K"], {"embedding": "Q5_K"}),
    "leave": (["--leave-output-tensor"], {"leave_output": True}),
    "override": (["--tensor-type", r"blk\.[0-3]\.attn_v=Q8_0", "--tensor-type", "ffn_(up|down)=Q5_0"],
                 {"overrides": [(r"blk\.[0-3]\.attn_v", "Q8_0"), ("ffn_(up|down)", "Q5_0")]}),
}


def types(args, library, folder):
    source, ours, theirs = (os.path.join(folder, name) for name in ("in.gguf", "mote.gguf", "llama.gguf"))
    imatrix = os.path.join(folder, "imatrix.gguf")
    wrong = compared = refused = 0
    for model in MODELS:
        write_model(source, model)
        shapes = dict(tensors_of(model))
        write_imatrix(imatrix, {name: values.reshape(-1, shapes[name][-1]) for name, values in ones(model).items()})
        for file_type in FILE_TYPES:
            for label, (words, options) in OPTIONS.items():
                for importances in (None, ones(model)):
                    needs = file_type == "Q2_K_S"
                    floats = file_type in ("F16", "BF16")  # llama.cpp takes no overrides then
                    if needs and importances is None or floats and label not in ("", "leave") or importances and label:
                        continue
                    if label == "override" and ("attn_v" not in MODELS[model][7] or args.quick):
                        continue
                    mote(args, source, ours, file_type, *words, *(["--imatrix", imatrix] if importances else []))
                    try:
                        want = llama_types(library, source, theirs, file_type, importances, **options)
                    except RuntimeError as error:  # it gives such a type to columns that are no whole blocks
                        if label not in ("embedding", "output") or "validation failed" not in str(error):
                            raise
                        refused += 1
                        continue
                    got = GgufFile(ours).types()
                    compared += len(want)
                    for name in want:
                        if got.get(name) != want[name]:
                            wrong += 1
                            print(f"{model} {file_type} {label} importances={importances is not None}: {name} is "
                                  f"{TYPE_NAMES[got[name]]}, llama.cpp's {TYPE_NAMES[want[name]]}")
    print(f"{compared} tensors of {len(MODELS)} models, {wrong} types that differ, {refused} files that llama.cpp refused")
    return wrong == 0


def random_importances(file):
    random = numpy.random.default_rng(5)
    out = {}
    for name, (shape, _, _) in file.tensors.items():
        if len(shape) > 1 and name.startswith("blk."):
            columns = (shape[2] if len(shape) > 2 else 1, shape[0])
            out[name] = numpy.exp(random.standard_normal(columns)) * numpy.where(random.random(columns) < 0.003, 1000, 1)
    return out


def read_importances(path, library):
    file, out = GgufFile(path), {}
    for name in file.tensors:
        if name.endswith(".in_sum2"):
            stem = name.removesuffix(".in_sum2")
            counts = file.values(library, stem + ".counts")
            sums = file.values(library, name).reshape(counts.size, -1)
            out[stem] = numpy.where(counts[:, None] > 0, sums / numpy.maximum(counts[:, None], 1), 1)
    return out


def tensor_errors(library, original, quantized, importances):
    out = {}
    for name, (shape, kind, _) in quantized.tensors.items():
        if kind == original.tensors[name][1]:
            continue
        x = original.values(library, name).astype(numpy.float64)
        error = (quantized.values(library, name) - x) ** 2
        if importances is not None and name in importances:
            matrices = numpy.atleast_2d(importances[name])
            error = error.reshape(matrices.shape[0], -1, matrices.shape[1]) * matrices[:, None, :]
        out[name] = error.sum()
    return out


def errors(args, library, folder):
    ours, theirs, imatrix = (os.path.join(folder, name) for name in ("mote.gguf", "llama.gguf", "imatrix.gguf"))
    good = True
    for path in args.words:
        original = GgufFile(path)
        importances = read_importances(args.imatrix, library) if args.imatrix else random_importances(original)
        write_imatrix(imatrix, importances)
        for file_type in args.types or [t for t in FILE_TYPES if t != "MXFP4_MOE"] + ["MXFP4_MOE"]:
            for weights in (None, importances):
                if weights is None and file_type == "Q2_K_S":
                    continue
                mote(args, path, ours, file_type, *(["--imatrix", imatrix] if weights else []))
                library.quantize(path, theirs, file_type, threads=args.threads, imatrix=weights)
                got = tensor_errors(library, original, GgufFile(ours), weights)
                want = tensor_errors(library, original, GgufFile(theirs), weights)
                if not want:
                    continue  # the file is in that type already
                ratios = {name: got[name] / want[name] if want[name] else float(got[name] > 0) for name in want}
                worst = max(ratios, key=ratios.get)
                total = sum(got.values()) / max(sum(want.values()), 1e-300)
                fine = ratios[worst] <= 1 + 1e-6
                good = good and fine
                print(f"{os.path.basename(path):24} {file_type:9} {'importances' if weights else 'plain':11} all {total:.4f}  "
                      f"worst {ratios[worst]:.4f} {worst} ({TYPE_NAMES[GgufFile(ours).types()[worst]]})"
                      + ("" if fine else "   LARGER"), flush=True)
    return good


def measure(args, library, folder):
    path, file_type = args.words
    ours, theirs = os.path.join(folder, "mote.gguf"), os.path.join(folder, "llama.gguf")
    pairs = []
    for _ in range(args.rounds):
        start = time.perf_counter()
        mote(args, path, ours, file_type, "--allow-requantize")
        middle = time.perf_counter()
        library.quantize(path, theirs, file_type, threads=args.threads, requantize=True)
        os.sync()  # mote's time has the disk in it
        pairs.append((middle - start, time.perf_counter() - middle))
        print("mote {:.2f} s, llama.cpp {:.2f} s".format(*pairs[-1]), flush=True)
    ratios = [b / a for a, b in pairs]
    print(f"llama.cpp's time over mote's: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), "
          f"{args.threads} threads")
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["types", "golden", "errors", "time"])
    parser.add_argument("words", nargs="*")
    parser.add_argument("--build", default=os.path.join(HERE, "..", "..", "build", "release"))
    parser.add_argument("--modules", default=os.path.join(HERE, "node_modules"), help="a folder node_modules")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--types", nargs="*", help="of errors: only these")
    parser.add_argument("--imatrix", help="of errors: importances from this file instead of random ones")
    parser.add_argument("--quick", action="store_true", help="of types: fewer options")
    args = parser.parse_args()
    args.mote = os.path.join(args.build, "edge", "mote")
    library = Library(args.modules)
    # Thousands of small files need no disk.
    small = args.what in ("types", "golden") and os.path.isdir("/dev/shm")
    with tempfile.TemporaryDirectory(dir="/dev/shm" if small else None) as folder:
        work = {"types": types, "golden": golden, "errors": errors, "time": measure}[args.what]
        sys.exit(0 if work(args, library, folder) in (True, None) else 1)


if __name__ == "__main__":
    main()
