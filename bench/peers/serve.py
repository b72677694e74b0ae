#!/usr/bin/python3
"""A server by its URL: how soon a client that leaves has its session back, and one server beside another.

  serve.py disconnect URL [-p 2000] [--tries 20]
  serve.py load [NAME=]URL [[NAME=]URL ...] [--clients 8] [--requests 2] [-p 256] [-n 128] [--rounds 3] [--pid NAME=PID ...]
  serve.py join [NAME=]URL [[NAME=]URL ...] [--streams 3] [--long 2075] [-p 256] [--shorts 4] [--rounds 3]

Needs POST /v1/completions with prompts of token ids, as mote and llama.cpp's llama-server have it; `disconnect` also GET
/slots, and for the queue GET /metrics (llama-server: --slots --metrics). Prompts are random ids (--tokens LOW-HIGH), so
that nothing of them is cached. Start each server with at least as many sessions as there are clients, of the same file
and with the same threads; they take turns, so that a change of the machine's mood hits all. --key sends a bearer token.

disconnect  Closes the connection and asks every 2 ms until the sessions at work are as many as before. Phases: `decode`,
            in the midst of an answer; `alone`, of a prompt of -p tokens that is read alone; `shared`, of one that is read
            beside another as long; `beside`, of one that is read while two others are answered; `stream`, in the midst of
            an answer beside which a prompt is read; `queued`, of a request that waits while all sessions are taken.
load        --clients at once, each with --requests one after the other, -p tokens in and -n out, greedy, without an end
            before that. Tokens a second are those of all answers by the wall; with --pid also seconds of a core.
join        --streams are being answered when a prompt of --long tokens joins; a tenth of a second later the first of
            --shorts short ones, then one after the other. Seconds to the first token, and the longest pause of a stream.

Output: a table for people, or with -o json a line for each server and round.
"""
import argparse
import http.client
import json
import os
import random
import socket
import statistics
import sys
import threading
import time
import urllib.parse

STEP = 0.002  # seconds between two looks
LASTING = 4000  # tokens asked of a request that is left, or that keeps a session busy meanwhile


class Target:
    """A server, by its name and URL."""

    def __init__(self, words, options):
        name, equals, url = words.partition("=")
        if not equals or "/" in name:
            name, url = words, words
        parts = urllib.parse.urlsplit(url if "//" in url else "http://" + url)
        if parts.scheme != "http" or not parts.hostname:
            sys.exit(f"serve.py: {words}: wants [NAME=]http://HOST:PORT")
        self.name = name.removeprefix("http://")
        self.host, self.port = parts.hostname, parts.port or 80
        self.headers = {"Content-Type": "application/json"}
        if options.key:
            self.headers["Authorization"] = "Bearer " + options.key
        self.model = options.model
        self.tokens = options.tokens
        self.looks = None  # a kept connection

    def prompt(self, count):
        return [random.randint(*self.tokens) for _ in range(count)]

    def get(self, path):
        """The text at a path; None where the server has none."""
        for again in (True, False):
            self.looks = self.looks or http.client.HTTPConnection(self.host, self.port, timeout=60)
            try:
                self.looks.request("GET", path, headers=self.headers)
                answer = self.looks.getresponse()
                text = answer.read().decode()
                return text if answer.status == 200 else None
            except (http.client.HTTPException, OSError):
                self.looks = None
                if not again:
                    raise

    def busy(self):
        """Sessions at work, and all of them."""
        text = self.get("/slots")
        if text is None:
            sys.exit(f"serve.py: {self.name} has no /slots (llama-server: start it with --slots)")
        slots = json.loads(text)
        return sum(bool(slot["is_processing"]) for slot in slots), len(slots)

    def pending(self):
        """Requests at work and in the queue, of /metrics; None where it does not tell."""
        names = ("num_requests_running", "num_requests_waiting", "requests_processing", "requests_deferred")
        values = [line.rsplit(None, 1)[1] for line in (self.get("/metrics") or "").splitlines()
                  if line.partition("{")[0].partition(" ")[0].rpartition(":")[2] in names]
        return sum(float(value) for value in values) if values else None


class Request:
    """One streamed completion; `leave` may come from any thread, at any time."""

    def __init__(self, target, prompt, generate):
        body = {"prompt": prompt, "max_tokens": generate, "temperature": 0, "ignore_eos": True, "stream": True,
                "stream_options": {"include_usage": True}}
        if target.model:
            body["model"] = target.model
        self.begun = time.monotonic()
        self.first = None
        self.pause = 0.0  # the longest between two pieces
        self.usage = {}
        self.socket = socket.create_connection((target.host, target.port), timeout=600)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = json.dumps(body).encode()
        head = [f"POST /v1/completions HTTP/1.1\r\nHost: {target.host}", f"Content-Length: {len(data)}",
                *(f"{name}: {value}" for name, value in target.headers.items())]
        self.socket.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + data)

    def read(self, pieces=None):
        """To the end, or so many pieces of the answer; self."""
        self.answer = http.client.HTTPResponse(self.socket, method="POST")
        self.answer.begin()
        if self.answer.status != 200:
            raise RuntimeError(f"status {self.answer.status}: {self.answer.read()[:300].decode(errors='replace')}")
        last = None
        seen = 0
        for line in self.answer:
            if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                continue
            event = json.loads(line[6:])
            if "error" in event:
                raise RuntimeError(str(event["error"]))
            self.usage = event.get("usage") or self.usage
            if not event.get("choices"):
                continue
            now = time.monotonic()
            self.first = self.first or now
            self.pause = max(self.pause, now - (last or now))
            last = now
            seen += 1
            if pieces and seen >= pieces:
                break
        self.ended = time.monotonic()
        return self

    def leave(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other end was faster
        self.socket.close()

    @property
    def ttft(self):
        return self.first - self.begun


def start(body):
    """A thread that does it, until its request is left."""
    def run():
        try:
            body()
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            pass
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def until(condition, seconds=60):
    """Seconds until it holds; None: it never did."""
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        if condition():
            return time.monotonic() - begin
        time.sleep(STEP)
    return None


class Leaving:
    """The phases of `disconnect`: each returns the seconds of one try, or None where it met another phase than it wanted."""

    def __init__(self, target, options):
        self.target, self.options = target, options
        self.whole = statistics.median(self.once() for _ in range(3))  # seconds of a prompt that is read alone

    def once(self):
        request = Request(self.target, self.target.prompt(self.options.prompt), 1)
        request.read(1).leave()
        until(lambda: self.target.busy()[0] == 0)
        return request.ttft

    def companions(self, count, prompt, generate, pieces):
        requests = [Request(self.target, self.target.prompt(prompt), generate) for _ in range(count)]
        for request in requests:
            if pieces:
                request.read(pieces)
        return requests

    def measure(self, request, neighbours):
        if self.target.busy()[0] != neighbours + 1:
            return None
        request.leave()
        seconds = until(lambda: self.target.busy()[0] <= neighbours)
        return None if self.target.busy()[0] != neighbours else seconds  # a neighbour came to its end meanwhile

    def decode(self):
        request = Request(self.target, self.target.prompt(16), LASTING)
        request.read(random.randint(2, 20))
        return self.measure(request, 0)

    def alone(self):
        request = Request(self.target, self.target.prompt(self.options.prompt), LASTING)
        time.sleep(self.whole * random.uniform(0.1, 0.8))
        return self.measure(request, 0)

    def shared(self):
        others = self.companions(1, self.options.prompt, LASTING, 0)
        request = Request(self.target, self.target.prompt(self.options.prompt), LASTING)
        time.sleep(self.whole * random.uniform(0.1, 0.9))
        seconds = self.measure(request, 1)
        others[0].leave()
        return seconds

    def beside(self):
        others = self.companions(2, 16, LASTING, 2)
        request = Request(self.target, self.target.prompt(self.options.prompt), LASTING)
        time.sleep(self.whole * random.uniform(0.1, 0.8))
        seconds = self.measure(request, 2)
        for other in others:
            other.leave()
        return seconds

    def stream(self):
        request, *_ = self.companions(1, 16, LASTING, 2)
        other = Request(self.target, self.target.prompt(self.options.prompt), LASTING)
        time.sleep(self.whole * random.uniform(0.1, 0.8))
        seconds = self.measure(request, 1)
        other.leave()
        return seconds

    def queued(self):
        _, slots = self.target.busy()
        others = self.companions(slots, 16, LASTING, 0)
        if until(lambda: self.target.busy()[0] == slots, 30) is None:
            return None
        before = self.target.pending()
        request = Request(self.target, self.target.prompt(self.options.prompt), 16)
        until(lambda: self.target.pending() > before, 5)
        time.sleep(random.uniform(0, min(self.whole, 0.3)))  # the others are to last for longer
        held = self.target.pending() == before + 1
        request.leave()
        seconds = until(lambda: self.target.pending() <= before)
        held = held and self.target.pending() == before
        for other in others:
            other.leave()
        return seconds if held else None


def disconnect(options):
    target = Target(options.urls[0], options)
    leaving = Leaving(target, options)
    phases = options.phases.split(",")
    if "queued" in phases and target.pending() is None:
        print(f"{target.name} tells nothing of its queue at /metrics: `queued` is left out", file=sys.stderr)
        phases.remove("queued")
    if options.output == "md":
        print(f"A prompt of {options.prompt} tokens read alone: {leaving.whole:.3f} s.\n")
        print("| left in the midst of | tries | median, ms | p90 | longest |\n|---|---:|---:|---:|---:|")
    for phase in phases:
        times = []
        for _ in range(3 * options.tries):
            seconds = getattr(leaving, phase)()
            if seconds is not None:
                times.append(seconds * 1e3)
            if until(lambda: target.busy()[0] == 0) is None:
                sys.exit(f"serve.py: {target.name}: sessions do not come back ({phase})")
            if len(times) >= options.tries:
                break
        times.sort()
        row = {"server": target.name, "phase": phase, "tries": len(times)}
        if times:
            row |= {"p50_ms": statistics.median(times), "p90_ms": times[int(0.9 * (len(times) - 1))], "max_ms": times[-1]}
        if options.output == "json":
            print(json.dumps(row), flush=True)
        elif times:
            print(f"| {phase} | {len(times)} | {row['p50_ms']:.0f} | {row['p90_ms']:.0f} | {row['max_ms']:.0f} |", flush=True)
        else:
            print(f"| {phase} | 0: never met; try a longer prompt | | | |", flush=True)


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(target, options):
    """One round."""
    done = []
    failed = []

    def client():
        for _ in range(options.requests):
            try:
                done.append(Request(target, target.prompt(options.prompt), options.generate).read())
            except (OSError, RuntimeError, http.client.HTTPException) as error:
                failed.append(str(error))

    pid = options.pids.get(target.name)
    spent = processor_seconds(pid) if pid else 0
    own = time.process_time()
    begin = time.monotonic()
    threads = [threading.Thread(target=client) for _ in range(options.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begin
    if failed:
        print(f"{target.name}: {len(failed)} of {options.clients * options.requests} failed: {failed[0]}", file=sys.stderr)
    if not done:
        sys.exit(1)
    first = sorted(request.ttft for request in done)
    row = {"seconds": seconds, "failed": len(failed), "prompt_tokens": sum(r.usage["prompt_tokens"] for r in done),
           "tokens": sum(r.usage["completion_tokens"] for r in done), "client_core_seconds": time.process_time() - own}
    row |= {"tokens_per_second": row["tokens"] / seconds, "ttft_p50": statistics.median(first), "ttft_max": first[-1]}
    if pid:
        row["server_core_seconds"] = processor_seconds(pid) - spent
    return row


def join(target, options):
    """One round."""
    streams = [Request(target, target.prompt(16), 2000).read(2) for _ in range(options.streams)]
    for stream in streams:  # goes on from where it was
        start(lambda stream=stream: follow(stream))
    time.sleep(0.5)
    for stream in streams:
        stream.pause = 0.0
    long = Request(target, target.prompt(options.long), 4)
    reading = start(long.read)
    time.sleep(0.1)
    shorts = [Request(target, target.prompt(options.prompt), 16).read().ttft for _ in range(options.shorts)]
    reading.join()
    if long.first is None:
        sys.exit(f"serve.py: {target.name}: the long prompt was not answered; is the context of a session long enough?")
    row = {"shorts": shorts, "shorts_mean": statistics.mean(shorts), "long": long.ttft,
           "pause": max(stream.pause for stream in streams)}
    for stream in streams:
        stream.leave()
    time.sleep(0.5)  # so that the next round finds nobody
    return row


def follow(stream):
    last = time.monotonic()
    for line in stream.answer:
        if line.startswith(b"data: "):
            now = time.monotonic()
            stream.pause = max(stream.pause, now - last)
            last = now


def turns(options, measure, columns):
    targets = [Target(words, options) for words in options.urls]
    for target in targets:
        Request(target, target.prompt(16), 4).read()  # what is made at the first request
    rows = {target.name: [] for target in targets}
    for number in range(options.rounds):
        for target in targets:
            row = measure(target, options)
            rows[target.name].append(row)
            if options.output == "json":
                print(json.dumps({"server": target.name, "round": number} | row), flush=True)
    if options.output == "json":
        return
    print("| | " + " | ".join(columns) + " |\n|---" + "|---:" * len(columns) + "|")
    for name, of in rows.items():
        cells = []
        for column in columns:
            values = [row[column] for row in of if column in row]
            cells.append(f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})" if values else "")
        print(f"| {name} | " + " | ".join(cells) + " |")


def low_high(text):
    low, _, high = text.partition("-")
    return int(low), int(high)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["disconnect", "load", "join"])
    parser.add_argument("urls", nargs="+", metavar="[NAME=]URL")
    parser.add_argument("-p", "--prompt", type=int)
    parser.add_argument("-n", "--generate", type=int, default=128)
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--phases", default="decode,alone,shared,beside,stream,queued")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--requests", type=int, default=2)
    parser.add_argument("--streams", type=int, default=3)
    parser.add_argument("--long", type=int, default=2075)
    parser.add_argument("--shorts", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=low_high, default=(300, 8000))
    parser.add_argument("--pid", action="append", default=[], metavar="NAME=PID")
    parser.add_argument("--key", default="")
    parser.add_argument("--model", default="", help="its name, where the server wants one")
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    parser.add_argument("-o", "--output", choices=["md", "json"], default="md")
    options = parser.parse_args()
    options.pids = dict(words.split("=", 1) for words in options.pid)
    random.seed(options.seed or None)
    options.prompt = options.prompt or (2000 if options.mode == "disconnect" else 256)
    if options.mode == "disconnect":
        if len(options.urls) != 1:
            parser.error("disconnect: one URL")
        disconnect(options)
    elif options.mode == "load":
        turns(options, load, ["tokens_per_second", "ttft_p50", "ttft_max", "seconds", "server_core_seconds",
                              "client_core_seconds"])
    else:
        turns(options, join, ["shorts_mean", "long", "pause"])


if __name__ == "__main__":
    main()
