"""--split in two processes of this machine: text, logits and answers of one process, and clear words when one is lost."""
import argparse
import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

MODEL = "../shared/data/stories260K.gguf"
OTHER = "models/mote-eye-q8_0.gguf"
TIMEOUT = 120
options = argparse.Namespace()


def environment(**extra):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MOTE_", "OMPI_", "PMIX_"))}
    env.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_btl="self,tcp",
               OMPI_MCA_btl_tcp_if_include="lo", OMPI_MCA_rmaps_base_oversubscribe="1",
               OMPI_MCA_hwloc_base_binding_policy="none", **extra)
    return env


def mote(*words, env=None):
    return subprocess.run([options.program, *words], capture_output=True, timeout=TIMEOUT, env=env or environment())


def together(*words, ranks=2, **extra):
    return subprocess.run([options.mpirun, "-np", str(ranks), options.program, *words], capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=TIMEOUT, env=environment(**extra))


def ranks_of(launcher):
    """Processes that mpirun has started, by rank."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8") as f:
                parent = int(f.read().rpartition(")")[2].split()[1])
            with open(f"/proc/{name}/environ", "rb") as f:
                variables = dict(v.partition(b"=")[::2] for v in f.read().split(b"\0"))
        except (OSError, ValueError, IndexError):
            continue
        if parent == launcher and b"OMPI_COMM_WORLD_RANK" in variables:
            found[int(variables[b"OMPI_COMM_WORLD_RANK"])] = int(name)
    return found


@unittest.skipUnless(os.path.exists(MODEL), f"{MODEL} is absent")
class Split(unittest.TestCase):
    PROMPT = ["-p", "Once upon a time", "--no-chat", "--temp", "0", "-t", "1", "--device", "cpu"]

    def test_the_text_of_one_process(self):
        want = mote("run", MODEL, *self.PROMPT, "-n", "40")
        self.assertEqual(want.returncode, 0, want.stderr)
        for split, ranks in [("auto", 2), ("2:2:1", 3)]:
            got = together("run", MODEL, *self.PROMPT, "-n", "40", "--split", split, ranks=ranks)
            self.assertEqual(got.returncode, 0, got.stderr)
            # mpirun gives the first rank a terminal, where an answer ends with a line's end.
            self.assertEqual(got.stdout.rstrip(b"\r\n"), want.stdout)
            self.assertIn(b" on rank 1", got.stderr)

    def test_the_logits_of_one_process(self):
        words = ["logits", MODEL, "--tokens", ",".join(str(3 + i % 400) for i in range(150)), "-t", "1", "--device", "cpu"]
        with tempfile.TemporaryDirectory() as folder:
            one, two = os.path.join(folder, "one"), os.path.join(folder, "two")
            done = mote(*words, "--out", one)
            self.assertEqual(done.returncode, 0, done.stderr)
            done = together(*words, "--split", "3", "--out", two)
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(one, "rb") as a, open(two, "rb") as b:
                want = a.read()
                self.assertEqual(len(want) % 150, 0)
                self.assertTrue(want and want == b.read(), "the bits differ")

    def test_the_bench_measures_all_ranks_together(self):
        words = ["bench", MODEL, "-p", "70", "-n", "5", "-r", "1", "-t", "1", "--device", "cpu", "-o", "json", "--split", "3"]
        got = together(*words)
        self.assertEqual(got.returncode, 0, got.stderr)
        rows = json.loads(got.stdout)
        self.assertEqual([row["test"] for row in rows], ["pp70", "tg5"])
        for row in rows:
            self.assertGreater(row["median_ts"], 0)
            self.assertIsNone(row["limit"])
            self.assertIsNone(row["tokens_per_joule"])

    def serve(self, *words, **extra):
        """A server of two ranks: mpirun, the port, and the file that its stderr goes to."""
        errors = tempfile.NamedTemporaryFile()
        self.addCleanup(errors.close)
        launcher = subprocess.Popen([options.mpirun, "-np", "2", options.program, "serve", MODEL, "--port", "0", "-t", "1",
                                     "--device", "cpu", "-c", "256", *words],
                                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, env=environment(**extra))

        def end():
            for pid in ranks_of(launcher.pid).values():
                os.kill(pid, signal.SIGKILL)
            launcher.kill()
            launcher.wait()

        self.addCleanup(end)
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline and launcher.poll() is None:
            with open(errors.name, encoding="utf-8", errors="replace") as f:
                found = re.search(r"listening on \S*?:(\d+)", f.read())
            if found:
                return launcher, int(found.group(1)), errors.name
            time.sleep(0.05)
        with open(errors.name, encoding="utf-8", errors="replace") as f:
            self.fail("no server came: " + f.read())

    def complete(self, port):
        body = json.dumps({"prompt": "Once upon a time", "max_tokens": 30, "temperature": 0})
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)) as connection:
            connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
        self.assertEqual(answer.status, 200, text)
        return json.loads(text)["choices"][0]["text"]

    def test_the_server_answers_as_one_process_does(self):
        want = mote("run", MODEL, *self.PROMPT, "-n", "30")
        launcher, port, _ = self.serve("--split", "3")
        answers = [None] * 3

        def ask(i):
            answers[i] = self.complete(port)

        threads = [threading.Thread(target=ask, args=[i]) for i in range(len(answers))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(answers, [want.stdout.decode()] * 3)
        launcher.send_signal(signal.SIGTERM)
        launcher.wait(timeout=TIMEOUT)

    def test_a_server_ends_when_a_rank_is_lost(self):
        launcher, port, errors = self.serve("--split", "3", MOTE_MPI_TIMEOUT="2")
        self.complete(port)
        os.kill(ranks_of(launcher.pid)[1], signal.SIGSTOP)  # and nobody asks
        self.assertNotEqual(launcher.wait(timeout=TIMEOUT), 0)
        with open(errors, encoding="utf-8", errors="replace") as f:
            self.assertRegex(f.read(), r"mote: .*rank 1 \(process \d+ on .+\) is lost: nothing was heard of it for 2 s")

    def test_a_server_splits_one_model(self):
        got = mote("serve", "-m", f"a={MODEL};b={MODEL}", "--split", "3", "--port", "0")
        self.assertEqual(got.returncode, 2, got.stderr)
        self.assertIn(b"--split shares one model", got.stderr)

    def lose(self, sent, **extra):
        """Starts two ranks, sends rank 1 a signal once text comes, and returns the code and stderr of the whole."""
        words = ["run", MODEL, *self.PROMPT, "-n", "1000000", "-c", "2048", "--ignore-eos", "--split", "3"]
        with tempfile.TemporaryFile() as errors:
            # Slowed down, so that the story is not over before the signal.
            launcher = subprocess.Popen([options.mpirun, "-np", "2", options.program, *words], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=errors, env=environment(MOTE_MPI_DELAY_MS="20", **extra))
            try:
                self.assertTrue(launcher.stdout.read(1), "no text came")
                os.kill(ranks_of(launcher.pid)[1], sent)
                drain = threading.Thread(target=launcher.stdout.read)
                drain.start()
                code = launcher.wait(timeout=TIMEOUT)
                drain.join()
            finally:
                for pid in ranks_of(launcher.pid).values():
                    os.kill(pid, signal.SIGKILL)
                launcher.kill()
                launcher.stdout.close()
            errors.seek(0)
            return code, errors.read().decode(errors="replace")

    def test_a_killed_rank_is_told(self):
        code, text = self.lose(signal.SIGKILL)
        self.assertNotEqual(code, 0)
        self.assertRegex(text, r"mote: .*rank 1 \(process \d+ on .+\) is lost: it has died")

    def test_a_silent_rank_is_told(self):
        code, text = self.lose(signal.SIGSTOP, MOTE_MPI_TIMEOUT="2")
        self.assertNotEqual(code, 0)
        self.assertRegex(text, r"mote: .*rank 1 \(process \d+ on .+\) is lost: nothing was heard of it for 2 s")

    def test_wrong_words(self):
        alone = mote("run", MODEL, *self.PROMPT, "--split", "auto")
        self.assertEqual(alone.returncode, 1)
        self.assertIn(b"mpirun -np 2", alone.stderr)
        for split in ["5", "1:0", "x"]:
            got = together("run", MODEL, *self.PROMPT, "--split", split)
            self.assertNotEqual(got.returncode, 0)
            self.assertIn(b'mote: split "' + split.encode(), got.stderr)

    def test_another_file_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            absent = os.path.join(folder, "absent.gguf")
            for model, words in [(OTHER, b"mote: rank 1: has another file than"), (absent, b"mote: rank 1: ")]:
                script = os.path.join(folder, "each")
                with open(script, "w", encoding="utf-8") as f:
                    f.write(f'#!/bin/sh\nmodel={MODEL}\n[ "$OMPI_COMM_WORLD_RANK" = 1 ] && model={model}\n'
                            f'exec {options.program} run "$model" -p x --no-chat -n 2 -t 1 --device cpu --split 3\n')
                os.chmod(script, 0o755)
                got = subprocess.run([options.mpirun, "-np", "2", script], capture_output=True, timeout=TIMEOUT,
                                     stdin=subprocess.DEVNULL, env=environment())
                self.assertNotEqual(got.returncode, 0)
                self.assertIn(words, got.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ["program", "mpirun"]:
        parser.add_argument("--" + name, required=True)
    _, rest = parser.parse_known_args(namespace=options)
    unittest.main(argv=[sys.argv[0], *rest])
