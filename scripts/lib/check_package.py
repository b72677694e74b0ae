"""Unpacks what scripts/package made into an empty folder and uses it, under emulation where this is another processor.

    check_package.py PACKAGES TARGET
"""

import glob
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile

from shipped import DEBIAN_ARCH, ROOT, digest, full_name

PACKAGES, TARGET = os.path.abspath(sys.argv[1]), sys.argv[2]
DEB = DEBIAN_ARCH[TARGET]
TARBALL = full_name("*", TARGET) + ".tar.gz"


def need(true, text):
    if not true:
        sys.exit("package %s: %s" % (TARGET, text))


def one(pattern):
    found = glob.glob(os.path.join(PACKAGES, pattern))
    need(len(found) == 1, "%s: %d files, where 1 was made" % (pattern, len(found)))
    return found[0]


def emulated(*words):
    if TARGET == platform.machine():
        return list(words)
    emulator = shutil.which("qemu-%s-static" % TARGET)
    need(emulator, "qemu-%s-static is missing" % TARGET)
    return [emulator, *words]


def ask(program, where):
    """A question about a picture, to the model in the box."""
    # Without LD_LIBRARY_PATH: the libraries that came along are found from where the program lies.
    environment = {"PATH": "/usr/bin:/bin", "HOME": where}
    words = emulated(program, "run", "--image", os.path.join(ROOT, "examples/scene.png"), "-p", "What shape is blue?", "--temp", "0", "--json")
    got = subprocess.run(words, capture_output=True, text=True, cwd=where, env=environment)
    need(got.returncode == 0, "%s run: %s" % (program, got.stderr.strip()))
    answer = json.loads(got.stdout)["text"].strip()
    need(re.search("[a-z]", answer), "an answer without words: %r" % answer)
    return answer


def check_libraries(program, folder):
    """That every library which came along is the one that is loaded, here where the system may have it as well."""
    words = emulated(program)
    loading = "LD_TRACE_LOADED_OBJECTS=1"
    words = [words[0], "-E", loading, *words[1:]] if len(words) > 1 else ["/usr/bin/env", loading, *words]
    shown = dict(re.findall(r"^\s*(\S+) => (\S+)", subprocess.run(words, capture_output=True, text=True).stdout, re.M))
    for name in os.listdir(folder):
        need(os.path.realpath(shown.get(name, "none")) == os.path.realpath(os.path.join(folder, name)),
             "%s is loaded from %s" % (name, shown.get(name, "nowhere")))


def main():
    with open(os.path.join(PACKAGES, "SHA256SUMS")) as f:
        sums = dict(reversed(line.split()) for line in f)
    with tempfile.TemporaryDirectory() as where:
        for name in (TARBALL, "mote_*_%s.deb" % DEB, "libmote-dev_*_%s.deb" % DEB):
            path = one(name)
            need(sums.get(os.path.basename(path)) == digest(path), "SHA256SUMS is not right for " + path)
        tarball = one(TARBALL)
        subprocess.run(["tar", "-C", where, "-xzf", tarball], check=True)
        top = os.path.join(where, os.path.basename(tarball)[:-len(".tar.gz")])
        with open(os.path.join(top, "share/doc/mote/sbom.spdx.json")) as f:
            bill = json.load(f)
        carried = sorted(n for p in bill["packages"] for n in re.findall(r"[^ /,]+\.so[.0-9]*", p.get("comment", "")))
        need(carried == sorted(os.listdir(os.path.join(top, "lib/mote"))), "the SBOM lists %s" % carried)
        check_libraries(os.path.join(top, "bin/mote"), os.path.join(top, "lib/mote"))
        answer = ask(os.path.join(top, "bin/mote"), where)
        root = os.path.join(where, "deb")
        for name in ("mote_*_%s.deb" % DEB, "libmote-dev_*_%s.deb" % DEB):
            subprocess.run(["dpkg-deb", "-x", one(name), root], check=True)
        need(ask(os.path.join(root, "usr/bin/mote"), where) == answer, "the .deb answers otherwise than the tarball")
        need(os.path.exists(os.path.join(root, "usr/include/mote.h")), "libmote-dev has no mote.h")
        served = subprocess.run(emulated(os.path.join(top, "bin/mote"), "serve", "--help"), capture_output=True, text=True)
        need(served.returncode == 0 and "--port" in served.stdout, "no server in it")
        if TARGET == platform.machine():
            link(os.path.join(root, "usr"), where)
        print("package %s: tarball and packages unpacked, the program answers %r" % (TARGET, answer))


def link(usr, where):
    """A program of one's own, with what libmote-dev holds."""
    out = os.path.join(where, "hello")
    # Moved from where it would be installed to, pkg-config has to be told so.
    flags = subprocess.run(["pkg-config", "--static", "--cflags", "--libs", "mote"], capture_output=True, text=True, env={
        **os.environ, "PKG_CONFIG_PATH": os.path.join(usr, "lib/pkgconfig")})
    need(flags.returncode == 0, "pkg-config: " + flags.stderr.strip())
    made = subprocess.run(["cc", os.path.join(ROOT, "examples/hello.c"), *flags.stdout.split(), "-o", out], capture_output=True, text=True)
    need(made.returncode == 0, "linking examples/hello.c: " + made.stderr[-2000:])
    model = os.path.join(ROOT, "models/mote-eye-q8_0.gguf")
    got = subprocess.run([out, model, "What is red?"], capture_output=True, text=True)
    need(got.returncode == 0, "hello: " + got.stderr.strip())


main()
