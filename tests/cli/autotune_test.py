#!/usr/bin/python3
"""What mote remembers about its machine: tried out once, told by bench, never seen in a text, and never in the way."""
import json
import os
import platform
import struct
import subprocess
import tempfile
import unittest

import support
from support import MODEL, environment, mote, needs_model


def large_model(path):
    """A llama whose matrices take 290 MB, all zero: a file of holes."""
    width, hidden, words = 4096, 16384, 512
    out = bytearray()
    string = lambda text: struct.pack("<Q", len(text)) + text.encode()
    keys = [("general.architecture", 8, string("llama"))]
    for name, value in [("block_count", 1), ("context_length", 64), ("embedding_length", width),
                        ("feed_forward_length", hidden), ("attention.head_count", 32)]:
        keys.append(("llama." + name, 4, struct.pack("<I", value)))
    keys.append(("llama.attention.layer_norm_rms_epsilon", 6, struct.pack("<f", 1e-5)))
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    tokens += [f"w{i}" for i in range(len(tokens), words)]
    kinds = [2, 3, 3] + [6] * 256 + [1] * (words - 259)
    keys.append(("tokenizer.ggml.model", 8, string("llama")))
    keys.append(("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, words) + b"".join(map(string, tokens))))
    keys.append(("tokenizer.ggml.scores", 9, struct.pack(f"<IQ{words}f", 6, words, *[0.0] * words)))
    keys.append(("tokenizer.ggml.token_type", 9, struct.pack(f"<IQ{words}i", 5, words, *kinds)))
    tensors = [("token_embd.weight", [width, words], 1), ("output_norm.weight", [width], 0)]
    for name, shape in [("attn_norm", [width]), ("ffn_norm", [width]), ("attn_q", [width, width]),
                        ("attn_k", [width, width]), ("attn_v", [width, width]), ("attn_output", [width, width]),
                        ("ffn_gate", [width, hidden]), ("ffn_up", [width, hidden]), ("ffn_down", [hidden, width])]:
        tensors.append((f"blk.0.{name}.weight", shape, 8 if len(shape) == 2 else 0))  # Q8_0 or F32
    out += struct.pack("<IIQQ", 0x46554747, 3, len(tensors), len(keys))
    for name, kind, value in keys:
        out += string(name) + struct.pack("<I", kind) + value
    offset = 0
    for name, shape, kind in tensors:
        out += string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
        values = shape[0] * (shape[1] if len(shape) == 2 else 1)
        size = values * 4 if kind == 0 else values * 2 if kind == 1 else values // 32 * 34
        offset += (size + 31) // 32 * 32
    with open(path, "wb") as file:
        file.write(out)
        file.truncate((len(out) + 31) // 32 * 32 + offset)


TOO_SLOW = "too slow to be tried out"


class Remembered(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if platform.machine() != "x86_64" or support.options.emulator:
            raise unittest.SkipTest("weights are fetched at one distance alone here")
        cls.folder = tempfile.TemporaryDirectory()
        cls.model = os.path.join(cls.folder.name, "large.gguf")
        large_model(cls.model)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def setUp(self):
        self.caches = tempfile.mkdtemp(dir=self.folder.name)
        self.file = os.path.join(self.caches, "mote", "tuning")
        self.env = environment(XDG_CACHE_HOME=self.caches)

    def tried(self, said):
        """Sanitizers, or who else works here, can make it too slow for its second: it says so, and remembers nothing."""
        self.assertIn("autotune: ", said)
        if TOO_SLOW in said:
            self.skipTest("sweeps of 290 MB are too slow here to be tried out")

    def run_model(self, *words, verbose=True, env=None):
        done = mote("run", self.model, "--no-chat", "-p", "w300", "-n", "3", "--temp", "0", "-t", "2", "--device",
                    "cpu", *(["-v"] if verbose else []), *words, env=env or self.env)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done.stdout, done.stderr.decode()

    def lines(self):
        with open(self.file, encoding="ascii") as file:
            return [line.rstrip("\n").split("\t") for line in file]

    def test_tried_once_and_remembered(self):
        text, said = self.run_model()
        self.tried(said)
        lines = self.lines()
        # Of 4096 x 4096, 16384 x 4096 and 4096 x 16384; and what is looked up in, and multiplied with, in F16.
        self.assertEqual({tuple(line[4:7]) for line in lines},
                         {("Q8_0", "4096", "4096"), ("Q8_0", "16384", "4096"), ("Q8_0", "4096", "16384"),
                          ("F16", "512", "4096")})
        before = os.stat(self.file)
        again, said = self.run_model()
        self.assertNotIn("autotune: ", said)
        self.assertEqual(again, text)
        self.assertEqual(os.stat(self.file).st_mtime_ns, before.st_mtime_ns)
        self.assertEqual(os.listdir(os.path.dirname(self.file)), ["tuning"])
        off, said = self.run_model("--autotune", "off")
        self.assertNotIn("autotune: ", said)
        self.assertEqual(off, text)
        anew, said = self.run_model("--autotune", "again")
        self.assertEqual(anew, text)
        self.tried(said)
        self.assertEqual(len(self.lines()), len(lines))

    def test_off_leaves_nothing(self):
        self.run_model("--autotune", "off")
        self.assertEqual(os.listdir(self.caches), [])

    def test_other_lines_stay_and_junk_goes(self):
        os.mkdir(os.path.dirname(self.file))
        other = b"mote-fetch-2\tAnother CPU 1\tavx2\t64\tQ8_0\t4096\t4096\t1024\t3584\t1\n"
        with open(self.file, "wb") as file:
            file.write(b"\0\xff\n\n" + other + b"mote-fetch-2\t" + b"x" * 9000 + b"\n" + os.urandom(500))
        text, said = self.run_model()
        self.tried(said)
        with open(self.file, "rb") as file:
            content = file.read()
        self.assertTrue(content.startswith(other) or b"\n" + other in content)
        self.assertNotIn(b"xxxx", content)
        self.assertEqual(self.run_model("--autotune", "off")[0], text)

    def test_no_place_to_remember(self):
        text, _ = self.run_model("--autotune", "off")
        with open(os.path.join(self.caches, "mote"), "wb"):
            pass  # a file where the folder should be
        done, said = self.run_model()
        self.assertEqual(done, text)
        if TOO_SLOW not in said:  # nothing to remember
            self.assertIn("not remembered", said)
        _, said = self.run_model(verbose=False)
        self.assertNotIn("autotune", said)
        homeless = {key: value for key, value in self.env.items() if key not in ("HOME", "XDG_CACHE_HOME")}
        self.assertEqual(self.run_model(env=homeless)[0], text)

    def test_bench_tells(self):
        words = ["bench", self.model, "-p", "0", "-n", "2", "-r", "1", "-t", "2", "--device", "cpu"]
        done = mote(*words, "-v", "-o", "json", env=self.env)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        self.tried(done.stderr.decode())
        told = json.loads(done.stdout)[0]["fetch_ahead"]
        self.assertRegex(told, r"Q8_0 16384x4096 \d+\+\d+x[124]")
        self.assertIn(told, mote(*words, env=self.env).stdout.decode())
        done = mote(*words, "-o", "json", "--autotune", "off", env=self.env)
        self.assertEqual(json.loads(done.stdout)[0]["fetch_ahead"], "")

    def test_two_at_once(self):
        command = support.command("run", self.model, "--no-chat", "-p", "w300", "-n", "1", "-t", "1", "--device", "cpu",
                                  "-v")
        both = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=self.env)
                for _ in range(2)]
        said = [process.communicate(timeout=support.TIMEOUT)[1].decode() for process in both]
        self.assertEqual([process.returncode for process in both], [0, 0], said)
        self.tried(min(said, key=lambda text: TOO_SLOW in text))  # one that was tried out is remembered
        self.assertEqual(len(self.lines()), 4)


@needs_model
class SmallModels(unittest.TestCase):
    def test_nothing_is_tried(self):
        with tempfile.TemporaryDirectory() as folder:
            env = environment(XDG_CACHE_HOME=folder)
            done = mote("run", MODEL, "--no-chat", "-p", "Once", "-n", "2", "-v", env=env)
            self.assertEqual(done.returncode, 0)
            self.assertNotIn("autotune", done.stderr.decode())
            self.assertEqual(os.listdir(folder), [])

    def test_wrong_words(self):
        done = mote("run", MODEL, "-p", "Once", "--autotune", "perhaps")
        self.assertEqual(done.returncode, 2)
        self.assertIn("autotune", done.stderr.decode())


if __name__ == "__main__":
    support.main()
