#!/usr/bin/python3
"""Images in the mote program: options as those of cli_test.py, and --pairs, the program that writes small models and their
vision files (tests/peers/make_vision_models.cc)."""
import array
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from support import TIMEOUT, environment, main, mote, options

ROWS = 16  # of one view of these towers
folder = None


def setUpModule():
    global folder
    folder = tempfile.TemporaryDirectory()
    subprocess.run(options.emulator + [options.pairs, folder.name], stdout=subprocess.DEVNULL, check=True, timeout=TIMEOUT)
    for name, size, seed in [("a", (64, 64), 1), ("b", (90, 40), 2), ("c", (64, 64), 3), ("d", (300, 200), 4)]:
        write_ppm(path(name + ".ppm"), size, seed)
    # Folders as people have them: a model, and vision files beside it.
    for home, files in {"lone": ["idefics3-single.gguf"],
                        "pair": ["idefics3-single.gguf", "mmproj-idefics3-single.gguf"],
                        "crowd": ["idefics3-single.gguf", "mmproj-qwen3vl.gguf", "mmproj-mlp.gguf",
                                  "mmproj-idefics3-single.gguf"],
                        "stranger": ["idefics3-single.gguf", "mmproj-qwen3vl.gguf"]}.items():
        os.mkdir(path(home))
        for file in files:
            shutil.copy(path(file), path(home, file))


def tearDownModule():
    folder.cleanup()


def path(*names):
    return os.path.join(folder.name, *names)


def write_ppm(name, size, seed):
    width, height = size
    pixels = bytearray()
    for y in range(height):
        for x in range(width):
            pixels += bytes([(x * 3 * seed + y) % 256, (y * 5 + 40 * seed) % 256, (x + y) * seed % 256])
    with open(name, "wb") as file:
        file.write(b"P6\n%d %d\n255\n" % size + pixels)


def see(*words, home="pair", stdin=b""):
    return mote("run", path(home, "idefics3-single.gguf"), "--no-chat", "--temp", "0", "-n", "6", "--ignore-eos", *words,
                stdin=stdin)


def as_json(*words, **keywords):
    done = see(*words, "--json", **keywords)
    if done.returncode:
        raise AssertionError(done.stderr.decode())
    return json.loads(done.stdout)


class Run(unittest.TestCase):
    def test_json(self):
        object = as_json("--image", path("a.ppm"), "--image", path("b.ppm"), "-p", "one <__media__> two <__media__> which")
        self.assertEqual(list(object), ["text", "tokens", "finish_reason", "prompt_tokens", "completion_tokens", "images",
                                        "timings"])
        self.assertEqual(object["images"], [
            {"path": path("a.ppm"), "width": 64, "height": 64, "rows": ROWS, "cached": False},
            {"path": path("b.ppm"), "width": 90, "height": 40, "rows": ROWS, "cached": False}])
        self.assertGreater(object["prompt_tokens"], 2 * ROWS)
        timings = object["timings"]
        for key in ["load_ms", "decode_ms", "preprocess_ms", "encode_ms", "prompt_ms", "prompt_per_token_ms", "predicted_ms",
                    "predicted_per_token_ms"]:
            self.assertGreater(timings[key], 0, key)
        self.assertEqual(timings["prompt_n"], object["prompt_tokens"])
        # The same image again is known, within one prompt too.
        object = as_json("--image", path("a.ppm"), "--image", path("a.ppm"), "-p", "which")
        self.assertEqual([image["cached"] for image in object["images"]], [False, True])
        # Without images nothing is said of them.
        object = as_json("-p", "one")
        self.assertNotIn("images", object)
        self.assertNotIn("encode_ms", object["timings"])

    def test_stages_on_stderr(self):
        done = see("--image", path("a.ppm"), "-p", "what")
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stderr.decode().splitlines()
        self.assertEqual(len(lines), 2, lines)
        self.assertEqual(lines[0], "mote: vision file " + path("pair", "mmproj-idefics3-single.gguf"))
        self.assertRegex(lines[1], r"^1 image, 16 rows: decode [\d.]+ ms, resize [\d.]+ ms, encode [\d.]+ ms; prompt \d+ "
                                   r"tokens, .*; answer 6 tokens, .*; length$")
        # A vision file that was named needs no words; a text alone no vision file.
        named = see("-mm", path("mmproj-idefics3-single.gguf"), "--image", path("a.ppm"), "-p", "what", home="lone")
        self.assertEqual(len(named.stderr.decode().splitlines()), 1, named.stderr)
        self.assertEqual(named.stdout, done.stdout)
        self.assertEqual(len(see("-p", "what").stderr.decode().splitlines()), 1)

    def test_answers_are_the_same_however_they_are_computed(self):
        words = ["--image", path("a.ppm"), "-p", "what is it"]
        alone = as_json(*words)
        for more in [["-t", "1"], ["-t", "2"], ["-b", "8"], ["-b", "512"]]:
            self.assertEqual(as_json(*words, *more)["tokens"], alone["tokens"], more)
        self.assertEqual(as_json("--image", path("a.ppm"), "-p", "<__media__>what is it")["tokens"], alone["tokens"])
        with tempfile.TemporaryDirectory() as out:
            logits = []
            for picture in ["a", "c"]:
                file = os.path.join(out, picture)
                done = mote("logits", path("pair", "idefics3-single.gguf"), "--image", path(picture + ".ppm"), "-p",
                            "what is it", "--out", file, "--json")
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(json.loads(done.stdout)["tokens"], alone["prompt_tokens"] - ROWS)
                with open(file, "rb") as data:
                    logits.append(array.array("f", data.read()))
        self.assertEqual(len(logits[0]), (alone["prompt_tokens"] - ROWS) * 512)
        last = logits[0][-512:]
        self.assertEqual(last.index(max(last)), alone["tokens"][0])
        self.assertNotEqual(logits[0], logits[1], "the picture counts")

    def test_standard_input(self):
        with open(path("a.ppm"), "rb") as file:
            picture = file.read()
        from_file = as_json("--image", path("a.ppm"), "-p", "what")
        from_stdin = as_json("--image", "-", "-p", "what", stdin=picture)
        self.assertEqual(from_stdin["tokens"], from_file["tokens"])
        self.assertEqual(from_stdin["images"][0]["path"], "-")

    def test_in_a_chat_template(self):
        done = mote("run", path("pair", "idefics3-single.gguf"), "--image", path("a.ppm"), "-p", "what", "-n", "1")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"1 image, 16 rows", done.stderr)

    def test_tiles(self):
        done = mote("run", path("idefics3.gguf"), "-mm", path("mmproj-idefics3.gguf"), "--no-chat", "--image", path("a.ppm"),
                    "-p", "what", "-n", "1", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["images"][0]["rows"], 5 * ROWS)  # 2 by 2 tiles and the whole

    def test_rows_have_a_limit_where_the_tower_takes_any_size(self):
        words = ["run", path("qwen2vl.gguf"), "-mm", path("mmproj-qwen2vl.gguf"), "--no-chat", "--image", path("d.ppm"), "-p",
                 "what", "-n", "1", "--json"]
        rows = [json.loads(mote(*words, *more).stdout)["images"][0]["rows"] for more in [[], ["--image-max-tokens", "20"]]]
        self.assertGreater(rows[0], 60)
        self.assertLessEqual(rows[1], 20)


class Finding(unittest.TestCase):
    def test_the_one_that_fits_and_is_named_alike(self):
        done = see("--image", path("a.ppm"), "-p", "what", home="crowd")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(path("crowd", "mmproj-idefics3-single.gguf").encode(), done.stderr)

    def assert_refused(self, code, done, *says):
        error = done.stderr.decode()
        self.assertEqual(done.returncode, code, error)
        self.assertEqual(done.stdout, b"")
        self.assertEqual(error.count("\n"), 1, error)
        for word in says:
            self.assertIn(word, error)

    def test_none(self):
        self.assert_refused(1, see("--image", path("a.ppm"), "-p", "x", home="lone"), "no vision file", "mmproj", "-mm")

    def test_none_is_told_before_the_model_is_loaded(self):
        shutil.copy("LICENSE", path("lone", "broken.gguf"))
        done = mote("run", path("lone", "broken.gguf"), "--image", path("a.ppm"), "-p", "x")
        self.assert_refused(1, done, "no vision file")

    def test_of_another_model(self):
        self.assert_refused(1, see("--image", path("a.ppm"), "-p", "x", home="stranger"), "mmproj-qwen3vl.gguf", "192", "64",
                            "-mm")
        self.assert_refused(1, see("-mm", path("mmproj-qwen3vl.gguf"), "--image", path("a.ppm"), "-p", "x"), "192", "64",
                            "do not belong together")
        self.assert_refused(1, see("-mm", path("idefics3-single.gguf"), "--image", path("a.ppm"), "-p", "x"), "clip",
                            path("idefics3-single.gguf"))
        self.assert_refused(1, see("-mm", "no/such.gguf", "--image", path("a.ppm"), "-p", "x"), "no/such.gguf")

    def test_wrong_words(self):
        picture = ["--image", path("a.ppm")]
        self.assert_refused(2, see(*picture, "-p", "x", "--no-mmproj"), "--no-mmproj", "--image")
        self.assert_refused(2, see("-p", "x", "--no-mmproj", "-mm", "y"), "--no-mmproj", "-mm")
        self.assert_refused(2, see("--image", "-", stdin=b"P6"), "standard input", "-p TEXT")
        self.assert_refused(2, see("--image", "-", "--image", "-", "-p", "x"), "once")
        self.assert_refused(2, see("--image", "-", "-f", "-"), "standard input")
        self.assert_refused(2, see(*picture, "-p", "x", "--image-max-tokens", "-1"), "--image-max-tokens")
        self.assert_refused(2, mote("logits", path("pair", "idefics3-single.gguf"), *picture, "--tokens", "1", "--out", "x"),
                            "--image", "-p TEXT")

    def test_wrong_images(self):
        self.assert_refused(1, see("--image", "no/such.png", "-p", "x"), "no/such.png")
        self.assert_refused(1, see("--image", "LICENSE", "-p", "x"), "LICENSE", "JPEG")
        self.assert_refused(1, see("--image", "-", "-p", "x", stdin=b"P6\n64 64\n255\n123"), "standard input")
        self.assert_refused(1, see("--image", path("a.ppm"), "-p", "<__media__> <__media__>", "-mm",
                                   path("mmproj-idefics3-single.gguf")), "2 marks", "1 image")


class Tools(unittest.TestCase):
    def test_show(self):
        file = path("mmproj-idefics3-single.gguf")
        object = json.loads(mote("show", file, "--json").stdout)
        tower = object["tower"]
        self.assertEqual({key: tower[key] for key in ["projector", "image_size", "patch_size", "width", "layers", "heads"]},
                         {"projector": "idefics3", "image_size": 64, "patch_size": 8, "width": 64, "layers": 3, "heads": 4})
        self.assertEqual((tower["rows_per_view"], tower["row_width"], tower["any_size"]), (ROWS, 64, False))
        self.assertGreater(object["memory"]["weights"], 0)
        self.assertEqual(object["memory"]["cache"], 0)
        text = mote("show", file).stdout.decode()
        for word in ["v.blk.0.attn_q.weight", "projector idefics3", "16 rows of 64 values", "beside those of the model"]:
            self.assertIn(word, text)
        memory = [json.loads(mote("show", path("mmproj-qwen2vl.gguf"), "--json", "--image-max-tokens", n).stdout)["memory"]
                  for n in ["16", "256"]]
        self.assertLess(memory[0]["scratch"], memory[1]["scratch"])
        self.assertNotIn("tower", json.loads(mote("show", path("idefics3-single.gguf"), "--json").stdout))

    def test_bench(self):
        words = ["bench", path("idefics3-single.gguf"), "-mm", path("mmproj-idefics3-single.gguf"), "-p", "0", "-n", "2", "-r",
                 "2"]
        rows = json.loads(mote(*words, "-o", "json").stdout)
        self.assertEqual([row["test"] for row in rows], ["img64", "tg2"])
        image = rows[0]
        self.assertEqual((image["tokens_per_image"], image["views_per_image"]), (ROWS, 1))
        self.assertEqual(len(image["samples_ts"]), 2)
        for key in ["ms_per_image", "encode_ms", "preprocess_ms", "images_per_second", "share_of_limit", "avg_ts"]:
            self.assertGreater(image[key], 0, key)
        # Towers go through a matrix unit where there is one.
        self.assertIn(image["limit"], ["float32 peak", "the matrix unit's peak, three products each"])
        # 64 patches through 3 layers of width 64 and feed-forward 96, and 16 rows of 4 patches through one matrix.
        products = 64 * (192 * 64 + 3 * (4 * 64 * 64 + 2 * 64 * 96)) + 16 * 256 * 64
        self.assertEqual(image["operations_per_image"], 2 * (products + 3 * 2 * 64 * 64 * 64))
        self.assertIsNone(rows[1]["ms_per_image"])
        text = mote(*words, "--image-size", "40").stdout.decode()
        self.assertIn("| img40 |", text)
        self.assertRegex(text, r"img40: [\d.]+ ms per image of 16 tokens in 1 view ")
        self.assertEqual(len(mote(*words, "-o", "csv").stdout.decode().splitlines()), 3)


class Examples(unittest.TestCase):
    def test_see(self):
        if not options.examples:
            self.skipTest("the examples are not built")
        pair = [path("pair", "idefics3-single.gguf"), path("pair", "mmproj-idefics3-single.gguf")]
        said = []
        for name in ["see_c", "see_cc"]:
            def run(*words, name=name):
                return subprocess.run(options.emulator + [os.path.join(options.examples, "example_" + name), *words],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT, env=environment())
            done = run(*pair, path("a.ppm"), "what")
            self.assertEqual(done.returncode, 0, done.stderr)
            said.append(done.stdout)
            self.assertEqual(run().returncode, 2)
            for words in [[*pair, "LICENSE", "x"], [pair[0], "no/such.gguf", path("a.ppm"), "x"]]:
                failed = run(*words)
                self.assertEqual(failed.returncode, 1)
                self.assertTrue(re.match(rb"see: .*(LICENSE|no/such.gguf)", failed.stderr), failed.stderr)
        self.assertGreater(len(said[0]), 0)
        self.assertEqual(said[0], said[1])


if __name__ == "__main__":
    main()
