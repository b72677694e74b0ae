"""What the programs of tests/cli share: where things are, running mote, the command line of a test."""
import argparse
import os
import re
import subprocess
import sys
import unittest

MODEL = "../shared/data/stories260K.gguf"
EXPECTED = "../shared/data/stories260K.expected.json"
VOCABULARIES = "../shared/data/tokenizers"
TIMEOUT = 300
options = argparse.Namespace()


def command(*words):
    return options.emulator + [options.program, *words]


def environment(**extra):
    env = {k: v for k, v in os.environ.items() if not k.startswith("MOTE_")}
    env.update(extra)
    return env


def mote(*words, stdin=b"", env=None, stdout=subprocess.PIPE):
    return subprocess.run(command(*words), input=stdin, stdout=stdout, stderr=subprocess.PIPE, timeout=TIMEOUT,
                          env=env or environment())


def isas():
    """The instruction sets that run here, as `mote --version` tells them."""
    text = mote("--version").stdout.decode()
    names = [re.search(r"instruction set: (\S+)", text).group(1)]
    others = re.search(r"also built in: (.*)", text)
    for name in others.group(1).split(", ") if others else []:
        if "not on this CPU" not in name:
            names.append(name)
    return names


needs_model = unittest.skipUnless(os.path.exists(MODEL), f"{MODEL} is absent")


def main():
    """Reads the options of the build, runs the tests of the calling program."""
    parser = argparse.ArgumentParser()
    for name in ["program", "version"]:
        parser.add_argument("--" + name, required=True)
    for name in ["emulator", "examples", "pairs", "builtin"]:
        parser.add_argument("--" + name, default="")
    _, rest = parser.parse_known_args(namespace=options)
    options.emulator = [word for word in options.emulator.split(";") if word]
    unittest.main(module="__main__", argv=[sys.argv[0], *rest])
