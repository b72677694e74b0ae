#!/usr/bin/python3
"""`mote serve` from outside: answers, streams, sharing, limits, cancelling, draining."""
import base64
import http.client
import http.server
import json
import math
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from support import Server, chat, eventually, main, options, raw, words

STORIES = "../shared/data/stories260K.gguf"
PICTURE = "examples/scene.png"
LONG = {"max_tokens": 4000, "ignore_eos": True}


def needs_stories(test):
    return unittest.skipUnless(os.path.exists(STORIES), f"{STORIES} is absent")(test)


def picture():
    with open(PICTURE, "rb") as file:
        return "data:image/png;base64," + base64.b64encode(file.read()).decode()


def told_by_program(*arguments):
    """What the program's own command line answers."""
    done = subprocess.run(options.emulator + [options.program, "run", *arguments, "--temp", "0", "--json"],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=300, check=True)
    return json.loads(done.stdout)


class Answers(unittest.TestCase):
    """One server for all of them, with the model in the program."""

    @classmethod
    def setUpClass(cls):
        if not options.builtin:
            raise unittest.SkipTest("this build has no model in the program")
        cls.server = Server("--slots", "4").start()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def see(self, question, **fields):
        content = [{"type": "image_url", "image_url": {"url": picture()}}, {"type": "text", "text": question}]
        return {"messages": [{"role": "user", "content": content}], "temperature": 0, "max_tokens": 16, **fields}

    def test_answers_what_the_command_line_answers(self):
        question = "What shape is blue?"
        body = self.server.ask("/v1/chat/completions", self.see(question))
        told = told_by_program("--image", PICTURE, "-p", question, "-n", "16")
        self.assertEqual(body["choices"][0]["message"]["content"], told["text"])
        self.assertEqual(body["usage"]["prompt_tokens"], told["prompt_tokens"])
        self.assertEqual(body["usage"]["completion_tokens"], told["completion_tokens"])

    def test_streams_the_same_text(self):
        whole = self.server.ask("/v1/chat/completions", self.see("How many shapes are there?", cache=False))
        chunks = list(self.server.stream("/v1/chat/completions", self.see("How many shapes are there?", seed=1)))
        self.assertEqual(words(chunks), whole["choices"][0]["message"]["content"])
        self.assertEqual(chunks[0]["choices"][0]["delta"]["role"], "assistant")
        self.assertEqual(chunks[-1]["choices"][0]["finish_reason"], whole["choices"][0]["finish_reason"])

    def test_progress_as_ndjson(self):
        # Another picture than the other tests', so that it is encoded here.
        with open(PICTURE, "rb") as file:
            data = base64.b64encode(file.read()).decode()
        events = [e["event"] for e in self.server.stream(
            "/v1/chat/completions", self.see("What is on the left?", seed=77),
            {"Accept": "application/x-ndjson"})]
        self.assertTrue(data)
        for name in ["queued", "image_decoded", "image_encoded", "first_token", "done"]:
            self.assertIn(name, events)
        self.assertLess(events.index("queued"), events.index("image_encoded"))
        self.assertLess(events.index("image_encoded"), events.index("first_token"))
        self.assertEqual(events[-1], "done")

    def test_identical_requests_are_computed_once(self):
        body = chat("Tell me about circles.", max_tokens=20, seed=3)
        status, headers, first = self.server.request("POST", "/v1/chat/completions", body)
        self.assertEqual(status, 200)
        self.assertEqual(headers["x-mote-cache"], "miss")
        status, headers, second = self.server.request("POST", "/v1/chat/completions", body)
        self.assertEqual(headers["x-mote-cache"], "hit")
        self.assertEqual(json.loads(first)["choices"], json.loads(second)["choices"])
        uncertain = chat("Tell me about circles.", temperature=1.0)
        _, headers, _ = self.server.request("POST", "/v1/chat/completions", uncertain)
        self.assertEqual(headers["x-mote-cache"], "off")

    def test_identical_requests_at_once_share_one_computation(self):
        body = chat("Tell me about triangles and squares.", max_tokens=60, seed=9, ignore_eos=True)
        before = self.server.metric("mote:generation_tokens_total")
        got = []
        threads = [threading.Thread(target=lambda: got.append(self.server.request("POST", "/v1/chat/completions", body)))
                   for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual({status for status, _, _ in got}, {200})
        self.assertEqual(len({json.dumps(json.loads(text)["choices"]) for _, _, text in got}), 1)
        ways = [headers["x-mote-cache"] for _, headers, _ in got]
        self.assertEqual(ways.count("miss"), 1, ways)
        self.assertEqual(self.server.metric("mote:generation_tokens_total") - before, 60)

    def test_choices_are_those_of_their_seeds(self):
        base = chat("Tell me about colours.", temperature=1.0, max_tokens=16)
        three = self.server.ask("/v1/chat/completions", {**base, "n": 3, "seed": 10})
        texts = [c["message"]["content"] for c in sorted(three["choices"], key=lambda c: c["index"])]
        for i, text in enumerate(texts):
            one = self.server.ask("/v1/chat/completions", {**base, "seed": 10 + i})
            self.assertEqual(one["choices"][0]["message"]["content"], text)

    def test_a_conversation_is_not_computed_again(self):
        first = self.server.ask("/v1/chat/completions", chat("What is a square? " * 8, seed=5))
        messages = [{"role": "user", "content": "What is a square? " * 8},
                    {"role": "assistant", "content": first["choices"][0]["message"]["content"]},
                    {"role": "user", "content": "And a circle?"}]
        second = self.server.ask("/v1/chat/completions", {"messages": messages, "temperature": 0, "max_tokens": 8, "seed": 5})
        usage = second["usage"]
        self.assertGreater(usage["prompt_tokens_details"]["cached_tokens"], first["usage"]["prompt_tokens"] // 2)

    def test_log_probabilities_are_probabilities(self):
        body = self.server.ask("/v1/chat/completions", chat("Hello", logprobs=True, top_logprobs=5, max_tokens=6))
        content = body["choices"][0]["logprobs"]["content"]
        self.assertEqual("".join(c["token"] for c in content).strip(), body["choices"][0]["message"]["content"].strip())
        for entry in content:
            top = [t["logprob"] for t in entry["top_logprobs"]]
            self.assertEqual(len(top), 5)
            self.assertEqual(top, sorted(top, reverse=True))
            self.assertAlmostEqual(entry["logprob"], top[0], places=4)  # greedy
            self.assertLessEqual(sum(map(math.exp, top)), 1.0001)

    def test_a_schema_is_kept(self):
        schema = {"type": "object", "additionalProperties": False, "required": ["colour", "count"],
                  "properties": {"colour": {"enum": ["red", "green", "blue"]}, "count": {"type": "integer", "minimum": 0, "maximum": 9}}}
        for seed in range(5):
            body = self.server.ask("/v1/chat/completions", chat(
                "Answer in JSON.", temperature=2.0, seed=seed, max_tokens=200,
                response_format={"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}))
            answer = json.loads(body["choices"][0]["message"]["content"])
            self.assertEqual(set(answer), {"colour", "count"})
            self.assertIn(answer["colour"], ["red", "green", "blue"])
            self.assertIn(answer["count"], range(10))

    def test_a_bad_grammar_fails_closed(self):
        for response_format in [{"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "strin"}}},
                                {"type": "grammar", "grammar": "root ::= (((("}]:
            status, _, text = self.server.request("POST", "/v1/chat/completions",
                                                  chat("Hello", response_format=response_format))
            self.assertEqual(status, 400, text)
            self.assertEqual(json.loads(text)["error"]["type"], "invalid_request_error")

    def test_a_prompt_that_is_too_long_is_refused_whole(self):
        status, _, text = self.server.request("POST", "/v1/chat/completions", chat("word " * 30000))
        self.assertEqual(status, 400)
        self.assertEqual(json.loads(text)["error"]["code"], "context_length_exceeded")

    def test_images_that_are_none(self):
        for data, code in [("data:image/png;base64,AAAA", "invalid_image"), ("http://127.0.0.1/x.png", None)]:
            content = [{"type": "image_url", "image_url": {"url": data}}, {"type": "text", "text": "What?"}]
            status, _, text = self.server.request("POST", "/v1/chat/completions",
                                                  {"messages": [{"role": "user", "content": content}]})
            self.assertEqual(status, 400, text)
            if code:
                self.assertEqual(json.loads(text)["error"]["code"], code)

    def test_images_of_listed_hosts_are_fetched(self):
        with open(PICTURE, "rb") as file:
            data = file.read()

        class Host(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                there = self.path == "/scene.png"
                self.send_response(200 if there else 302)
                self.send_header("Content-Type", "image/png")
                self.send_header("Location", "http://169.254.169.254/")
                self.end_headers()
                if there:
                    self.wfile.write(data)

            def log_message(self, *_):
                pass

        host = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Host)
        thread = threading.Thread(target=host.serve_forever)
        thread.start()
        try:
            place = f"127.0.0.1:{host.server_port}"
            with Server("--image-host", f"http://{place}") as server:
                def see(url):
                    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What shape is blue?"}]
                    return server.request("POST", "/v1/chat/completions",
                                          {"messages": [{"role": "user", "content": content}], "temperature": 0, "max_tokens": 16})
                status, _, text = see(f"http://{place}/scene.png")
                self.assertEqual(status, 200, text)
                sent = self.server.ask("/v1/chat/completions", self.see("What shape is blue?"))
                self.assertEqual(json.loads(text)["choices"][0]["message"], sent["choices"][0]["message"])
                status, _, text = see(f"http://{place}/elsewhere.png")
                self.assertEqual((status, json.loads(text)["error"]["code"]), (400, "image_fetch_failed"), text)
                status, _, text = see("http://127.0.0.1:1/a.png")
                self.assertEqual((status, json.loads(text)["error"]["code"]), (400, "image_host_not_allowed"), text)
                self.assertEqual(server.metric("mote:image_fetches_total", result="ok"), 1)
                self.assertEqual(server.metric("mote:image_fetch_bytes_total"), len(data))
        finally:
            host.shutdown()
            thread.join()
            host.server_close()

    def test_embeddings(self):
        body = self.server.ask("/v1/embeddings", {"input": ["a red circle", "a red circle", "seven"], "model": ""})
        one, same, other = (entry["embedding"] for entry in body["data"])
        self.assertEqual(one, same)
        self.assertNotEqual(one, other)
        self.assertAlmostEqual(sum(x * x for x in one), 1, places=3)

    def test_bodies_of_any_route_may_be_large(self):
        for path, body in [("/v1/completions", {"prompt": "A red", "max_tokens": 1}), ("/v1/embeddings", {"input": "A"}),
                           ("/tokenize", {"content": "A"}), ("/detokenize", {"tokens": [1]})]:
            data = b" " * (3 << 20) + json.dumps(body).encode()
            connection = self.server.connect()
            connection.request("POST", path, data, {"Content-Type": "application/json"})
            self.assertNotEqual(connection.getresponse().status, 413, path)
            connection.close()

    def test_streams_have_their_headers_once(self):
        connection = self.server.connect()
        connection.request("POST", "/v1/chat/completions", json.dumps(chat("Hi", stream=True)).encode())
        answer = connection.getresponse()
        self.assertEqual(answer.headers.get_all("X-Accel-Buffering"), ["no"])
        self.assertEqual(len(answer.headers.get_all("X-Mote-Cache")), 1)
        precision = answer.headers.get_all("X-Mote-Precision")
        answer.read()
        connection.close()
        _, headers, _ = self.server.request("POST", "/v1/chat/completions", chat("Hi"))
        self.assertEqual(precision, [headers["x-mote-precision"]])

    def test_half_closed_connections(self):
        for path in [b"/livez", b"/v1/models"] * 10:
            with raw(self.server, b"GET %s HTTP/1.0\r\n\r\n" % path) as connection:
                connection.shutdown(socket.SHUT_WR)
                self.assertTrue(connection.recv(65536).startswith(b"HTTP/1.1 200"), path)
        # An answer is long work, which ends with the client.
        body = json.dumps({**chat("Tell me more", **LONG), "stream": True}).encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
        with raw(self.server, head + body) as connection:
            self.assertTrue(connection.recv(65536).startswith(b"HTTP/1.1 200"))
            connection.shutdown(socket.SHUT_WR)
            eventually(lambda: self.server.metric("mote:num_requests_running") == 0, "the session is free")

    def test_what_operators_ask(self):
        self.server.ask("/v1/chat/completions", chat("Count.", temperature=1.0))
        for path in ["/livez", "/ready", "/health", "/health/deep", "/v1/models", "/props", "/slots", "/openapi.json"]:
            json.loads(self.server.get(path))
        self.assertGreater(self.server.metric("mote:generation_tokens_total"), 0)
        self.assertEqual(json.loads(self.server.get("/api/v1/gpu/stats"))["devices"], [])
        self.assertIn("<html", self.server.get("/"))

    def test_checks_of_health_are_answered_whatever_the_host(self):
        elsewhere = {"Host": "evil.example", "Origin": "https://evil.example"}
        for path in ["/livez", "/ready", "/health"]:
            status, headers, text = self.server.request("GET", path, headers=elsewhere)
            self.assertEqual(status, 200, path)
            self.assertNotIn("access-control-allow-origin", headers)
            self.assertLessEqual(set(json.loads(text)), {"status", "reason"}, path)
        for path in ["/health/deep", "/v1/models", "/", "/metrics"]:
            self.assertEqual(self.server.request("GET", path, headers=elsewhere)[0], 403, path)


@needs_stories
class UnderLoad(unittest.TestCase):

    def prompts(self):
        return [f"Once upon a time there was a {thing}" for thing in
                ["dog", "cat", "girl", "boy", "bird", "tree", "frog", "king"]]

    def test_neighbours_and_aborts_change_nothing(self):
        with Server("--slots", "6", "--cache-size", "0", model=STORIES) as server:
            body = lambda p, **k: {"prompt": p, "temperature": 0.9, "seed": 7, "max_tokens": 60, **k}
            quiet = [server.ask("/v1/completions", body(p))["choices"][0]["text"] for p in self.prompts()]
            stop = threading.Event()

            def disturb(number):
                while not stop.is_set():
                    data = json.dumps({"prompt": "Tom and Lily " * (1 + number * 7), "stream": True, **LONG}).encode()
                    s = raw(server, b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                                    b"Content-Length: %d\r\n\r\n" % len(data) + data)
                    s.recv(1 + 97 * number)
                    s.close()

            disturbers = [threading.Thread(target=disturb, args=(i,)) for i in range(5)]
            for d in disturbers:
                d.start()
            loud = [None] * len(quiet)

            def ask(i):
                loud[i] = server.ask("/v1/completions", body(self.prompts()[i]))["choices"][0]["text"]

            askers = [threading.Thread(target=ask, args=(i,)) for i in range(len(quiet))]
            for a in askers:
                a.start()
            for a in askers:
                a.join()
            stop.set()
            for d in disturbers:
                d.join()
            self.assertEqual(loud, quiet)
            eventually(lambda: not any(s["is_processing"] for s in json.loads(server.get("/slots"))), "all slots come back")
            self.assertGreater(server.metric("mote:request_success_total", finished_reason="abort") +
                               server.metric("mote:request_success_total", finished_reason="cancelled"), 0)

    def test_the_measuring_client(self):
        """bench/peers/serve.py: that it finds the phases and sums up what it asked for. No times."""
        # A context that holds what the client asks of those who are to keep all sessions busy: 512 tokens are 70 ms.
        with Server("--slots", "4", "--cache-size", "0", "--ctx-size", "8192", model=STORIES) as server:
            def measured(mode, *words):
                done = subprocess.run([sys.executable, "-B", "bench/peers/serve.py", mode, f"http://{server.host}:{server.port}",
                                       "--tokens", "300-500", "-o", "json", *words], stdout=subprocess.PIPE, timeout=300, check=True)
                return [json.loads(line) for line in done.stdout.splitlines()]
            rows = measured("disconnect", "-p", "100", "--tries", "1", "--phases", "decode,queued")
            self.assertEqual([(row["phase"], row["tries"]) for row in rows], [("decode", 1), ("queued", 1)])
            rows = measured("load", "-p", "20", "-n", "5", "--clients", "3", "--requests", "2", "--rounds", "2")
            self.assertEqual([(row["prompt_tokens"], row["tokens"], row["failed"]) for row in rows], [(120, 30, 0)] * 2)
            rows = measured("join", "--long", "150", "-p", "20", "--streams", "2", "--shorts", "2", "--rounds", "1")
            self.assertEqual([len(row["shorts"]) for row in rows], [2])

    def test_a_full_queue_says_when_to_come_back(self):
        with Server("--slots", "1", "--queue-length", "2", model=STORIES) as server:
            stream = server.stream("/v1/completions", {"prompt": "0", **LONG, "temperature": 1})
            next(stream)
            refused = []

            def fill():
                try:
                    status, headers, text = server.request("POST", "/v1/completions", {"prompt": "x", "temperature": 1, **LONG})
                except OSError:
                    return  # one of those that waited when the server was killed
                if status in (429, 503):
                    refused.append((headers, json.loads(text)))

            fillers = [threading.Thread(target=fill, daemon=True) for _ in range(12)]
            for f in fillers:
                f.start()
            eventually(lambda: refused, "a request is refused")
            headers, body = refused[0]
            self.assertGreaterEqual(int(headers["retry-after"]), 1)
            self.assertEqual(body["error"]["code"], "queue_full")
            stream.close()
            server.stop(signal.SIGKILL)

    def test_without_a_queue_a_session_that_is_free_is_given(self):
        with Server("--slots", "1", "--queue-length", "0", "--cache-size", "0", model=STORIES) as server:
            ask = {"prompt": "Once", "max_tokens": 2}
            for _ in range(2):
                # Health's own question may have the session for a moment.
                eventually(lambda: server.request("POST", "/v1/completions", ask)[0] == 200, "it is served")
            eventually(lambda: server.metric("mote:num_requests_running") == 0, "the session is free")
            stream = server.stream("/v1/completions", {"prompt": "0", **LONG, "temperature": 1})
            next(stream)
            status, _, text = server.request("POST", "/v1/completions", {"prompt": "x", "max_tokens": 2})
            self.assertEqual((status, json.loads(text)["error"]["code"]), (503, "queue_full"))
            model = json.loads(server.request("GET", "/health/deep")[2])["checks"]["model"]
            self.assertIn(model["status"], ("ok", "busy"))
            stream.close()

    def test_what_is_prepared_ahead_waits_no_longer_than_others(self):
        words = ["--slots", "1", "--queue-timeout", "1", "--ctx-size", "65536", "--cache-size", "0"]
        with Server(*words, model=STORIES) as server:
            stream = server.stream("/v1/completions", {"prompt": "0", "temperature": 1, **LONG, "max_tokens": 65000})
            next(stream)

            def follow():  # who does not read is cut off
                try:
                    for _ in stream:
                        pass
                except (OSError, http.client.HTTPException):
                    pass  # killed

            threading.Thread(target=follow, daemon=True).start()
            told = []

            def ask():
                status, _, text = server.request("POST", "/v1/completions", {"prompt": "x", "max_tokens": 2})
                told.append((status, json.loads(text).get("error", {}).get("code")))

            askers = [threading.Thread(target=ask) for _ in range(4)]
            for a in askers:
                a.start()
            eventually(lambda: told or server.metric("mote:num_requests_waiting") == 4, "all of them wait")
            self.assertEqual(server.metric("mote:num_requests_running"), 1)
            for a in askers:
                a.join()
            self.assertEqual(told, [(503, "queue_timeout")] * 4)
            self.assertEqual(server.metric("mote:num_requests_running"), 1)  # which goes on
            server.stop(signal.SIGKILL)

    def test_what_is_refused_is_counted(self):
        with Server("--slots", "1", model=STORIES) as server:
            for body, status, code in [({"prompt": "x", "n": 99}, 400, "invalid_value"), ({"prompt": "x", "suffix": "y"}, 400, "unsupported_parameter"),
                                       ({"prompt": "x", "model": "absent"}, 404, "model_not_found")]:
                answered, _, text = server.request("POST", "/v1/completions", body)
                self.assertEqual((answered, json.loads(text)["error"]["code"]), (status, code))
                self.assertEqual(server.metric("mote:request_refusals_total", code=code), 1)
            status, _, text = server.request("POST", "/v1/completions", {"prompt": "x", "logit_bias": {"100000": 1}})
            self.assertEqual(status, 400)
            self.assertEqual(server.metric("mote:request_refusals_total"), 3, "what came to work is counted there")

    def test_without_a_seed_answers_differ(self):
        with Server("--slots", "2", model=STORIES) as server:
            told = {server.ask("/v1/completions", {"prompt": "Once", "max_tokens": 24, "temperature": 1.5})["choices"][0]["text"]
                    for _ in range(3)}
            self.assertGreater(len(told), 1)

    def test_precisions_follow_load_and_never_go_below_the_floor(self):
        with tempfile.TemporaryDirectory() as folder:
            small = os.path.join(folder, "small.gguf")
            subprocess.run(options.emulator + [options.program, "quantize", STORIES, small, "Q8_0"], check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            both = f"tiny={STORIES};tiny={small}"
            body = lambda i, **k: {"prompt": f"Once {i}", "max_tokens": 200, "temperature": 1, "ignore_eos": True, **k}
            with Server("--quantization-mode", "adaptive", "--slots", "1", "--model", both) as server:
                def many(**fields):
                    got = []
                    threads = [threading.Thread(target=lambda i=i: got.append(
                        server.ask("/v1/completions", body(i, **fields))["timings"]["precision"])) for i in range(8)]
                    for t in threads:
                        t.start()
                    for t in threads:
                        t.join()
                    return got
                self.assertEqual(server.ask("/v1/completions", body(0))["timings"]["precision"], "F32")
                self.assertEqual(set(many()), {"F32", "Q8_0"})
                self.assertEqual(set(many(quality="f16")), {"F32"})
                status, _, text = server.request("POST", "/v1/completions", body(0, quality="f64"))
                self.assertEqual((status, json.loads(text)["error"]["param"]), (400, "quality"))
            with Server("--quantization-mode", "q8_0", "--model", both) as server:
                self.assertEqual(server.ask("/v1/completions", body(0))["timings"]["precision"], "Q8_0")
                status, _, text = server.request("POST", "/v1/completions", body(0, quality="f16"))
                self.assertEqual((status, json.loads(text)["error"]["code"]), (400, "quality_not_available"))
            with self.assertRaisesRegex(AssertionError, "quantization_mode is q4_0"):
                Server("--quantization-mode", "q4_0", "--model", both).start()

    def repacked(self, *words, then=lambda server: None):
        """Texts by precision of a server that has been busy until it made a coarser one, and then was not."""
        with Server("--quantization-mode", "adaptive", "--slots", "1", "--repack", "q8_0", "--repack-idle", "1", "--cache-size",
                    "0", "--queue-timeout", "3600", *words, model=STORIES) as server:
            stop = threading.Event()
            seen, floors = {}, {}

            def ask(answers, **fields):
                while not stop.is_set():
                    told = server.ask("/v1/completions", {"prompt": "Once", "max_tokens": 20, "temperature": 0,
                                                          "ignore_eos": True, **fields})
                    answers[told["timings"]["precision"]] = told["choices"][0]["text"]

            askers = [threading.Thread(target=ask, args=(seen,)) for _ in range(4)]
            askers += [threading.Thread(target=ask, args=(floors,), kwargs={"quality": "f16"}) for _ in range(2)]
            for a in askers:
                a.start()
            eventually(lambda: set(seen) == {"F32", "Q8_0"}, "a coarser precision answers")
            stop.set()
            for a in askers:
                a.join()
            self.assertEqual(set(floors), {"F32"})
            made = server.metric("mote:repacks_total", result="made")  # again, where it was given back in between
            self.assertGreaterEqual(made, 1)
            eventually(lambda: server.metric("mote:repacks_total", result="given_back") == made, "it is given back")
            self.assertEqual(server.ask("/v1/completions", {"prompt": "Once", "max_tokens": 4})["timings"]["precision"], "F32")
            then(server)
            return seen

    def test_a_coarser_precision_is_made_when_all_are_busy(self):
        with tempfile.TemporaryDirectory() as folder:
            def look(server):
                self.assertEqual(len(os.listdir(folder)), 1)
                names = [d["name"] for d in json.loads(server.get("/health/deep"))["checks"]["disk"]]
                self.assertEqual(names, ["models"])
            of_file = self.repacked("--repack-dir", folder, then=look)
        self.assertEqual(self.repacked(), of_file, "what is packed where it lies in memory answers as the file does")

    def test_a_deadline_ends_the_answer(self):
        # A context that no machine fills in that time.
        with Server("--slots", "1", "--request-timeout", "0.5", "--ctx-size", "65536", model=STORIES) as server:
            status, _, text = server.request("POST", "/v1/completions", {"prompt": "a", "temperature": 1, **LONG, "max_tokens": 65000})
            self.assertEqual((status, json.loads(text)["error"]["code"]), (504, "deadline_exceeded"))

    def test_sigterm_lets_streams_end(self):
        server = Server("--slots", "2", "--lame-duck", "0", "--drain-timeout", "30", model=STORIES).start()
        stream = server.stream("/v1/completions", {"prompt": "Once", "max_tokens": 100, "ignore_eos": True, "temperature": 0})
        first = next(stream)
        server.process.send_signal(signal.SIGTERM)
        rest = list(stream)
        self.assertEqual(rest[-1]["choices"][0]["finish_reason"], "length")
        self.assertTrue(first)
        self.assertEqual(server.stop(), 0)

    def test_killed_at_any_time_it_starts_again(self):
        """While answers, the request cache, repacked models and the log are being written. MOTE_KILLS: how often."""
        kills = int(os.environ.get("MOTE_KILLS", "3"))
        generator = random.Random(kills)
        with tempfile.TemporaryDirectory() as folder:
            kept, log = os.path.join(folder, "models"), os.path.join(folder, "log")
            os.mkdir(kept)
            words = ["--quantization-mode", "adaptive", "--slots", "1", "--repack", "q8_0", "--repack-dir", kept,
                     "--log-format", "json", "--log-level", "debug"]
            for number in range(kills):
                with open(log, "ab") as file:
                    server = Server(*words, model=STORIES, log_file=file).start()
                told = server.ask("/v1/completions", {"prompt": "Once", "max_tokens": 4, "temperature": 0})
                self.assertTrue(told["choices"][0]["text"], f"after {number} kills")

                def load(server=server):
                    try:
                        while True:
                            server.ask("/v1/completions", {"prompt": "Once", "max_tokens": 50, "temperature": 0, "seed": 1,
                                                           "ignore_eos": True})
                    except (OSError, AssertionError, http.client.HTTPException):
                        pass  # killed

                threads = [threading.Thread(target=load) for _ in range(4)]
                for t in threads:
                    t.start()
                time.sleep(generator.random() * 4)
                server.stop(signal.SIGKILL)
                for t in threads:
                    t.join()
            with Server(*words, model=STORIES) as server:
                self.assertTrue(server.ask("/v1/completions", {"prompt": "Once", "max_tokens": 4})["choices"][0]["text"])
            for name in os.listdir(kept):
                if name.endswith(".gguf"):  # what has its name is whole
                    subprocess.run(options.emulator + [options.program, "show", os.path.join(kept, name)], check=True,
                                   stdout=subprocess.DEVNULL)
            with open(log, encoding="utf-8") as file:
                lines = file.read().split("\n")
            broken = 0
            for line in lines:
                if line.startswith(("mote: ", "loading ")):
                    continue  # what the program says before its log begins
                try:
                    json.loads(line or "{}")
                except ValueError:
                    broken += 1
            # A kill may cut the line that is being written: one each, and none is joined from two.
            self.assertLessEqual(broken, kills, [line for line in lines if not line.startswith(("{", "mote: "))])
            self.assertGreater(len(lines), kills)


if __name__ == "__main__":
    main()
