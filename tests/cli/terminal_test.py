#!/usr/bin/python3
"""The chat on a terminal; options as those of cli_test.py."""
import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import tempfile
import termios
import time
import unittest

from support import MODEL, TIMEOUT, command, main, needs_model, options


@needs_model
class Terminal(unittest.TestCase):
    """The chat, on a terminal of our own."""

    WORDS = ["--temp", "0", "-n", "20"]

    def model(self):
        return MODEL

    def setUp(self):
        model = self.model()
        self.child, self.terminal = pty.fork()
        if self.child == 0:
            os.environ.pop("MOTE_ISA", None)
            os.environ["TERM"] = "xterm"
            for name in ("LANG", "LC_ALL", "LC_CTYPE"):  # as in a container
                os.environ.pop(name, None)
            words = command("run", model, *self.WORDS)
            os.execvp(words[0], words)
        self.seen = b""

    def tearDown(self):
        try:
            os.kill(self.child, signal.SIGKILL)
            os.waitpid(self.child, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        os.close(self.terminal)

    def wait_for(self, what, seconds=60):
        end = time.monotonic() + seconds
        while not re.search(what, self.seen):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.terminal], [], [], left)[0]:
                self.fail(f"{what!r} did not come; seen: {self.seen!r}")
            try:
                got = os.read(self.terminal, 4096)
            except OSError:  # the other side has closed
                got = b""
            if not got:
                self.fail(f"it ended before {what!r} came; seen: {self.seen!r}")
            self.seen += got
        match = re.search(what, self.seen)
        self.seen = self.seen[match.end():]
        return match

    def wait_for_prompt(self):
        """Until the program reads keys: the line editor prints its prompt before it takes the terminal over, and a key that
        comes in between is lost. Without a line editor nothing can be seen, so a while is given."""
        self.wait_for(rb"> ")
        end = time.monotonic() + 5
        while termios.tcgetattr(self.terminal)[3] & termios.ICANON and time.monotonic() < end:
            time.sleep(0.01)

    def say(self, line):
        os.write(self.terminal, line + b"\r")

    def press(self, key, what):
        """A key, and what it must lead to. Between the prompt and the first read a key is lost, and pressed again; never while
        anything has come of it."""
        for _ in range(12):
            os.write(self.terminal, key)
            if select.select([self.terminal], [], [], 5)[0]:
                break
        return self.wait_for(what)

    def exit_code(self, key=None, every=5):
        """`key` is sent again every few seconds: on a busy machine the first may come before the program reads keys."""
        end = time.monotonic() + 60
        again = time.monotonic()
        while time.monotonic() < end:
            if key is not None and time.monotonic() >= again:
                with contextlib.suppress(OSError):  # it has ended meanwhile
                    os.write(self.terminal, key)
                again = time.monotonic() + every
            # Whatever it still writes must be read, or it waits.
            if select.select([self.terminal], [], [], 0.05)[0]:
                try:
                    os.read(self.terminal, 4096)
                except OSError:
                    pass
            done, status = os.waitpid(self.child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
        self.fail("it did not end")

    def save(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "chat.json")
            self.wait_for_prompt()
            self.say(b"/save " + path.encode())
            self.wait_for(rb"messages in")
            with open(path, encoding="utf-8") as file:
                return json.load(file)

    def test_conversation(self):
        self.wait_for(rb"/help lists")
        self.wait_for_prompt()
        self.say(b"hello")
        self.wait_for(rb"prompt \d+ tokens.*answer")
        self.say(b"and \\")
        self.wait_for(rb"\. ")
        self.say(b"more")
        self.wait_for(rb"prompt \d+ tokens \(\d+ known\)")
        self.say(b"/regen")
        self.wait_for(rb"prompt \d+ tokens \(\d+ known\)")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "chat.json")
            self.say(b"/save " + path.encode())
            self.wait_for(rb"4 messages in")
            with open(path, encoding="utf-8") as file:
                messages = json.load(file)
        self.assertEqual([m["role"] for m in messages], ["user", "assistant"] * 2)
        self.assertEqual(messages[2]["content"], "and \nmore")
        self.say(b"/save " + MODEL.encode())
        self.wait_for(rb"is read: try another name")
        self.say(b"/nonsense")
        self.wait_for(rb"/clear +forget")
        self.say(b"/clear")
        self.wait_for_prompt()
        self.say(b"/regen")
        self.wait_for(rb"no answer yet")
        self.say(b"/exit")
        self.assertEqual(self.exit_code(), 0)

    def test_letters_without_a_locale(self):
        self.wait_for_prompt()
        self.say("gr\u00fc\u00df".encode())
        self.wait_for(rb"prompt \d+ tokens.*answer")
        messages = self.save()
        self.assertEqual(len(messages), 2)
        self.assertEqual(messages[0]["content"], "gr\u00fc\u00df")

    def test_end_of_input(self):
        self.wait_for_prompt()
        self.assertEqual(self.exit_code(key=b"\x04"), 0)

    def test_interrupt_at_the_prompt(self):
        self.wait_for_prompt()
        self.press(b"\x03", rb"again, or /exit, leaves")
        self.wait_for_prompt()
        os.write(self.terminal, b"\x03")
        self.assertEqual(self.exit_code(), 0)


class Images(Terminal):
    """/image, with a model that sees; random numbers, so that what it says means nothing."""

    WORDS = ["--temp", "0", "-n", "4", "--ignore-eos"]
    test_conversation = test_end_of_input = test_interrupt_at_the_prompt = test_letters_without_a_locale = None

    def model(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        subprocess.run(options.emulator + [options.pairs, self.folder.name], stdout=subprocess.DEVNULL, check=True,
                       timeout=TIMEOUT)
        for name, color in [("a.ppm", b"\xE0\x20\x20"), ("b.ppm", b"\x20\x20\xE0")]:
            with open(os.path.join(self.folder.name, name), "wb") as file:
                file.write(b"P6\n64 64\n255\n" + color * 64 * 64)
        return os.path.join(self.folder.name, "idefics3-single.gguf")

    def picture(self, name):
        return os.path.join(self.folder.name, name).encode()

    def test_images(self):
        self.wait_for_prompt()
        self.say(b"/image")
        self.wait_for(rb"no image waits")
        self.say(b"/image no/such.png")
        self.wait_for(rb"mote:\S* no/such.png")
        self.say(b"/image " + self.picture("a.ppm"))
        self.wait_for(rb"vision file .*mmproj-idefics3-single.gguf")
        self.wait_for(rb"a.ppm, 64 x 64, goes with the next message")
        self.say(b"/image")
        self.wait_for(rb"a.ppm, 64 x 64\S*\r?\n")
        self.wait_for_prompt()
        self.say(b"what is it")
        self.wait_for(rb"1 image, 16 rows: decode .*answer 4 tokens")
        # It stays in the conversation, and is read no more.
        self.wait_for_prompt()
        self.say(b"and now")
        self.wait_for(rb"1 image \(1 known\), 16 rows.*\(\d+ known\)")
        self.say(b"/image " + self.picture("b.ppm"))
        self.wait_for(rb"b.ppm, 64 x 64, goes")
        self.wait_for_prompt()
        self.say(b"which")
        self.wait_for(rb"2 images \(1 known\), 32 rows")
        saved = os.path.join(self.folder.name, "chat.json")
        self.wait_for_prompt()
        self.say(b"/save " + saved.encode())
        self.wait_for(rb"6 messages in")
        with open(saved, encoding="utf-8") as file:
            messages = json.load(file)
        self.assertEqual([m.get("images") for m in messages], [[self.picture("a.ppm").decode()], None, None, None,
                                                               [self.picture("b.ppm").decode()], None])
        self.say(b"/clear")
        self.wait_for_prompt()
        self.say(b"hello")
        self.assertNotIn(b"image", self.wait_for(rb"(?s)hello.*answer 4 tokens").group())
        self.say(b"/exit")
        self.assertEqual(self.exit_code(), 0)


@needs_model
class LongAnswers(Terminal):
    """Ctrl+C while an answer is being written: far more tokens than can come before the key."""

    WORDS = ["--temp", "0", "-n", "-1", "--ignore-eos", "-c", "200000"]
    test_conversation = test_end_of_input = test_interrupt_at_the_prompt = test_letters_without_a_locale = None

    def begin_an_answer(self, message):
        self.wait_for_prompt()
        self.say(message)
        self.wait_for(message + rb"[^a-z]*([a-zA-Z]+[^a-zA-Z]+){5}")  # its echo, and some words

    def test_interrupt_stops_the_answer_and_keeps_it(self):
        self.begin_an_answer(b"hello")
        os.write(self.terminal, b"\x03")
        answered = int(self.wait_for(rb"answer (\d+) tokens.*cancelled").group(1))
        self.assertGreater(answered, 5)
        messages = self.save()
        self.assertEqual([m["role"] for m in messages], ["user", "assistant"])
        self.assertGreater(len(messages[1]["content"]), answered / 2)
        # What was said is known to the next turn, and that one can be stopped too.
        self.begin_an_answer(b"more")
        os.write(self.terminal, b"\x03")
        known = int(self.wait_for(rb"prompt \d+ tokens \((\d+) known\).*cancelled").group(1))
        self.assertGreater(known, answered)
        self.assertEqual(len(self.save()), 4)

    def test_twice_leaves(self):
        self.begin_an_answer(b"hello")
        os.write(self.terminal, b"\x03")
        self.wait_for(rb"cancelled")
        self.wait_for_prompt()
        os.write(self.terminal, b"\x03")
        self.assertEqual(self.exit_code(), 0)

    def test_twice_at_once_leaves(self):
        self.begin_an_answer(b"hello")
        # The second key comes while the answer ends, which is a signal's end, or at the prompt after it.
        self.assertIn(self.exit_code(key=b"\x03", every=0.2), [0, -signal.SIGINT])


if __name__ == "__main__":
    main()
