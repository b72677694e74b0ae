#!/usr/bin/python3
"""`mote key` from outside: what is printed, what is stored, and that a kill at any moment leaves a whole file."""
import base64
import hashlib
import json
import os
import random
import re
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))
from support import command, environment, main, mote  # noqa: E402


class KeyTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.file = os.path.join(self.folder.name, "keys")

    def tearDown(self):
        self.folder.cleanup()

    def key(self, verb, *words, code=0, **more):
        done = mote("key", verb, "--file", self.file, *words, **more)
        self.assertEqual(done.returncode, code, done.stderr.decode())
        return done.stdout.decode()

    def lines(self):
        with open(self.file, encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def test_a_key_is_printed_once_and_stored_as_a_digest(self):
        done = mote("key", "new", "--file", self.file, "--name", "camera-7", "--scopes", "chat,metrics", "--expires", "30",
                    "--rate-limit", "60/min", "--token-limit", "1000000/day", "--concurrency", "4")
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        self.assertRegex(done.stdout.decode(), r"\Amote_[A-Za-z0-9_-]{43}\n\Z")
        secret = done.stdout.decode().strip()
        self.assertEqual(len(base64.urlsafe_b64decode(secret[5:] + "=")), 32)
        self.assertNotIn(secret, done.stderr.decode())
        self.assertIn("camera-7", done.stderr.decode())
        with open(self.file, encoding="utf-8") as file:
            self.assertNotIn(secret[5:], file.read())
        [line] = self.lines()
        self.assertEqual(line["sha256"], hashlib.sha256(secret.encode()).hexdigest())
        self.assertLess(abs(line["created"] - time.time()), 3600)
        self.assertEqual(line["expires"] - line["created"], 30 * 86400)
        rest = {k: v for k, v in line.items() if k not in ("sha256", "created", "expires")}
        self.assertEqual(rest, {"name": "camera-7", "scopes": "chat,metrics", "rate_limit": "60/min",
                                "token_limit": "1000000/day", "concurrency": 4})
        self.assertEqual(stat.S_IMODE(os.stat(self.file).st_mode), 0o600)
        self.assertEqual(os.listdir(self.folder.name), ["keys"])

    def test_without_a_name_one_is_made_up(self):
        secrets = {self.key("new").strip() for _ in range(5)}
        self.assertEqual(len(secrets), 5)
        names = {line["name"] for line in self.lines()}
        self.assertEqual(len(names), 5)
        for line in self.lines():
            self.assertEqual(line["scopes"], "chat,embed,metrics")
            self.assertNotIn("expires", line)

    def test_the_file_comes_from_the_environment(self):
        done = mote("key", "new", "--name", "a", env=environment(MOTE_KEY_FILE=self.file))
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        self.assertEqual(self.lines()[0]["name"], "a")
        for verb in ["new", "list", "revoke"]:
            done = mote("key", verb)
            self.assertEqual(done.returncode, 2)
            self.assertIn("MOTE_KEY_FILE", done.stderr.decode())

    def test_list_and_revoke(self):
        self.key("new", "--name", "first")
        self.key("new", "--name", "second", "--scopes", "admin", "--expires", "1")
        text = self.key("list")
        self.assertRegex(text, r"name +created +expires +scopes\nfirst +\d{4}-\d\d-\d\d +never +chat,embed,metrics\n")
        listed = json.loads(self.key("list", "--json"))
        self.assertEqual([(entry["name"], entry["scopes"], entry["expired"]) for entry in listed],
                         [("first", "chat,embed,metrics", False), ("second", "admin", False)])
        self.assertEqual(self.key("revoke", "first"), "")
        self.assertEqual([line["name"] for line in self.lines()], ["second"])
        done = mote("key", "revoke", "first", "--file", self.file)
        self.assertEqual(done.returncode, 1)
        self.assertIn('no key "first"', done.stderr.decode())
        line = self.lines()[0]
        line["expires"] = 1
        with open(self.file, "w", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.assertIn("(expired)", self.key("list"))

    def test_json(self):
        made = json.loads(self.key("new", "--name", "a", "--json"))
        self.assertEqual(hashlib.sha256(made["key"].encode()).hexdigest(), self.lines()[0]["sha256"])
        self.assertEqual((made["name"], made["scopes"], made["expires"]), ("a", "chat,embed,metrics", 0))

    def test_wrong_words(self):
        for words, told in [(["--name", "a b"], "--name"), (["--name", ""], None), (["--name", "a:b"], "--name"),
                            (["--name", "api-key"], "--name"), (["--name", "x" * 65], "--name"), (["--scopes", "root"], "--scopes"),
                            (["--scopes", ""], "--scopes"), (["--expires", "-1"], "--expires"), (["--expires", "soon"], "--expires"),
                            (["--rate-limit", "fast"], "--rate-limit"), (["--token-limit", "1/week"], "--token-limit"),
                            (["--concurrency", "-1"], "--concurrency")]:
            done = mote("key", "new", "--file", self.file, *words)
            if told is None:
                self.assertEqual(done.returncode, 0)
                os.unlink(self.file)
                continue
            self.assertEqual(done.returncode, 2, words)
            self.assertIn(told, done.stderr.decode())
            self.assertEqual(done.stdout, b"")
            self.assertFalse(os.path.exists(self.file))
        self.assertEqual(mote("key").returncode, 2)
        self.assertEqual(mote("key", "lend").returncode, 2)

    def test_a_failure_prints_no_key_and_changes_nothing(self):
        self.key("new", "--name", "a")
        with open(self.file, "rb") as file:
            before = file.read()
        done = mote("key", "new", "--file", self.file, "--name", "a")
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        os.chmod(self.file, 0o666)
        done = mote("key", "new", "--file", self.file, "--name", "b")
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn("chmod 600", done.stderr.decode())
        os.chmod(self.file, 0o600)
        with open(self.file, "rb") as file:
            self.assertEqual(file.read(), before)
        done = mote("key", "new", "--file", os.path.join(self.folder.name, "absent", "keys"))
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn("absent", done.stderr.decode())
        with open("/dev/full", "wb") as full:
            done = mote("key", "list", "--file", self.file, stdout=full)
        self.assertEqual(done.returncode, 1)

    def test_a_kill_at_any_moment_leaves_a_whole_file(self):
        for i in range(20):
            self.key("new", "--name", f"old-{i}")
        before = time.monotonic()
        self.key("new", "--name", "measured")
        usual = time.monotonic() - before
        generator = random.Random(1)
        for i in range(40):
            process = subprocess.Popen(command("key", "new", "--file", self.file, "--name", f"fresh-{i}"),
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
            time.sleep(generator.random() * usual)
            process.send_signal(signal.SIGKILL)
            process.wait()
            names = [line["name"] for line in self.lines()]
            self.assertEqual(names[:21], [f"old-{n}" for n in range(20)] + ["measured"])
            self.assertTrue(all(re.fullmatch(r"fresh-\d+", name) for name in names[21:]))
        self.key("new", "--name", "last")
        self.assertIn("last", [line["name"] for line in self.lines()])


if __name__ == "__main__":
    main()
