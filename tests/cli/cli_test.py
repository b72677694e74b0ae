#!/usr/bin/python3
"""The mote program from the outside: words, exit codes, what goes to stdout and what to stderr.

    cli_test.py --program build/release/edge/mote --version 0.1.0 [--emulator "qemu;-L;DIR"] [--examples DIR]

Runs from the top of the repository. What needs the real model says so aloud when ../shared is absent.
"""
import array
import json
import math
import os
import re
import signal
import struct
import subprocess
import tempfile
import unittest

from support import EXPECTED, MODEL, TIMEOUT, VOCABULARIES, command, environment, isas, main, mote, needs_model, options


def read_floats(path):
    with open(path, "rb") as file:
        return array.array("f", file.read())


class Words(unittest.TestCase):
    """Wrong words are exit code 2, one line on stderr, nothing on stdout."""

    def assert_refused(self, code, *words, says=(), **keywords):
        done = mote(*words, **keywords)
        error = done.stderr.decode()
        self.assertEqual(done.returncode, code, error)
        self.assertEqual(done.stdout, b"")
        self.assertTrue(error.startswith("mote: "), error)
        self.assertEqual(error.count("\n"), 1, error)
        self.assertNotIn("\033", error, "colours only on a terminal")
        for word in says:
            self.assertIn(word, error)

    def test_commands(self):
        names = ["run", "show", "tokenize", "logits", "bench", "perplexity", "doctor", "quantize", "imatrix", "sparsify", "serve", "key"]
        self.assert_refused(2, says=["no command", *names])
        self.assert_refused(2, "dance", says=["dance", *names])
        self.assert_refused(2, "--dance", says=["--dance"])
        help_text = mote("--help").stdout.decode()
        for name in names:
            self.assertIn(name, help_text)
            self.assertEqual(mote(name, "--help").returncode, 0)
        for absent in ["pull", "verify"]:
            self.assertNotIn(absent, help_text)
            self.assert_refused(2, absent, says=["unknown command"])

    def test_no_model(self):
        for name in [] if options.builtin else ["run", "show", "tokenize", "logits", "bench", "perplexity"]:
            self.assert_refused(2, name, says=["no MODEL", f"mote {name} MODEL.gguf"])
        self.assert_refused(2, "show", MODEL, "--vision", says=["--vision", "MODEL"])
        self.assert_refused(2, "quantize", says=["IN OUT TYPE", "Q4_K_M"])
        self.assert_refused(2, "quantize", "a", "b", "Q8_0", "--tensor-type", "attn_v", says=["PATTERN=TYPE"])
        self.assert_refused(2, "quantize", "a", "b", "Q8_0", "--tensor-type", "(=Q8_0", says=["regular expression"])
        self.assert_refused(2, "quantize", "a", "b", "Q8_0", "--output-tensor-type", "I32", says=["I32"])
        self.assert_refused(2, "imatrix", "model.gguf", says=["-f TEXT -o OUT"])

    def test_ranges(self):
        for option, bad, says in [("--temp", "-1", "0 to 100"), ("--temp", "nan", "0 to 100"), ("--top-k", "-1", "0 or more"),
                                  ("--top-p", "0", "above 0"), ("--top-p", "1.5", "at most 1"), ("--min-p", "2", "0 to 1"),
                                  ("-t", "1025", "1024"), ("-t", "two", "number"), ("--n-predict", "-2", "-1 or more"),
                                  ("-c", "-1", "0"), ("-b", "0", "1"), ("--repeat-penalty", "0", "above 0"),
                                  ("-s", "-2", "seed"), ("-s", "99999999999999999999", "seed"), ("-n", "1.5", "whole number"),
                                  ("-c", "-1", "0 to 16777216"), ("-n", "0x10", "whole number"), ("-n", "", "whole number"),
                                  ("--stop", "", "--stop"), ("--logit-bias", "5=nan", "ID=VALUE")]:
            with self.subTest(option=option, bad=bad):
                self.assert_refused(2, "run", MODEL, "-p", "x", option, bad, says=["--", says])
        self.assert_refused(2, "run", MODEL, "-p", "x", "--logit-bias", "5", says=["--logit-bias", "ID=VALUE"])
        self.assert_refused(2, "run", MODEL, "-p", "x", "--memory-limit", "much", says=["--memory-limit", "4G"])
        self.assert_refused(2, "run", MODEL, "-p", "x", "-ctk", "q4_0", says=["--cache-type-k", "f16", "q8_0"])
        self.assert_refused(2, "run", MODEL, "-p", "x", "-ctv", "f32", says=["--cache-type-v", "f16", "q8_0"])
        self.assert_refused(1, "run", MODEL, "-p", "x", "--image", "no/such.png", says=["no/such.png"])
        self.assert_refused(2, "run", MODEL, "-p", "x", *["--stop", "y"] * 17, says=["--stop", "16"])
        self.assert_refused(2, "run", MODEL, "-p", "", says=["prompt is empty"])
        self.assert_refused(2, "run", MODEL, "-f", "-", says=["NUL", "5"], stdin=b"hello\0world")
        self.assert_refused(2, "doctor", "--plan", "all", MODEL, says=["--plan", "MODEL"])
        self.assert_refused(2, "perplexity", MODEL, "-f", "LICENSE", "--chunks", "0", says=["--chunks", "1 or more"])
        self.assert_refused(2, "imatrix", MODEL, "-f", "LICENSE", "-o", "x", "--chunks", "0", says=["--chunks"])
        self.assert_refused(2, "sparsify", MODEL, "x", "--calibration", "LICENSE", "--chunks", "0", says=["--chunks"])
        self.assert_refused(2, "bench", MODEL, "-o", "xml", says=["xml"])
        self.assert_refused(2, "run", MODEL, "-p", "x", "-f", "y", says=["-p and -f"])

    def test_files(self):
        self.assert_refused(1, "run", "no/such.gguf", "-p", "x", says=["no/such.gguf", "No such file"])
        self.assert_refused(1, "show", "no/such.gguf", says=["no/such.gguf"])
        self.assert_refused(1, "show", "LICENSE", says=["LICENSE"])
        self.assert_refused(1, "run", "LICENSE", "-p", "x", says=["LICENSE"])
        self.assert_refused(1, "show", "engine", says=["engine"])

    def test_isa(self):
        self.assert_refused(2, "--version", env=environment(MOTE_ISA="z80"), says=["z80", "scalar"])
        forced = mote("--version", env=environment(MOTE_ISA="scalar")).stdout.decode()
        self.assertIn("scalar (forced by MOTE_ISA)", forced)

    def test_version(self):
        done = mote("--version")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stderr, b"")
        self.assertEqual(done.stdout.decode().splitlines()[0], f"mote {options.version}")
        self.assertIn(isas()[0], done.stdout.decode())


@needs_model
class Run(unittest.TestCase):
    def test_expected_texts_on_every_isa(self):
        with open(EXPECTED, encoding="utf-8") as file:
            cases = json.load(file)["cases"]
        self.assertEqual(len(cases), 3)
        for isa in isas():
            for case in cases:
                with self.subTest(isa=isa, prompt=case["prompt"]):
                    done = mote("run", MODEL, "--no-chat", "-p", case["prompt"], "--temp", "0", "-n", "100",
                                env=environment(MOTE_ISA=isa))
                    self.assertEqual(done.returncode, 0, done.stderr)
                    text = done.stdout.decode()
                    self.assertGreater(len(text), 150)
                    self.assertTrue(case["greedy"].startswith(text), text)

    def test_stdout_is_the_text_and_stderr_one_line(self):
        done = mote("run", MODEL, "--no-chat", "-p", "The little dog", "--temp", "0", "-n", "10")
        self.assertEqual(done.stdout, b" was a little girl named Lily. She")
        lines = done.stderr.decode().splitlines()
        self.assertEqual(len(lines), 1, lines)
        self.assertRegex(lines[0], r"^prompt 5 tokens.*answer 10 tokens.*length$")

    def test_json(self):
        words = ["run", MODEL, "--no-chat", "--temp", "0", "-n", "12", "--json"]
        done = mote(*words, "-p", "Once upon a time")
        object = json.loads(done.stdout)
        self.assertEqual(list(object),
                         ["text", "tokens", "finish_reason", "prompt_tokens", "completion_tokens", "timings"])
        self.assertEqual(object["prompt_tokens"], 5)
        self.assertEqual(object["completion_tokens"], 12)
        self.assertEqual(len(object["tokens"]), 12)
        self.assertEqual(object["finish_reason"], "length")
        self.assertGreater(object["timings"]["predicted_per_second"], 0)
        plain = mote(*words[:-1], "-p", "Once upon a time").stdout.decode()
        self.assertEqual(object["text"], plain)

    def test_prompt_from_stdin_and_file(self):
        words = ["run", MODEL, "--no-chat", "--temp", "0", "-n", "10"]
        expected = mote(*words, "-p", "Tom had").stdout
        self.assertEqual(mote(*words, stdin=b"Tom had\n").stdout, expected)
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"Tom had\n")
            file.flush()
            self.assertEqual(mote(*words, "-f", file.name).stdout, expected)
        self.assertEqual(mote(*words, stdin=b"").returncode, 2)

    def test_seeds(self):
        words = ["run", MODEL, "--no-chat", "-p", "Once", "-n", "30", "--temp", "1.5", "--top-k", "0"]
        first = mote(*words, "-s", "1").stdout
        self.assertEqual(mote(*words, "-s", "1").stdout, first)
        self.assertNotEqual(mote(*words, "-s", "2").stdout, first)
        self.assertNotEqual(mote(*words).stdout, mote(*words, "-s", "-1").stdout)

    def test_stop(self):
        done = mote("run", MODEL, "--no-chat", "-p", "Once upon a time", "--temp", "0", "-n", "100", "--stop", "Lily",
                    "--stop", "@")
        self.assertEqual(done.stdout, b", there was a little girl named ")
        self.assertTrue(done.stderr.decode().rstrip().endswith("stop"))

    def test_threads_and_batches_do_not_show(self):
        words = ["run", MODEL, "--no-chat", "-p", "Once upon a time there was", "--temp", "0", "-n", "40"]
        expected = mote(*words, "-t", "1").stdout
        self.assertEqual(mote(*words, "-t", "2", "-b", "3").stdout, expected)

    def test_fast_prompts(self):
        words = ["run", MODEL, "--no-chat", "-p", "Once upon a time there was", "--temp", "0", "-n", "40"]
        without = environment(MOTE_ISA="scalar")
        done = mote(*words, "--fast-prompts", env=without)
        self.assertIn("no matrix unit", done.stderr.decode())
        self.assertEqual(done.stdout, mote(*words, env=without).stdout)
        if "avx512_amx" not in isas():
            self.skipTest("this processor has no matrix unit")
        done = mote(*words, "--fast-prompts", "-t", "1")
        self.assertNotIn("matrix unit", done.stderr.decode())
        self.assertEqual(mote(*words, "--fast-prompts", "-t", "2", "-b", "3").stdout, done.stdout)

    def test_persistent_steps_without_a_gpu(self):
        words = ["run", MODEL, "--no-chat", "-p", "Once upon a time", "--temp", "0", "-n", "8", "--device", "cpu"]
        done = mote(*words, "--persistent-steps")
        self.assertIn("no layer of this model is on a GPU", done.stderr.decode())
        self.assertEqual(done.stdout, mote(*words).stdout)

    def test_a_prompt_that_is_too_long(self):
        done = mote("run", MODEL, "--no-chat", "-c", "16", stdin=b"word " * 100)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr.decode(), r"mote: .*16.*; try a larger -c")

    def test_memory_limit(self):
        self.assertIn("1024 bytes", mote("run", MODEL, "-p", "x", "--memory-limit", "1K").stderr.decode())
        done = mote("run", MODEL, "-p", "x", "--memory-limit", "100K")
        self.assertEqual(done.returncode, 1)
        self.assertIn("weights", done.stderr.decode())

    def test_output_that_cannot_be_written(self):
        words = ["run", MODEL, "--no-chat", "-p", "Once", "-n", "5", "--temp", "0"]
        if os.path.exists("/dev/full"):
            with open("/dev/full", "wb") as full:
                done = mote(*words, stdout=full)
            self.assertEqual(done.returncode, 1)
            self.assertIn("standard output", done.stderr.decode())
        read_end, write_end = os.pipe()
        os.close(read_end)
        with os.fdopen(write_end, "wb") as broken:
            done = mote(*words, stdout=broken)
        self.assertEqual(done.returncode, 1, "a closed pipe is an error, not a signal")

    def test_interrupt_keeps_what_was_written(self):
        child = subprocess.Popen(command("run", MODEL, "--no-chat", "-p", "Once", "--ignore-eos", "-c", "16000", "--temp", "0"),
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 env=environment())
        first = child.stdout.read(1)
        child.send_signal(signal.SIGINT)
        rest, error = child.communicate(timeout=TIMEOUT)
        self.assertTrue(first)
        if child.returncode == 0:  # it was faster
            return
        self.assertEqual(child.returncode, 1, error)
        self.assertIn(b"cancelled", error)


@needs_model
class Tools(unittest.TestCase):
    def test_show(self):
        object = json.loads(mote("show", MODEL, "--json").stdout)
        self.assertEqual(object["metadata"]["general.architecture"], "llama")
        self.assertEqual(object["metadata"]["tokenizer.ggml.tokens"]["count"], 512)
        self.assertEqual(len(object["tensors"]), 48)
        self.assertEqual(object["tensors"][0]["shape"], [64, 512])
        self.assertEqual(sum(t["bytes"] for t in object["tensors"]), object["bytes_by_type"]["F32"]["bytes"])
        self.assertEqual(object["memory"]["total"],
                         sum(object["memory"][k] for k in ["weights", "scratch", "cache"]))
        text = mote("show", MODEL).stdout.decode()
        for word in ["general.name", "token_embd.weight", "F32", "memory needed", "cache"]:
            self.assertIn(word, text)
        self.assertNotIn("\033", text)

    def test_tokenize(self):
        done = mote("tokenize", MODEL, "-p", "Once upon a time")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        ids = [int(word) for word in done.stdout.split()]
        self.assertEqual(ids[0], 1)
        self.assertEqual(done.stdout.count(b"\n"), 1)
        as_json = json.loads(mote("tokenize", MODEL, "-p", "Once upon a time", "--json").stdout)
        self.assertEqual(as_json, ids)
        self.assertEqual(json.loads(mote("tokenize", MODEL, "--json", "--no-special", stdin=b"Once upon a time").stdout),
                         ids[1:])
        # A value is no option, whatever it looks like.
        for value in ["-mm", "-ngl", "-ctk=5"]:
            by_value = mote("tokenize", MODEL, "-p", value).stdout
            self.assertEqual(by_value, mote("tokenize", MODEL, stdin=value.encode()).stdout, value)
        # A control token in the text counts, unless --no-special.
        self.assertEqual(json.loads(mote("tokenize", MODEL, "--json", "-p", "</s>").stdout), [1, 2])
        self.assertNotIn(2, json.loads(mote("tokenize", MODEL, "--json", "--no-special", "-p", "</s>").stdout))

    def test_logits(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "out.bin")
            done = mote("logits", MODEL, "--tokens", "1,403,407,261,378", "--out", path)
            self.assertEqual((done.returncode, done.stdout), (0, b""), done.stderr)
            by_ids = read_floats(path)
            self.assertEqual(len(by_ids), 5 * 512)
            self.assertEqual(mote("logits", MODEL, "-p", "Once upon a time", "--out", path, "-b", "2").returncode, 0)
            self.assertEqual(read_floats(path), by_ids)
            last = by_ids[-512:]
            text = mote("run", MODEL, "--no-chat", "-p", "Once upon a time", "--temp", "0", "-n", "1", "--json").stdout
            self.assertEqual(json.loads(text)["tokens"], [last.index(max(last))])
            for words in [["--out", path], ["--tokens", "1", "-p", "x", "--out", path], ["--tokens", "1"],
                          ["--tokens", "a", "--out", path]]:
                self.assertEqual(mote("logits", MODEL, *words).returncode, 2, words)
            failed = os.path.join(folder, "failed.bin")
            self.assertEqual(mote("logits", MODEL, "--tokens", "1,512", "--out", failed).returncode, 1)
            self.assertFalse(os.path.exists(failed), "a failed run leaves no file")
            self.assertEqual(mote("logits", MODEL, "--tokens", "1", "--out", folder).returncode, 1)

    def test_perplexity_is_what_the_logits_say(self):
        words = json.loads(mote("tokenize", MODEL, "--json", "-f", "LICENSE").stdout)
        size = 64
        loss, count = 0.0, 0
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "out.bin")
            for chunk in range(2):
                ids = words[chunk * size:(chunk + 1) * size]
                asked = [1] + ids[1:]
                mote("logits", MODEL, "--tokens", ",".join(map(str, asked)), "--out", path)
                rows = read_floats(path)
                for i in range(size // 2, size - 1):
                    row = rows[i * 512:(i + 1) * 512]
                    top = max(row)
                    loss += top + math.log(sum(math.exp(x - top) for x in row)) - row[ids[i + 1]]
                    count += 1
        object = json.loads(mote("perplexity", MODEL, "-f", "LICENSE", "-c", str(size), "--chunks", "2", "--json").stdout)
        self.assertEqual(object["tokens_scored"], count)
        self.assertAlmostEqual(object["perplexity"] / math.exp(loss / count), 1, places=5)
        done = mote("perplexity", MODEL, "-f", "LICENSE", "-c", str(size), "--chunks", "2")
        self.assertRegex(done.stdout.decode(), r"^perplexity \d+\.\d+ \+/- \d+\.\d+\n$")
        self.assertEqual(mote("perplexity", MODEL).returncode, 2)
        self.assertEqual(mote("perplexity", MODEL, "-f", "no/such").returncode, 1)

    def test_bench(self):
        words = ["bench", MODEL, "-p", "16", "-n", "4", "-r", "2"]
        rows = json.loads(mote(*words, "-o", "json").stdout)
        self.assertEqual([row["test"] for row in rows], ["pp16", "tg4"])
        for row in rows:
            self.assertEqual(len(row["samples_ts"]), 2)
            self.assertAlmostEqual(row["avg_ts"], sum(row["samples_ts"]) / 2, places=6)
            self.assertGreaterEqual(row["stddev_ts"], 0)
            self.assertGreater(row["read_bandwidth_bytes_per_second"], 0)
            self.assertGreater(row["share_of_limit"], 0)
        text = mote(*words, "-n", "0").stdout.decode()
        self.assertIn("| pp16 |", text)
        self.assertNotIn("tg", text)
        lines = mote(*words, "-o", "csv").stdout.decode().splitlines()
        self.assertEqual(len(lines), 3)
        self.assertTrue(lines[0].startswith("test,n_prompt,n_gen,n_depth,avg_ts,stddev_ts,samples_ts,"))

    def test_bench_peaks(self):
        peaks = json.loads(mote("bench", "--peaks", "-r", "1", "-o", "json").stdout)
        self.assertLessEqual({"int8", "bf16", "f32"}, {row["kind"] for row in peaks["compute"]})
        self.assertIn("memory", [row["level"] for row in peaks["bandwidth"]])
        for row in peaks["compute"]:
            rate = row["ops_per_second"]
            self.assertTrue(0 < rate["min"] <= rate["median"] <= rate["max"], row)
        lines = mote("bench", "--peaks", "-r", "1", "-o", "csv", env=environment(MOTE_ISA="scalar")).stdout.decode().splitlines()
        self.assertEqual(lines[0], "what,instruction,threads,working_set,unit,best,median,worst")
        self.assertEqual({line.split(",")[1] for line in lines[1:]}, {"", '"scalar"'})
        self.assertEqual(mote("bench", "--peaks", MODEL).returncode, 2)

    def test_doctor(self):
        object = json.loads(mote("doctor", MODEL, "--json").stdout)
        self.assertEqual(object["cpu"]["isa"], isas()[0])
        self.assertTrue(object["model"]["runs"])
        self.assertGreater(object["memory"]["total"], 0)
        self.assertIn("memory", [row["level"] for row in object["peaks"]["bandwidth"]])
        self.assertIn("int8", [row["kind"] for row in object["peaks"]["compute"]])
        text = mote("doctor").stdout.decode()
        for word in ["CPU", "ISA", "threads", "memory", "GB/s", "Gop/s", "what fits", "Q4_0", "GPU"]:
            self.assertIn(word, text)
        self.assertTrue(object["gpu"]["gpus"] or object["gpu"]["reason"])
        self.assertTrue(object["model"]["advice"]["fits"])

    def test_plans_for_other_machines(self):
        text = mote("doctor", "--plan", "all").stdout.decode()
        with open("docs/roofline.md", encoding="utf-8") as page:
            self.assertIn(text, page.read(), "docs/roofline.md is not what mote doctor --plan all prints")
        plan = json.loads(mote("doctor", "--plan", "rtx-3090", "--json").stdout)
        self.assertEqual([device["device"] for device in plan], ["rtx-3090"])
        for row in plan[0]["rows"]:  # nothing is faster than all of it from the fastest memory
            if "limit" in row:
                self.assertLessEqual(row["limit"] * row["bytes"], plan[0]["bytes_per_second"] * 1.3)
                self.assertLessEqual(row["limit_cpu"], row["limit"])
        wrong = mote("doctor", "--plan", "abacus")
        self.assertEqual(wrong.returncode, 2)
        self.assertIn("orin-nano-super", wrong.stderr.decode())

    def test_device(self):
        for words in [["--device", "gpu"], ["--device", "cuda:x"], ["-ngl", "-3"], ["-ngl", "some"]]:
            self.assertEqual(mote("run", MODEL, "-p", "Once", "-n", "1", *words).returncode, 2, words)
        run = ["run", MODEL, "-p", "Once", "-n", "1", "--no-chat"]
        self.assertEqual(mote(*run, "-ngl=0", "-ctk=q8_0").returncode, 0)
        self.assertEqual(len(json.loads(mote(*run, "-n", "010", "--temp", "0", "--json").stdout)["tokens"]), 10)
        self.assertEqual(mote(*run, "--device", "cpu", "-ngl", "7").returncode, 0)
        if not json.loads(mote("doctor", "--json").stdout)["gpu"]["gpus"]:
            refused = mote(*run, "--device", "cuda")
            self.assertEqual(refused.returncode, 1)
            self.assertIn("device cuda", refused.stderr.decode())
            self.assertEqual(mote(*run, "--device", "auto", "-ngl", "all").returncode, 0)



class BuiltIn(unittest.TestCase):
    """The model in the program, where it was built with one: no MODEL is needed."""

    def setUp(self):
        if not options.builtin:
            self.skipTest("the program was built without a model")

    def test_it_sees(self):
        with tempfile.NamedTemporaryFile() as picture:
            picture.write(b"P6\n128 128\n255\n" + bytes([230, 30, 30]) * 128 * 128)
            picture.flush()
            done = mote("run", "--image", picture.name, "-p", "What is it?", "--temp", "0", "-n", "16", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"no MODEL: the built-in one, {options.builtin}", done.stderr.decode())
        object = json.loads(done.stdout)
        self.assertGreater(object["images"][0]["rows"], 0)
        self.assertGreater(len(object["text"].strip()), 0)

    def test_every_command(self):
        object = json.loads(mote("show", "--json").stdout)
        self.assertEqual(object["file"], options.builtin)
        self.assertGreater(object["memory"]["total"], 0)
        self.assertIn("tower", json.loads(mote("show", "--vision", "--json").stdout))
        self.assertGreater(len(json.loads(mote("tokenize", "-p", "a red circle", "--json").stdout)), 1)
        rows = json.loads(mote("bench", "-p", "8", "-n", "2", "-r", "1", "-o", "json").stdout)
        self.assertEqual([re.sub(r"\d+", "", row["test"]) for row in rows], ["img", "pp", "tg"])
        self.assertEqual({row["model_filename"] for row in rows}, {options.builtin})
        self.assertEqual(mote("imatrix", "-f", "LICENSE", "-o", "x").returncode, 2)


class ForeignTypes(unittest.TestCase):
    """A file with tensors of types that mote knows by name alone."""

    @staticmethod
    def write(path):
        def string(text):
            return struct.pack("<Q", len(text)) + text.encode()

        def array(kind, values, pack):
            return struct.pack("<IIQ", 9, kind, len(values)) + b"".join(pack(v) for v in values)

        tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)]
        entries = [("general.architecture", struct.pack("<I", 8) + string("llama")),
                   ("tokenizer.ggml.model", struct.pack("<I", 8) + string("llama")),
                   ("tokenizer.ggml.tokens", array(8, tokens, string)),
                   ("tokenizer.ggml.scores", array(6, [0.0] * len(tokens), lambda v: struct.pack("<f", v))),
                   ("tokenizer.ggml.token_type", array(5, [2, 3, 3] + [6] * 256, lambda v: struct.pack("<i", v)))]
        tensors = [("token_embd.weight", 16, 0, 66 * 3), ("output_norm.weight", 0, 224, 256 * 4),
                   ("blk.0.attn_q.weight", 137, 1248, 76)]
        with open(path, "wb") as file:
            file.write(struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(entries)))
            for key, value in entries:
                file.write(string(key) + value)
            for name, kind, offset, _ in tensors:
                columns = [256, 3] if kind == 16 else [256]
                file.write(string(name) + struct.pack(f"<I{len(columns)}QIQ", len(columns), *columns, kind, offset))
            start = (file.tell() + 31) // 32 * 32
            for _, _, offset, size in tensors:
                file.seek(start + offset)
                file.write(bytes(size))

    def test_listed_but_not_loaded(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "foreign.gguf")
            self.write(path)
            done = mote("show", path)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            self.assertRegex(done.stdout.decode(), r"token_embd.weight +IQ2_XXS +256 x 3")
            self.assertRegex(done.stdout.decode(), r"cannot be run: type IQ2_XXS is not supported \(1 tensor\)")
            object = json.loads(mote("show", path, "--json").stdout)
            self.assertEqual([t["bytes"] for t in object["tensors"]], [224, 1024, 76])
            self.assertFalse(object["bytes_by_type"]["IQ2_XXS"]["supported"])
            self.assertTrue(object["bytes_by_type"]["F32"]["supported"])
            self.assertIsNone(object["memory"])
            self.assertIn("ik_llama.cpp", object["memory_error"])
            ids = [1] + [3 + byte for byte in "▁A".encode()]
            self.assertEqual(json.loads(mote("tokenize", path, "--json", "-p", "A").stdout), ids)
            for words in [["run", path, "-p", "x"], ["doctor", path, "--json"]]:
                done = mote(*words)
                self.assertIn("IQ2_XXS", (done.stderr + done.stdout).decode(), words)
                self.assertNotEqual(done.returncode, -signal.SIGFPE)


@unittest.skipUnless(os.path.isdir(VOCABULARIES), f"{VOCABULARIES} is absent")
class Vocabularies(unittest.TestCase):
    def test_files_without_tensors(self):
        path = os.path.join(VOCABULARIES, "ggml-vocab-gpt-2.gguf")
        self.assertEqual(json.loads(mote("tokenize", path, "--json", "-p", "Hello world").stdout), [15496, 995])
        object = json.loads(mote("show", path, "--json").stdout)
        self.assertEqual(object["tensors"], [])
        self.assertIsNone(object["memory"])
        self.assertEqual(mote("run", path, "-p", "x").returncode, 1)


@needs_model
class Examples(unittest.TestCase):
    def setUp(self):
        if not options.examples:
            self.skipTest("the examples are not built")

    def run_example(self, name, *words, stdin=b""):
        path = os.path.join(options.examples, "example_" + name)
        return subprocess.run(options.emulator + [path, *words], input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=TIMEOUT, env=environment())

    def test_hello(self):
        with open(EXPECTED, encoding="utf-8") as file:
            case = json.load(file)["cases"][0]
        for name in ["hello_c", "hello_cc"]:
            done = self.run_example(name, MODEL, case["prompt"])
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertGreater(len(done.stdout), 80)
            self.assertTrue(case["greedy"].encode().startswith(done.stdout))
            self.assertEqual(self.run_example(name).returncode, 2)
            failed = self.run_example(name, "no/such.gguf", "x")
            self.assertEqual(failed.returncode, 1)
            self.assertIn(b"no/such.gguf", failed.stderr)

    def test_chat(self):
        done = self.run_example("chat", MODEL, stdin=b"hi\nmore\n\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertGreaterEqual(done.stdout.count(b"\n"), 2)


if __name__ == "__main__":
    main()
