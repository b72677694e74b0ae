"""What the tests of `mote serve` share: a server of their own, and requests to it."""
import argparse
import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import unittest

options = argparse.Namespace()
# Seconds after which a test takes the server for dead; nothing is asserted about how long things take.
PATIENCE = float(os.environ.get("MOTE_PATIENCE", "60"))


class Server:
    """`mote serve` on a free port of loopback, as a context.

    One thread, where nothing else is said: on a busy machine two that wait for each other after each layer of a tiny
    model are ten times slower. It ends at once when it is told to.
    """

    def __init__(self, *words, env=None, model=None, log_file=None):
        self.words = [options.program, "serve", *([model] if model else []), "--port", "0", *words]
        for name, value in [("--threads", "1"), ("--lame-duck", "0")]:
            if name not in words:
                self.words += [name, value]
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("MOTE_")}
        self.env.update(env or {})
        self.log = ""
        self.log_file = log_file  # an open file that the log goes to; else it comes through a pipe

    def start(self):
        if self.log_file:
            self.reader = open(self.log_file.name, "rb")  # closed by stop
            self.reader.seek(0, os.SEEK_END)
        self.process = subprocess.Popen(options.emulator + self.words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=self.log_file or subprocess.PIPE, env=self.env)
        if not self.log_file:
            self.reader = self.process.stderr
            os.set_blocking(self.reader.fileno(), False)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self.read_log(0.05)
            found = re.search(r"listening on (?:https?://)?([^\s;]+):(\d+)", self.log)
            if found:
                self.host, self.port = found.group(1).strip("[]"), int(found.group(2))
                return self
            if self.process.poll() is not None:
                break
        self.read_log(0)
        self.stop()
        raise AssertionError("the server did not start: " + self.log)

    def read_log(self, seconds):
        if self.log_file:
            time.sleep(seconds)
        ready, _, _ = select.select([self.reader], [], [], seconds)
        if ready:
            self.log += (self.reader.read() or b"").decode(errors="replace")
        return self.log

    def stop(self, number=signal.SIGTERM):
        """Ends it; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < end:
            self.read_log(0.05)  # so that the log never blocks it
        if self.process.poll() is None:
            self.process.kill()
        code = self.process.wait()
        self.read_log(0)
        self.reader.close()
        return code

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()

    def connect(self):
        return http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)

    def request(self, method, path, body=None, headers=None):
        """(status, headers in lower case, body as text)"""
        connection = self.connect()
        data = json.dumps(body).encode() if body is not None else None
        connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})} if data else headers or {})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, text

    def ask(self, path, body, headers=None):
        """The answer to a request that must succeed, as JSON."""
        status, _, text = self.request("POST", path, body, headers)
        if status != 200:
            raise AssertionError(f"{path}: {status} {text}")
        return json.loads(text)

    def get(self, path):
        status, _, text = self.request("GET", path)
        if status != 200:
            raise AssertionError(f"{path}: {status} {text}")
        return text

    def stream(self, path, body, headers=None):
        """Yields the events of a stream, parsed; ends at [DONE] or at the end."""
        connection = self.connect()
        connection.request("POST", path, json.dumps({**body, "stream": True}).encode(),
                           {"Content-Type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        if answer.status != 200:
            raise AssertionError(f"{path}: {answer.status} {answer.read().decode()}")
        ndjson = "ndjson" in answer.getheader("Content-Type", "")
        try:
            for line in answer:
                line = line.decode().rstrip("\r\n")
                if ndjson and line:
                    yield json.loads(line)
                elif line.startswith("data: "):
                    if line == "data: [DONE]":
                        return
                    yield json.loads(line[6:])
        finally:
            connection.close()

    def metric(self, name, **labels):
        """The sum of a metric over the labels that are not named."""
        total = 0.0
        for line in self.get("/metrics").splitlines():
            found = re.match(r"([^\s{]+)(?:\{(.*)\})? (\S+)$", line)
            if not found or found.group(1) != name or line.startswith("#"):
                continue
            has = dict(re.findall(r'(\w+)="([^"]*)"', found.group(2) or ""))
            if all(has.get(k) == v for k, v in labels.items()):
                total += float(found.group(3))
        return total


def eventually(condition, what):
    """Waits for it."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("never came true: " + what)


def words(chunks):
    """The text of a chat stream."""
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])


def chat(text, **fields):
    return {"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 24, **fields}


def raw(server, data):
    """A socket with bytes sent."""
    s = socket.create_connection((server.host, server.port), timeout=PATIENCE)
    s.sendall(data)
    return s


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    for name in ["emulator", "builtin"]:
        parser.add_argument("--" + name, default="")
    _, rest = parser.parse_known_args(namespace=options)
    options.emulator = [word for word in options.emulator.split(";") if word]
    unittest.main(module="__main__", argv=[sys.argv[0], *rest])
