#!/usr/bin/python3
"""Installs mote into a scratch folder and builds outside programs against it: install_test.py CMAKE BUILD_DIR CC CXX

A C program and a C++ program, by CMake and by pkg-config, against the static and the shared library, and by pkg-config
also the static library in a program that is dynamic otherwise; each is run, with a real model where there is one. The installed tree is moved first: nothing in it may depend on where it was installed.
"""
import json
import os
import shlex
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.dirname(os.path.abspath(__file__))
MODEL = os.path.join(ROOT, "..", "shared", "data", "stories260K.gguf")
EXPECTED = os.path.join(ROOT, "..", "shared", "data", "stories260K.expected.json")


def run(*command, **options):
    print("+", " ".join(command), flush=True)
    result = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if result.returncode:
        sys.exit(f"exit code {result.returncode}\n{result.stdout}{result.stderr}")
    return result.stdout


def install(cmake, build, scratch):
    shutil.rmtree(scratch, ignore_errors=True)
    first = os.path.join(scratch, "installed")
    run(cmake, "--install", build, "--prefix", first)
    prefix = os.path.join(scratch, "moved")
    os.rename(first, prefix)
    for name in os.listdir(os.path.join(prefix, "include")):
        with open(os.path.join(prefix, "include", name), encoding="utf-8") as file:
            for line in file:
                if line.startswith("#include \""):
                    wanted = line.split('"')[1]
                    if not os.path.exists(os.path.join(prefix, "include", wanted)):
                        sys.exit(f"installed {name} includes {wanted}, which is not installed")
    return prefix


def check_program(program, shared, environment):
    """The program must be linked as asked for, and say what the model is known to say."""
    linked = "libmote.so.0" in run("readelf", "-d", program)
    if linked != shared:
        sys.exit(f"{program}: {'not ' if shared else ''}linked with libmote.so.0")
    run(program, env=environment)
    if not os.path.exists(MODEL):
        print(f"no {os.path.normpath(MODEL)}: ran {os.path.basename(program)} without a model")
        return
    with open(EXPECTED, encoding="utf-8") as file:
        case = next(case for case in json.load(file)["cases"] if case["prompt"])
    said = run(program, MODEL, case["prompt"], env=environment).rstrip("\n")
    if len(said) < 10 or not case["greedy"].startswith(said):
        sys.exit(f"{program}: said {said!r}, expected the beginning of {case['greedy']!r}")


def by_cmake(cmake, prefix, scratch, language):
    build = os.path.join(scratch, f"cmake-{language}")
    run(cmake, "-S", os.path.join(HERE, language), "-B", build, "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={prefix}",
        "-DCMAKE_BUILD_TYPE=Release")
    run(cmake, "--build", build)
    for kind in ("static", "shared"):
        check_program(os.path.join(build, f"outside_{kind}"), kind == "shared", os.environ)


def by_pkg_config(prefix, scratch, language, compiler, source):
    library = next(os.path.join(folder) for folder, _, files in os.walk(prefix) if "mote.pc" in files)
    environment = dict(os.environ, PKG_CONFIG_PATH=library)
    flags = shlex.split(run("pkg-config", "--cflags", "--libs", "mote", env=environment))
    static = shlex.split(run("pkg-config", "--static", "--cflags", "--libs", "mote", env=environment))
    version = run("pkg-config", "--modversion", "mote", env=environment).strip()
    print("version", version)
    standard = ["-std=c++20"] if language == "cxx" else ["-std=c11"]
    source = os.path.join(HERE, language, source)
    program = os.path.join(scratch, f"pkg-config-{language}-shared")
    run(compiler, *standard, source, "-o", program, *flags)
    check_program(program, True, dict(os.environ, LD_LIBRARY_PATH=os.path.dirname(library)))
    program = os.path.join(scratch, f"pkg-config-{language}-static")
    run(compiler, *standard, "-static", source, "-o", program, *static)
    check_program(program, False, os.environ)
    if "INTERP" in run("readelf", "-l", program):
        sys.exit(f"{program}: not a static program")
    # The line of docs/api.md and examples/README.md.
    archive = shlex.split(run("pkg-config", "--cflags", "--libs", "mote-static", env=environment))
    program = os.path.join(scratch, f"pkg-config-{language}-archive")
    run(compiler, *standard, source, "-o", program, *archive)
    check_program(program, False, os.environ)
    if "INTERP" not in run("readelf", "-l", program):
        sys.exit(f"{program}: not a dynamic program")


def main():
    cmake, build, cc, cxx = sys.argv[1:]
    scratch = os.path.join(build, "install-test")
    prefix = install(cmake, build, scratch)
    for language, compiler, source in (("c", cc, "main.c"), ("cxx", cxx, "main.cc")):
        by_cmake(cmake, prefix, scratch, language)
        by_pkg_config(prefix, scratch, language, compiler, source)
    program = os.path.join(prefix, "bin", "mote")
    print(run(program, "--version"))
    print("installed, moved, and used by outside programs: C and C++, CMake and pkg-config, static and shared")


if __name__ == "__main__":
    main()
