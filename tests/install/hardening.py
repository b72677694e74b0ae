#!/usr/bin/python3
"""Reads a finished program and its library and holds them to their hardening: hardening.py READELF PROGRAM LIBRARY.a

Position independent, full RELRO, no executable stack, no writable and executable segment, stack protector, checked libc
functions, no search path for libraries; every object compiled for control-flow protection (IBT and SHSTK, or BTI and
PAC). The program as a whole is not marked for that where the C library's start files are not, as in Debian 12.
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
    tool, program, library = sys.argv[1:]
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
        "FORTIFY_SOURCE": re.search(r"__(mem|str|v?sn?printf|fprintf|read)\w*_chk\b", symbols),
    }
    feature = "IBT, SHSTK" if "X86-64" in header else "BTI, PAC" if "AArch64" in header else None
    if feature:
        objects = re.split(r"^File: ", readelf(tool, "-n", library), flags=re.MULTILINE)[1:]
        bare = [notes.split("\n")[0] for notes in objects if feature not in notes]
        checks[f"control-flow protection ({feature}) in {len(objects)} objects"] = objects and not bare
        for name in bare:
            print(f"without {feature}: {name}")
    wrong = [name for name, ok in checks.items() if not ok]
    for name in checks:
        print(f"{'WRONG' if name in wrong else 'ok   '}  {name}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
