#!/usr/bin/python3
"""quantize and imatrix; options as those of cli_test.py."""
import json
import math
import os
import resource
import signal
import struct
import subprocess
import tempfile
import time
import unittest

from support import MODEL, TIMEOUT, command, environment, main, mote, needs_model


@needs_model
class Quantize(unittest.TestCase):
    def test_quantize(self):
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "q8.gguf")
            done = mote("quantize", MODEL, out, "q8_0")
            self.assertEqual((done.returncode, done.stdout), (0, b""), done.stderr)
            self.assertEqual(os.listdir(folder), ["q8.gguf"], "no partial file is left")
            self.assertLess(os.path.getsize(out), os.path.getsize(MODEL) / 2)
            text = mote("run", out, "--no-chat", "-p", "Once upon a time", "--temp", "0", "-n", "12").stdout.decode()
            self.assertTrue(text.startswith(", there was a little"), text)
            self.assertEqual(mote("quantize", MODEL, out, "Q9_9").returncode, 2)
            self.assertEqual(mote("quantize", out, out, "q4_0").returncode, 2)
            self.assertEqual(mote("quantize", MODEL, os.path.join(folder, "no", "x.gguf"), "q8_0").returncode, 1)
            self.assertEqual(mote("quantize", os.path.join(folder, "missing"), out, "q8_0").returncode, 1)
            self.assertEqual(mote("quantize", MODEL, "/dev/null", "q8_0").returncode, 1)
            again = mote("quantize", out, os.path.join(folder, "q4.gguf"), "q4_0")
            self.assertEqual(again.returncode, 1)
            self.assertIn(b"--allow-requantize", again.stderr)
            self.assertEqual(mote("quantize", out, os.path.join(folder, "q4.gguf"), "q4_0",
                                  "--allow-requantize").returncode, 0)

    def quantized_types(self, *words):
        done = mote("quantize", MODEL, *words, "--dry-run", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return {tensor["name"]: tensor["to"] for tensor in json.loads(done.stdout)["tensors"]}

    def test_quantize_choices(self):
        types = self.quantized_types("Q8_0", "--tensor-type", r"blk\.0\.attn_[qk]=F16", "--tensor-type", "ATTN_q=Q4_0",
                                     "--output-tensor-type", "F16")
        self.assertEqual(types["blk.0.attn_q.weight"], "F16")
        self.assertEqual(types["blk.1.attn_q.weight"], "Q4_0")
        self.assertEqual(types["blk.1.attn_k.weight"], "Q8_0")
        self.assertEqual(self.quantized_types("Q4_0", "--token-embedding-type", "Q5_1")["token_embd.weight"], "Q5_1")
        kept = self.quantized_types("Q8_0", "--leave-output-tensor")
        self.assertEqual(kept.get("output.weight", "F32"), "F32")
        pure = self.quantized_types("Q4_0", "--pure")
        self.assertNotIn("Q6_K", pure.values())
        table = mote("quantize", MODEL, "Q8_0", "--dry-run")
        self.assertIn(b"-> Q8_0", table.stdout)
        unmet = mote("quantize", MODEL, "Q8_0", "--dry-run", "--tensor-type", "atn_q=Q4_0")
        self.assertEqual(unmet.returncode, 2)
        self.assertIn(b"meets no tensor", unmet.stderr)

    def test_imatrix(self):
        with tempfile.TemporaryDirectory() as folder:
            text, out, twice = (os.path.join(folder, name) for name in ("text.txt", "imatrix.gguf", "twice.gguf"))
            with open(text, "w") as file:
                file.write("Once upon a time there was a little girl named Lily. She liked to play outside. " * 12)
            done = mote("imatrix", MODEL, "-f", text, "-o", out, "-c", "64", "--chunks", "3", "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            told = json.loads(done.stdout)
            self.assertEqual((told["chunks"], told["context"]), (3, 64))
            tensors = {t["name"]: t for t in json.loads(mote("show", out, "--json").stdout)["tensors"]}
            self.assertEqual(len(tensors), 2 * told["entries"])
            self.assertIn("blk.0.ffn_down.weight.in_sum2", tensors)
            more = mote("imatrix", MODEL, "-f", text, "-o", twice, "-c", "64", "--chunks", "2", "--in-file", out, "--json")
            self.assertEqual(json.loads(more.stdout)["chunks_total"], 5)
            self.assertEqual(mote("imatrix", MODEL, "-f", text, "-o", out, "-c", "4096").returncode, 1)
            self.assertEqual(mote("imatrix", MODEL, "-f", text, "-o", text, "-c", "64").returncode, 2)
            plain, weighted = os.path.join(folder, "plain.gguf"), os.path.join(folder, "weighted.gguf")
            self.assertEqual(mote("quantize", MODEL, plain, "Q4_0", "--pure").returncode, 0)
            self.assertEqual(mote("quantize", MODEL, weighted, "Q4_0", "--pure", "--imatrix", out).returncode, 0)
            with open(plain, "rb") as a, open(weighted, "rb") as b:
                # The embedding, the last tensor, has no importances; what comes before it has.
                self.assertFalse(a.read()[-60000:] == b.read()[-60000:])
            shown = mote("show", weighted, "--json").stdout
            self.assertIn(b"quantize.imatrix.entries_count", shown)
            self.assertEqual(mote("quantize", MODEL, plain, "Q4_0", "--imatrix", text).returncode, 1)
            self.assertEqual(sorted(os.listdir(folder)),
                             ["imatrix.gguf", "plain.gguf", "text.txt", "twice.gguf", "weighted.gguf"])

    @staticmethod
    def write_large(path):
        """One F32 matrix of 64 MiB: a second's work."""
        def string(text):
            return struct.pack("<Q", len(text)) + text
        random = struct.pack("<4096f", *(math.sin(i * i) for i in range(4096)))
        header = b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + string(b"general.architecture") + struct.pack("<I", 8)
        header += string(b"llama") + string(b"blk.0.attn_q.weight") + struct.pack("<IQQIQ", 2, 4096, 4096, 0, 0)
        with open(path, "wb") as file:
            file.write(header + b"\0" * (-len(header) % 32))
            for _ in range(4096):
                file.write(random)

    def test_quantize_interrupted(self):
        with tempfile.TemporaryDirectory() as folder:
            large, out = os.path.join(folder, "large.gguf"), os.path.join(folder, "out.gguf")
            self.write_large(large)
            process = subprocess.Popen(command("quantize", large, out, "Q2_K", "-t", "1"), stderr=subprocess.PIPE,
                                       env=environment())
            deadline = time.monotonic() + TIMEOUT
            while not os.path.exists(out + ".partial") and time.monotonic() < deadline:
                time.sleep(0.002)
            process.send_signal(signal.SIGINT)
            error = process.communicate(timeout=TIMEOUT)[1]
            self.assertEqual(process.returncode, 1, error)
            self.assertIn(b"stopped", error)
            self.assertEqual(os.listdir(folder), ["large.gguf"])
            # A file that may not grow: as a full disk, in the middle of the work.
            full = subprocess.run(command("quantize", large, out, "Q8_0"), stderr=subprocess.PIPE, env=environment(),
                                  timeout=TIMEOUT,
                                  preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)))
            self.assertEqual(full.returncode, 1, full.stderr)
            self.assertIn(b"out.gguf.partial", full.stderr)
            self.assertEqual(os.listdir(folder), ["large.gguf"])


if __name__ == "__main__":
    main()
