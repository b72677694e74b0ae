#!/usr/bin/python3
"""sparsify; options as those of cli_test.py."""
import hashlib
import json
import os
import resource
import signal
import subprocess
import tempfile
import time
import unittest

from support import MODEL, TIMEOUT, command, environment, main, mote, needs_model

EYES = [os.path.join("models", name) for name in ("mote-eye-f16.gguf", "mmproj-mote-eye-f16.gguf")]
STORY = ("Once upon a time there was a little girl named Lily. She liked to play outside in the park. "
         "One day she saw a big dog. The dog was very happy and wanted to play with her. They ran and jumped all day. ")


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


class Folder:
    """A folder that goes away, with the texts that the tests use."""

    def __enter__(self):
        self.own = tempfile.TemporaryDirectory()
        self.text, self.test = self("text.txt"), self("test.txt")
        with open(self.text, "w") as file:
            file.write("".join(STORY.replace("Lily", name) for name in ("Lily", "Tom", "Sue", "Ben", "Amy", "Max") * 2))
        with open(self.test, "w") as file:
            file.write("".join(STORY.replace("dog", name) for name in ("cat", "bird", "cow", "frog")))
        return self

    def __call__(self, name):
        return os.path.join(self.own.name, name)

    def __exit__(self, *_):
        self.own.cleanup()

    def names(self):
        return sorted(set(os.listdir(self.own.name)) - {"text.txt", "test.txt"})

    def sparsify(self, *words):
        """Of the small model, as JSON."""
        done = mote("sparsify", MODEL, self("out.gguf"), *words, "-c", "64", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@needs_model
class Sparsify(unittest.TestCase):
    def test_methods(self):
        with Folder() as f:
            calibrated = ("--calibration", f.text, "--test", f.test, "--density", "0.7")
            told = {m: f.sparsify("--method", m, *calibrated) for m in ("magnitude", "wanda", "reconstruct")}
            for method, one in told.items():
                self.assertEqual(one["method"], method)
                self.assertAlmostEqual(one["density"], 0.7, 2)
                self.assertLess(one["bytes_out"], one["bytes_in"] / 2)
                self.assertGreater(one["before"]["perplexity"], 1)
                self.assertGreater(one["after"]["perplexity"], one["before"]["perplexity"])
                self.assertEqual(len(one["matrices"]), 5 * 7)
            losses = {m: [x["loss"] for x in one["matrices"]] for m, one in told.items()}
            first = {m: losses[m][:3] for m in losses}  # of the first layer, which sees the same whatever the method
            for reconstruct, wanda in zip(first["reconstruct"], first["wanda"]):
                self.assertLessEqual(reconstruct, wanda)
            self.assertLess(sum(losses["reconstruct"]), sum(losses["magnitude"]))
            self.assertLess(told["reconstruct"]["after"]["perplexity"], told["magnitude"]["after"]["perplexity"])
            self.assertEqual(f.names(), ["out.gguf"], "nothing is left beside OUT")
            # The file runs, and scores as it was said to.
            scored = mote("perplexity", f("out.gguf"), "-f", f.test, "-c", "64", "--json")
            self.assertAlmostEqual(json.loads(scored.stdout)["perplexity"], told["reconstruct"]["after"]["perplexity"], 3)

    def test_the_ends_of_the_scale(self):
        with Folder() as f:
            whole = f.sparsify("--density", "1", "--test", f.test, "--type", "f16")
            self.assertEqual(whole["density"], 1)
            self.assertAlmostEqual(whole["after"]["perplexity"], whole["before"]["perplexity"], 1)
            self.assertEqual({m["loss"] for m in whole["matrices"]}, {0})
            none = f.sparsify("--density", "0", "--calibration", f.text, "--test", f.test)
            self.assertLess(none["density"], 0.05)  # a block of each is kept, of zeros
            self.assertAlmostEqual(none["matrices"][0]["loss"], 1, 5)

    def test_zeros_are_kept_as_they_are(self):
        with Folder() as f:
            first = f.sparsify("--density", "0.5", "--type", "f16")
            self.assertEqual(first["method"], "magnitude")
            self.assertEqual(mote("sparsify", MODEL, f("half.gguf"), "--method", "zeros", "--type", "f16").returncode, 0)
            whole = json.loads(mote("sparsify", MODEL, f("half.gguf"), "--method", "zeros", "--type", "f16", "--json").stdout)
            self.assertEqual(whole["density"], 1)  # nothing in this model is zero

    def test_densities(self):
        with Folder() as f:
            mixed = f.sparsify("--density", "0.5", "--layer-density", r"blk\.0\.=1", "--layer-density", "attn_=0.25", "--dense", "attn_v")
            density = {m["name"]: m["density"] for m in mixed["matrices"]}
            self.assertEqual(density["blk.0.attn_q.weight"], 1)
            self.assertAlmostEqual(density["blk.1.attn_q.weight"], 0.25, 2)
            self.assertAlmostEqual(density["blk.1.ffn_up.weight"], 0.5, 2)
            self.assertNotIn("blk.1.attn_v.weight", density)
            self.assertIn("blk.1.attn_v.weight", [d["name"] for d in mixed["dense"]])
            with open(f("rules"), "w") as file:
                file.write("# by layer\nblk\\.0\\.=1\nattn_=0.25\n")
            again = f.sparsify("--layer-density", "@" + f("rules"), "--dense", "attn_v")
            self.assertEqual(again["matrices"], mixed["matrices"])
            size = mixed["bytes_in"] // 4
            sized = f.sparsify("--size", str(size))
            self.assertLessEqual(sized["bytes_out"], size)
            self.assertGreater(sized["bytes_out"], size * 0.98)
            self.assertEqual(os.path.getsize(f("out.gguf")), sized["bytes_out"])
            lossy = f.sparsify("--max-loss", "0.3", "--calibration", f.text)
            self.assertLessEqual(max(m["loss"] for m in lossy["matrices"]), 0.3)
            self.assertGreater(len({m["density"] for m in lossy["matrices"]}), 3, "each matrix has its own")
            self.assertLess(lossy["density"], 1)

    def test_the_output_matrix_and_sparse_models(self):
        with Folder() as f:
            told = f.sparsify("--also", "output", "--calibration", f.text, "--density", "0.9")
            self.assertEqual(told["matrices"][-1]["name"], "output.weight")
            self.assertGreater(told["matrices"][-1]["loss"], 0)
            again = mote("sparsify", f("out.gguf"), f("twice.gguf"))
            self.assertEqual(again.returncode, 1)
            self.assertIn(b"block-sparse already", again.stderr)
            looked_up = mote("sparsify", MODEL, f("out.gguf"), "--also", "token_embd")
            self.assertEqual(looked_up.returncode, 2)
            self.assertIn(b"meets no matrix", looked_up.stderr)

    def test_odd_shapes_are_told(self):
        with Folder() as f:
            done = mote("sparsify", MODEL, f("out.gguf"))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(b"blk.0.ffn_down.weight becomes F16: its 172 columns are no whole blocks of I8", done.stderr)

    def test_floors(self):
        with Folder() as f:
            words = ("--density", "0.3", "--test", f.test, "-c", "64")
            failed = mote("sparsify", MODEL, f("out.gguf"), *words, "--floor", "perplexity:5")
            self.assertEqual(failed.returncode, 1)
            self.assertIn(b"is above the 5 allowed", failed.stderr)
            self.assertIn(b"was not written", failed.stderr)
            self.assertEqual(f.names(), [])
            kept = mote("sparsify", MODEL, f("out.gguf"), *words, "--floor", "perplexity:5", "--keep-failed")
            self.assertEqual(kept.returncode, 1)
            self.assertEqual(f.names(), ["out.gguf"])
            self.assertEqual(mote("sparsify", MODEL, f("out.gguf"), *words, "--density", "0.9", "--floor", "perplexity:100000").returncode, 0)

    def test_activations(self):
        with Folder() as f:
            told = f.sparsify("--activations", "0.4", "--width", "1", "--calibration", f.text, "--test", f.test, "--dense", "attn_v")
            self.assertAlmostEqual(told["share"], 0.4, 1)
            self.assertNotIn("blk.0.attn_v.weight", [m["name"] for m in told["matrices"]])
            self.assertGreater(told["after"]["perplexity"], told["before"]["perplexity"] * 1.0001)
            shown = json.loads(mote("show", f("out.gguf"), "--json").stdout)["dynamic"]
            self.assertEqual(shown["width"], 1)
            self.assertEqual(len(shown["matrices"]), len(told["matrices"]))
            self.assertAlmostEqual(shown["perplexity_after"], told["after"]["perplexity"], 3)

            def perplexity(*words):
                done = mote("perplexity", f("out.gguf"), "-f", f.test, "-c", "64", "--json", *words)
                self.assertEqual(done.returncode, 0, done.stderr)
                return json.loads(done.stdout)["perplexity"]
            self.assertAlmostEqual(perplexity(), told["before"]["perplexity"], 3)
            self.assertAlmostEqual(perplexity("--dynamic-sparsity"), told["after"]["perplexity"], 3)
            bench = json.loads(mote("bench", f("out.gguf"), "--dynamic-sparsity", "-p", "0", "-n", "16", "-r", "1", "-o", "json").stdout)
            self.assertGreater(bench[0]["activations_zero"], 0.1)
            self.assertEqual(len(bench[0]["without_samples_ts"]), 1)
            off = mote("perplexity", MODEL, "-f", f.test, "-c", "64", "--dynamic-sparsity")
            self.assertEqual(off.returncode, 1)
            self.assertIn(b"has no thresholds", off.stderr)
            failed = mote("sparsify", MODEL, f("bad.gguf"), "--activations", "0.9", "--calibration", f.text, "-c", "64", "--floor", "perplexity:5")
            self.assertEqual(failed.returncode, 1)
            self.assertIn(b"is above the 5 allowed", failed.stderr)
            self.assertEqual(f.names(), ["out.gguf"])

    def test_wrong_words(self):
        with Folder() as f:
            out = f("out.gguf")
            for words, told in [
                    ((MODEL,), b"needs IN and OUT"),
                    ((MODEL, MODEL), b"is read"),
                    ((MODEL, out, "--method", "wanda"), b"--calibration"),
                    ((MODEL, out, "--method", "best"), b"--method"),
                    ((MODEL, out, "--type", "q8_0"), b"--type"),
                    ((MODEL, out, "--density", "1.5"), b"--density"),
                    ((MODEL, out, "--density", "0.5", "--size", "1M"), b"try one of them"),
                    ((MODEL, out, "--method", "zeros", "--density", "0.5"), b"leave the density out"),
                    ((MODEL, out, "--layer-density", "attn"), b"PATTERN=DENSITY"),
                    ((MODEL, out, "--layer-density", "attn=2"), b"PATTERN=DENSITY"),
                    ((MODEL, out, "--layer-density", "(=0.5"), b"regular expression"),
                    ((MODEL, out, "--layer-density", "atn=0.5"), b"meets no matrix"),
                    ((MODEL, out, "--dense", "atn"), b"meets no matrix"),
                    ((MODEL, out, "--activations", "0.5"), b"--calibration"),
                    ((MODEL, out, "--activations", "0.5", "--density", "0.5"), b"leave --method"),
                    ((MODEL, out, "--activations", "0.5", "--width", "3", "--calibration", f.text), b"--width"),
                    ((MODEL, out, "--width", "4"), b"--activations"),
                    ((MODEL, out, "--floor", "perplexity:5"), b"--test"),
                    ((MODEL, out, "--floor", "speed:5", "--test", f.test), b"perplexity:X"),
                    ((MODEL, out, "--decoder", MODEL), b"is none"),
                    ((MODEL, out, "--images", f.own.name), b"neither pictures"),
                    ((EYES[1], out, "--images", f.own.name), b"--decoder")]:
                done = mote("sparsify", *words)
                self.assertIn(done.returncode, (1, 2), words)
                self.assertIn(told, done.stderr, words)
                self.assertEqual(f.names(), [], words)
            small = mote("sparsify", MODEL, out, "--size", "1000")
            self.assertEqual(small.returncode, 1)
            self.assertIn(b"without any block", small.stderr)
            self.assertEqual(mote("quantize", MODEL, f("q8.gguf"), "q8_0").returncode, 0)
            quantised = mote("sparsify", f("q8.gguf"), out)
            self.assertEqual(quantised.returncode, 1)
            self.assertIn(b"F32, F16 or BF16", quantised.stderr)
            short = mote("sparsify", MODEL, out, "--calibration", f.test, "-c", "512", "--density", "0.9")
            self.assertEqual(short.returncode, 1)
            self.assertIn(b"fewer than one chunk", short.stderr)

    def test_a_killed_run_goes_on_to_the_same_bytes(self):
        with Folder() as f:
            words = (MODEL, f("out.gguf"), "--calibration", f.text, "-c", "64", "--rounds", "16")
            self.assertEqual(mote("sparsify", *words).returncode, 0)
            expected = digest(f("out.gguf"))
            os.remove(f("out.gguf"))
            for number in (signal.SIGKILL, signal.SIGINT):
                process = subprocess.Popen(command("sparsify", *words), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                           env=environment())
                deadline = time.monotonic() + TIMEOUT
                while not os.path.exists(f("out.gguf.layer-1")) and time.monotonic() < deadline:
                    time.sleep(0.002)
                process.send_signal(number)
                process.communicate(timeout=TIMEOUT)
                if process.returncode != 0:
                    break
            if process.returncode == 0:
                self.skipTest("the run was over before it could be stopped")
            self.assertFalse(os.path.exists(f("out.gguf")))
            self.assertTrue(os.path.exists(f("out.gguf.layer-0")))
            again = mote("sparsify", *words)
            self.assertEqual(again.returncode, 0, again.stderr)
            self.assertIn(b"layer 0: 7 matrices", again.stderr)
            self.assertIn(b"(done before)", again.stderr)
            self.assertEqual(digest(f("out.gguf")), expected)
            self.assertEqual(f.names(), ["out.gguf"])

    def test_a_stopped_run_says_what_it_took_over(self):
        with Folder() as f:
            words = (MODEL, f("out.gguf"), "--calibration", f.text, "-c", "64")
            self.assertEqual(mote("sparsify", *words).returncode, 0)
            expected = digest(f("out.gguf"))
            # A file that may not be written: everything is done but OUT.
            os.remove(f("out.gguf"))
            os.mkdir(f("out.gguf"))
            blocked = mote("sparsify", *words)
            self.assertEqual(blocked.returncode, 1)
            self.assertIn("out.gguf.layer-4", f.names())
            os.rmdir(f("out.gguf"))
            with open(f("out.gguf.layer-2"), "r+b") as file:  # cut short, as a broken disk would
                file.truncate(1000)
            again = mote("sparsify", *words)
            self.assertEqual(again.returncode, 0, again.stderr)
            self.assertEqual(again.stderr.count(b"(done before)"), 4)
            self.assertEqual(digest(f("out.gguf")), expected)
            self.assertEqual(f.names(), ["out.gguf"])
            # Another run's layers are not taken.
            os.remove(f("out.gguf"))
            os.mkdir(f("out.gguf"))
            self.assertEqual(mote("sparsify", *words).returncode, 1)
            os.rmdir(f("out.gguf"))
            other = mote("sparsify", *words, "--damping", "0.02")
            self.assertEqual(other.returncode, 0, other.stderr)
            self.assertNotIn(b"done before", other.stderr)
            self.assertNotEqual(digest(f("out.gguf")), expected)

    def test_threads_do_not_matter(self):
        with Folder() as f:
            seen = set()
            for threads in ("1", "3"):
                f.sparsify("--calibration", f.text, "-t", threads)
                seen.add(digest(f("out.gguf")))
            self.assertEqual(len(seen), 1)

    def test_a_full_disk(self):
        with Folder() as f:
            for limit in (1 << 12, 1 << 17):  # within a layer's file, within OUT
                full = subprocess.run(command("sparsify", MODEL, f("out.gguf"), "--calibration", f.text, "-c", "64"),
                                      stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment(),
                                      timeout=TIMEOUT,
                                      preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
                self.assertEqual(full.returncode, 1, full.stderr)
                self.assertIn(b"File too large", full.stderr)
                self.assertNotIn("out.gguf", f.names())
                self.assertNotIn("out.gguf.partial", f.names())


@unittest.skipUnless(all(os.path.exists(path) for path in EYES), "the model in the box is absent")
class SparsifyEyes(unittest.TestCase):
    @staticmethod
    def draw(f):
        """A few plain pictures, with questions that any model answers in some way."""
        os.mkdir(f("pictures"))
        questions = []
        for i, colour in enumerate([(220, 30, 30), (30, 60, 220), (40, 160, 60), (240, 200, 40)]):
            pixels = bytearray()
            for y in range(64):
                for x in range(64):
                    pixels += bytes(colour if (x - 30) ** 2 + (y - 34) ** 2 < 300 else (250, 250, 250))
            with open(f("pictures/%d.ppm" % i), "wb") as file:
                file.write(b"P6 64 64 255\n" + bytes(pixels))
            questions.append({"image": "%d.ppm" % i, "question": "What colour is the circle?",
                              "answer": ["red", "blue", "green", "yellow"][i]})
        with open(f("pictures/questions.json"), "w") as file:
            json.dump(questions, file)

    def test_the_tower(self):
        with Folder() as f:
            self.draw(f)
            words = ("--decoder", EYES[0], "--images", f("pictures"), "--test-images", f("pictures"), "--density", "0.8", "--json")
            told = {}
            for method in ("wanda", "reconstruct"):
                done = mote("sparsify", EYES[1], f("mmproj.gguf"), "--method", method, *words)
                self.assertEqual(done.returncode, 0, done.stderr)
                told[method] = json.loads(done.stdout)
            one = told["reconstruct"]
            self.assertEqual(len(one["matrices"]), 6 * 6 + 1)
            self.assertEqual((one["after"]["answers_scored"], one["before"]["answers_scored"]), (4, 4))
            self.assertLess(sum(m["loss"] for m in one["matrices"]), sum(m["loss"] for m in told["wanda"]["matrices"]))
            said = mote("run", EYES[0], "-mm", f("mmproj.gguf"), "--image", f("pictures/0.ppm"), "-p", "What colour is the circle?",
                        "--temp", "0", "-n", "8")
            self.assertEqual(said.returncode, 0, said.stderr)
            self.assertTrue(said.stdout.strip())
            picky = mote("sparsify", EYES[1], f("other.gguf"), "--decoder", EYES[0], "--test-images", f("pictures"), "--density",
                         "0.05", "--floor", "accuracy:99")
            self.assertEqual(picky.returncode, 1)
            self.assertIn(b"of answers are right", picky.stderr)
            self.assertFalse(os.path.exists(f("other.gguf")))

    def test_the_decoder_with_pictures(self):
        with Folder() as f:
            self.draw(f)
            done = mote("sparsify", EYES[0], f("eye.gguf"), "-mm", EYES[1], "--images", f("pictures"), "--density", "0.8", "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            told = json.loads(done.stdout)
            self.assertTrue(told["held_back_pictures"])
            self.assertEqual(told["after"]["answers_scored"], 1)
            self.assertEqual(len(told["matrices"]), 4 * 7)
            blind = mote("sparsify", EYES[0], f("eye.gguf"), "--images", f("pictures"))
            self.assertEqual(blind.returncode, 2)
            self.assertIn(b"-mm", blind.stderr)


if __name__ == "__main__":
    main()
