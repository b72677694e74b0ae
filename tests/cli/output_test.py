#!/usr/bin/python3
"""What the program writes beside stdout, and what it must not write over; options as those of cli_test.py."""
import json
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from support import MODEL, TIMEOUT, command, environment, main, mote, needs_model

ROW = 512 * 4  # bytes of the logits of one token
TEXT = "Once upon a time there was a little girl named Lily. She liked to play outside. " * 12


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def small_files_only():
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


@needs_model
class Output(unittest.TestCase):
    def setUp(self):
        own = tempfile.TemporaryDirectory()
        self.addCleanup(own.cleanup)
        self.folder = own.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def copy(self, name):
        shutil.copy(MODEL, self.path(name))
        return self.path(name)

    def assert_refused(self, done, code, *says):
        error = done.stderr.decode(errors="replace")
        self.assertEqual(done.returncode, code, error)
        self.assertEqual(done.stdout or b"", b"")
        for word in says:
            self.assertIn(word, error)

    def test_logits_leave_what_was_there(self):
        out, link = self.path("out.bin"), self.path("link")
        write(out, b"before")
        os.symlink(out, link)
        self.assert_refused(mote("logits", MODEL, "--tokens", "1,512", "--out", link), 1)
        self.assertEqual(read(out), b"before")
        self.assertEqual(mote("logits", MODEL, "--tokens", "1,2", "--out", link).returncode, 0)
        self.assertEqual(os.path.getsize(out), 2 * ROW)
        self.assertTrue(os.path.islink(link))
        self.assertEqual(sorted(os.listdir(self.folder)), ["link", "out.bin"])

    def test_logits_to_what_is_no_file(self):
        words = ["logits", MODEL, "--tokens", "1,2", "--out"]
        piped = mote(*words, "/dev/stdout")
        self.assertEqual((piped.returncode, len(piped.stdout)), (0, 2 * ROW), piped.stderr)
        with open(self.path("out.bin"), "wb") as file:
            file.write(b"head")
            file.flush()
            self.assertEqual(mote(*words, "/dev/stdout", "--json", stdout=file).returncode, 0)
        self.assertRegex(read(self.path("out.bin"))[4 + 2 * ROW:], rb'^{"tokens":2,.*}\n$')
        self.assertEqual(mote(*words, "/dev/null").returncode, 0)
        if os.path.exists("/dev/full"):
            self.assert_refused(mote(*words, "/dev/full"), 1, "/dev/full")
            self.assertTrue(os.path.exists("/dev/full"))

    def test_logits_over_an_input(self):
        model = self.copy("model.gguf")
        hard = self.path("hard")
        os.link(model, hard)
        before = read(model)
        for out in (model, hard):
            self.assert_refused(mote("logits", model, "--tokens", "1", "--out", out), 2, "--out", "is read")
        # What OUT is written as until it is whole counts too.
        partial = self.copy("x.partial")
        self.assert_refused(mote("logits", partial, "--tokens", "1", "--out", self.path("x")), 2, "is read")
        self.assertEqual((read(model), read(partial)), (before, before))
        self.assert_refused(mote("logits", model, "--tokens", "", "--out", hard), 2, "--tokens")

    def test_logits_stopped(self):
        out = self.path("out.bin")
        write(out, b"before")
        child = subprocess.Popen(command("logits", MODEL, "-p", TEXT * 50, "-c", "16000", "-b", "8", "-t", "1", "--out", out),
                                 stderr=subprocess.PIPE, env=environment())
        end = time.monotonic() + TIMEOUT
        while not os.path.exists(out + ".partial") and child.poll() is None and time.monotonic() < end:
            time.sleep(0.002)
        child.send_signal(signal.SIGINT)
        error = child.communicate(timeout=TIMEOUT)[1]
        self.assertEqual(os.listdir(self.folder), ["out.bin"])
        if child.returncode == 0:  # it was faster
            return
        self.assertEqual(child.returncode, 1, error)
        self.assertIn(b"stopped", error)
        self.assertEqual(read(out), b"before")

    def test_a_size_limit_is_an_error(self):
        for words in [["logits", MODEL, "--tokens", "1,2,3,4,5,6", "--out", self.path("x")],
                      ["quantize", MODEL, self.path("x"), "q8_0"]]:
            done = subprocess.run(command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
                                  timeout=TIMEOUT, preexec_fn=small_files_only)
            self.assert_refused(done, 1, "File too large")
            self.assertEqual(os.listdir(self.folder), [])

    def test_out_over_an_input(self):
        first, second = self.copy("m-00001-of-00002.gguf"), self.copy("m-00002-of-00002.gguf")
        text = self.path("text.txt")
        write(text, TEXT.encode())
        inputs = [first, second, text]
        before = [read(name) for name in inputs]
        for words in [["quantize", first, second, "q8_0"], ["quantize", MODEL, text, "q8_0", "--imatrix", text],
                      ["imatrix", first, "-f", text, "-o", second], ["imatrix", MODEL, "-f", text, "-o", text],
                      ["sparsify", first, second], ["sparsify", MODEL, text, "--calibration", text],
                      ["sparsify", MODEL, text, "--test", text],
                      ["logits", first, "--tokens", "1", "--out", second]]:
            self.assert_refused(mote(*words), 2, "is read")
        self.assertEqual([read(name) for name in inputs], before)
        pictures = self.path("pictures")
        os.mkdir(pictures)
        picture = os.path.join(pictures, "a.ppm")
        write(picture, b"P6\n8 8\n255\n" + bytes(192))
        self.assert_refused(mote("sparsify", MODEL, picture, "--images", pictures, "--density", "0.5"), 2, "is read")
        self.assertEqual(os.path.getsize(picture), 203)

    def test_an_imatrix_grows_in_its_place(self):
        text, out = self.path("text.txt"), self.path("out.gguf")
        write(text, TEXT.encode())
        words = ["imatrix", MODEL, "-f", text, "-o", out, "-c", "64", "--chunks", "1", "--json"]
        self.assertEqual(json.loads(mote(*words).stdout)["chunks_total"], 1)
        self.assertEqual(json.loads(mote(*words, "--in-file", out).stdout)["chunks_total"], 2)

    @unittest.skipUnless(os.path.exists("/dev/full"), "/dev/full is absent")
    def test_a_full_stdout_costs_no_work(self):
        with open("/dev/full", "wb") as full:
            done = mote("sparsify", MODEL, self.path("out.gguf"), "--method", "magnitude", "--density", "0.5", stdout=full)
        self.assert_refused(done, 1, "standard output")
        self.assertEqual(os.listdir(self.folder), ["out.gguf"])

    def test_names_that_are_no_utf8(self):
        odd = os.fsencode(self.folder) + b"/\xff.gguf"
        shutil.copy(os.fsencode(MODEL), odd)
        text = self.path("text.txt")
        write(text, TEXT.encode())
        for words in [["quantize", odd, self.path("q.gguf"), "q8_0", "--json"], ["quantize", odd, "q8_0", "--dry-run", "--json"],
                      ["imatrix", odd, "-f", text, "-o", odd + b".imatrix", "-c", "64", "--chunks", "1", "--json"],
                      ["bench", odd, "-p", "4", "-n", "0", "-r", "1", "-o", "json"],
                      ["bench", odd, "-p", "4", "-n", "0", "-r", "1", "-o", "csv"],
                      ["sparsify", odd, odd + b".sparse", "--density", "0.5", "--json"],
                      ["sparsify", odd, odd + b".quick", "--activations", "0.3", "--calibration", text, "-c", "64", "--json"]]:
            done = mote(*words)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("\N{REPLACEMENT CHARACTER}" if words[-1] != "csv" else ".gguf", done.stdout.decode(errors="replace"))


class Keys(unittest.TestCase):
    @unittest.skipUnless(os.path.exists("/dev/full"), "/dev/full is absent")
    def test_a_key_that_nobody_saw(self):
        if b"no server" in mote("key", "new").stderr:
            self.skipTest("the program was built without the server")
        with tempfile.TemporaryDirectory() as folder:
            keys = os.path.join(folder, "keys")
            self.assertEqual(mote("key", "new", "--file", keys, "--name", "seen").returncode, 0)
            with open("/dev/full", "wb") as full:
                done = mote("key", "new", "--file", keys, "--name", "lost", stdout=full)
            self.assertEqual(done.returncode, 1)
            self.assertIn(b"taken out", done.stderr)
            listed = json.loads(mote("key", "list", "--file", keys, "--json").stdout)
            self.assertEqual([key["name"] for key in listed], ["seen"])


if __name__ == "__main__":
    main()
