#!/usr/bin/python3
"""Writes the seeds of the fuzz target http: tests/fuzz/make_http_corpus.py [FOLDER]   (default: corpus/http beside it)

The vectors of tests/server/smuggling_vectors.py, of each family those with one thing out of the ordinary, each after a
byte that says how it is cut. Inputs that a fuzzer found are added to the folder by hand and left alone by this script.
"""
import os
import re
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "server"))
import smuggling_vectors  # noqa: E402

FAMILIES = re.compile(r"POST transfer [^,]*, length none|POST length|chunks|line|fields|1\.0|ten|garbage|tls")


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "corpus", "http")
    os.makedirs(folder, exist_ok=True)
    for number, (_, name, data) in enumerate(smuggling_vectors.vectors()):
        if not FAMILIES.match(name) or len(data) > 3000:
            continue
        with open(os.path.join(folder, re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-").lower()), "wb") as file:
            file.write(bytes([number % 256]) + data)


if __name__ == "__main__":
    main()
