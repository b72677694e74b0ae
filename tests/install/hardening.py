#!/usr/bin/python3
"""Reads a finished program and holds it to its hardening: hardening.py READELF PROGRAM [--fortify]

Position independent, full RELRO, no executable stack, no writable and executable segment, stack protector, no search
path for libraries; --fortify: calls of checked libc functions (optimised builds); on x86-64 control-flow protection.
"""
import re
import subprocess
import sys


def readelf(tool, *arguments):
    result = subprocess.run([tool, "-W", *arguments], capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f"{tool} {' '.join(arguments)}: {result.stderr.strip()}")
    return result.stdout


def main():
    tool, program, *options = sys.argv[1:]
    header = readelf(tool, "-h", program)
    segments = readelf(tool, "-l", program)
    dynamic = readelf(tool, "-d", program)
    symbols = readelf(tool, "--dyn-syms", program)
    checks = {
        "position independent (ET_DYN, PIE)": re.search(r"Type:\s+DYN", header) and re.search(r"FLAGS_1\).*\bPIE\b", dynamic),
        "RELRO segment": "GNU_RELRO" in segments,
        "bound at start (BIND_NOW)": re.search(r"\(FLAGS\).*BIND_NOW|\(FLAGS_1\).*\bNOW\b", dynamic),
        "stack not executable": re.search(r"GNU_STACK\s.*\sRW\s", segments),
        "no segment both writable and executable": not re.search(r"LOAD\s.*\sRWE\s", segments),
        "stack protector": "__stack_chk_fail" in symbols,
        "no run path": not re.search(r"\((RPATH|RUNPATH)\)", dynamic),
    }
    if "--fortify" in options:
        checks["FORTIFY_SOURCE"] = re.search(r"__\w+_chk\b(?<!__stack_chk)", symbols)
    if "X86-64" in header:
        # The linker keeps the mark only where every object has it, the C library's start files included.
        checks["control-flow protection (IBT, SHSTK)"] = re.search(r"IBT, SHSTK", readelf(tool, "-n", program))
    wrong = [name for name, ok in checks.items() if not ok]
    for name in checks:
        print(f"{'WRONG' if name in wrong else 'ok   '}  {name}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
