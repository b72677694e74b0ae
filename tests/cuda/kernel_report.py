#!/usr/bin/python3
"""Registers and spills of the GPU kernels: kernel_report.py --nvcc NVCC [--archs "80 87"] [--all] [--markdown]

Reads them from what nvcc made (cuobjdump is no part of every toolkit: the assembler's own report is asked for), for a few
kernels of each kind or, with --all, for all. Fails where a kernel spills more than its allowance here.
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

FLAGS = ["-std=c++17", "-O3", "-I.", "-fmad=false", "--expt-relaxed-constexpr", "-Xptxas", "-v", "-cubin"]
FEW = ["launch", "matmul_q4_0", "matmul_q4_k", "matmul_sparse", "persistent_q4_0"]
# Bytes stored to the stack, at most. What these spill is touched once a tile, of some KiB (sums of whole stretches,
# places of the next tile), and lets twice as many warps run; of a persistent kernel, what is wanted once an operation.
ALLOWED = {"ManyTokensKernel": 320, "StagedTokensKernel": 160, "FewTokensKernel": 144, "OneTokenKernel": 64,
           "ManySparseKernel": 16, "PersistentKernel": 800}


def report(nvcc, arch, source, folder):
    # As MoteCuda.cmake compiles them: what Hopper alone has wants to be asked for, from CUDA 12 on.
    version = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=False).stdout
    code = "90a" if arch == "90" and int(re.search(r"release (\d+)", version).group(1)) >= 12 else arch
    output = subprocess.run([nvcc, *FLAGS, f"-arch=sm_{code}", "-o", f"{folder}/k.cubin", source],
                            capture_output=True, text=True, check=False)
    text = output.stdout + output.stderr
    if output.returncode:
        sys.exit(text)
    if "instructions are serialized" in text:  # products of four warps that wait for each other
        sys.exit(text)
    for part in re.split(r"Compiling entry function '", text)[1:]:
        name = part.split("'")[0]
        short = re.search(r"\d+([A-Z]\w*?Kernel)", name).group(1)
        parameters = ", ".join(re.findall(r"L(?:i|NS_5DTypeE)(\d+)E", name))
        spills = int(re.search(r"(\d+) bytes spill stores", part).group(1))
        registers = int(re.search(r"Used (\d+) registers", part).group(1))
        yield f"{short}<{parameters}>" if parameters else short, registers, spills


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--nvcc", required=True)
    parser.add_argument("--archs", default="80")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    sources = [f"targets/cuda/{name}.cu" for name in FEW]
    if options.all:
        sources = sorted(str(path) for path in pathlib.Path("targets/cuda").glob("*.cu") if path.name != "runtime.cu")
    wrong, count = 0, 0
    if options.markdown:
        print("| arch | kernel | registers | bytes spilled |\n|---|---|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for arch in options.archs.split():
            for source in sources:
                for name, registers, spills in report(options.nvcc, arch, source, folder):
                    count += 1
                    too_many = spills > ALLOWED.get(name.split("<")[0], 0)
                    wrong += too_many
                    if options.markdown:
                        print(f"| sm_{arch} | {name} | {registers} | {spills} |")
                    elif too_many:
                        print(f"sm_{arch} {source}: {name} spills {spills} bytes with {registers} registers")
    if count == 0:
        sys.exit("no kernels were found")
    print(f"{count} kernels, {wrong} spill more than they may")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
