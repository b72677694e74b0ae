"""Where the front and another program on the way could disagree about where a request ends: smuggling_test.py --server
ECHO_SERVER.

Every vector goes to the front alone, whose reading is compared with h11's; then through HAProxy and nginx that keep
their connections to it open: each answer must belong to its request, and no request may arrive that nobody has sent.
"""
import argparse
import concurrent.futures
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import smuggling_vectors  # noqa: E402

try:
    import h11
except ImportError:
    h11 = None

options = argparse.Namespace()
PATIENCE = 60
VECTORS = list(smuggling_vectors.vectors())


class Echo:
    """The server; gives up on incomplete requests soon, so that the vectors that are some do not take long."""

    def __init__(self):
        self.process = subprocess.Popen(
            [options.server, "head_seconds=1", "body_window_seconds=1", "idle_seconds=30"], stdout=subprocess.PIPE)
        address = self.process.stdout.readline().decode().strip()
        self.port = int(address.rsplit(":", 1)[1])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE)
        self.process.stdout.close()
        assert code == 0, f"the server ended with {code}"

    def seen(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request("GET", "/seen")
        paths = json.loads(connection.getresponse().read())
        connection.close()
        return paths


def exchange(port, data):
    """All that comes back for these bytes, until the other side closes."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        received = b""
        try:
            connection.sendall(data)
            while True:
                piece = connection.recv(65536)
                if not piece:
                    break
                received += piece
        except (ConnectionResetError, BrokenPipeError):
            pass
        return received


def answers(data):
    """[(status, headers, body)] of answers with Content-Length or chunks."""
    found = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        if head.startswith(b"{"):
            found.append((200, {}, head))  # nginx answers requests of HTTP/0.9 in kind: the body alone
            break
        lines = head.split(b"\r\n")
        parts = lines[0].split(b" ")
        if len(parts) < 2 or not parts[1].isdigit():
            found.append((0, {}, head))
            break
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
        body = b""
        if headers.get(b"transfer-encoding") == b"chunked":
            while True:
                size, _, data = data.partition(b"\r\n")
                size = int(size or b"0", 16)
                body += data[:size]
                data = data[size + 2:]
                if size == 0:
                    break
        elif int(parts[1]) >= 200:
            size = int(headers.get(b"content-length", len(data)))
            body, data = data[:size], data[size:]
        if parts[1] != b"100":
            found.append((int(parts[1]), headers, body))
    return found


def echoed(found):
    """What the server says it has understood, and the status of a refusal after that (or None)."""
    understood = []
    for status, _, body in found:
        if status != 200:
            return understood, status
        request = json.loads(body)
        understood.append((request["method"], request["path"], request["body"]))
    return understood, None


def second_reading(data):
    """h11's reading of the same bytes: requests, and whether it refused what follows them."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=64 << 10)
    connection.receive_data(data)
    understood = []
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                request, body = event, b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                # Of a target in absolute-form, h11 leaves it to others to take the authority off.
                target = re.sub("^https?://[^/?]*", "", request.target.decode("latin-1"))
                path = urllib.parse.unquote(target.partition("?")[0], "latin-1")
                understood.append((request.method.decode(), path, body.decode("latin-1")))
                connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is not h11.DONE:
                    return understood, False
                connection.start_next_cycle()
            else:
                return understood, False
    except h11.RemoteProtocolError:
        return understood, True


def in_parallel(function, items):
    # Nearly all of the time of each is the two seconds after which an idle connection is closed.
    with concurrent.futures.ThreadPoolExecutor(150) as pool:
        return list(pool.map(function, items))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Alone(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.echo = Echo()
        received = in_parallel(lambda vector: exchange(cls.echo.port, vector[2]), VECTORS)
        cls.readings = [echoed(answers(data)) for data in received]
        cls.raw = [answers(data) for data in received]

    @classmethod
    def tearDownClass(cls):
        cls.echo.stop()

    def test_there_are_enough(self):
        self.assertGreaterEqual(len(VECTORS), 400)
        refused = sum(status is not None for _, status in self.readings)
        self.assertGreater(refused, 100)
        self.assertGreater(len(VECTORS) - refused, 50)

    @unittest.skipIf(h11 is None, "python3-h11 is absent: no second parser to compare with")
    def test_the_same_reading_as_h11_or_a_refusal(self):
        for (_, name, data), (understood, status) in zip(VECTORS, self.readings):
            with self.subTest(name):
                # RFC 9112, 2.2: an empty line before the request line is ignored. h11 does not.
                if name == "line empty line before":
                    data = data.removeprefix(b"\r\n")
                # 7.1.1: so are blanks before a chunk's extension.
                if name == "chunks extension space":
                    data = data.replace(b"5 ;a", b"5;a")
                other, other_refused = second_reading(data)
                if name == "1.0 kept alive":
                    # Which h11 never does.
                    understood = understood[:1]
                self.assertEqual(understood, other[:len(understood)])
                if status is None and len(other) > len(understood):
                    # The front closes after HTTP/1.0; so does h11, but for what it never keeps alive.
                    self.fail(f"silently stopped at {understood} of {other}")
                if status is None:
                    self.assertFalse(other_refused, f"h11 refuses what follows {other}")

    def test_refusals_are_whole_answers_in_the_shape_of_openai(self):
        for (_, name, _), found in zip(VECTORS, self.raw):
            with self.subTest(name):
                self.assertTrue(found, "no answer at all")
                status, headers, body = found[-1]
                if status == 200:
                    continue
                self.assertIn(status, [400, 404, 405, 408, 413, 414, 415, 417, 431, 501, 505])
                self.assertEqual(headers[b"content-type"], b"application/json")
                self.assertIn("message", json.loads(body)["error"])
                if status not in (404, 405):
                    self.assertEqual(headers[b"connection"], b"close")

    def test_what_is_ambiguous_is_refused(self):
        # By the RFC's own list (9112: 2.2, 3.2, 5.1, 5.2, 6.1, 6.3, 7.1), not by what the front does.
        ambiguous = ["transfer plain, length short", "transfer plain, length all", "transfer space before colon, length none",
                     "transfer twice, length none", "transfer fold, length none", "transfer bare lf, length none",
                     "transfer gzip, length none", "POST length twice other", "POST length list other", "POST length plus",
                     "GET length minus", "chunks minus", "chunks 2^64", "chunks 0x", "chunks data long", "chunks size lf",
                     "line absolute user", "chunks space after", "chunks trailer length", "chunks trailer transfer",
                     "chunks trailer host", "chunks trailer fold", "chunks trailer request", "line nul", "line lf", "line two spaces", "fields host twice", "fields no host",
                     "fields fold tab", "fields space before colon", "fields value nul", "fields bare lf", "1.0 chunked",
                     "length, then transfer plain"]
        by_name = {name: reading for (_, name, _), reading in zip(VECTORS, self.readings)}
        for wanted in ambiguous:
            names = [name for name in by_name if name.endswith(wanted)]
            self.assertTrue(names, wanted)
            for name in names:
                understood, status = by_name[name]
                self.assertEqual((understood, status in (400, 408, 501)), ([], True), name)


class Behind(unittest.TestCase):
    """Through a proxy; subclasses start one."""
    program = None

    @classmethod
    def setUpClass(cls):
        if cls.program is None or shutil.which(cls.program) is None:
            raise unittest.SkipTest(f"{cls.program or 'no proxy'} is absent")
        cls.echo = Echo()
        cls.folder = tempfile.TemporaryDirectory(prefix="mote_smuggling_")
        cls.port = free_port()
        path = os.path.join(cls.folder.name, "proxy.conf")
        with open(path, "w") as file:
            file.write(cls.config(cls.folder.name, cls.port, cls.echo.port))
        cls.proxy = subprocess.Popen(cls.command(path, cls.folder.name), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(PATIENCE * 10):
            try:
                socket.create_connection(("127.0.0.1", cls.port), 1).close()
                break
            except OSError:
                time.sleep(0.1)

    @classmethod
    def tearDownClass(cls):
        cls.proxy.terminate()
        cls.proxy.wait(PATIENCE)
        cls.echo.stop()
        cls.folder.cleanup()

    def probe(self, tag):
        data = exchange(self.port, b"GET /echo/%s-probe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % tag.encode())
        return answers(data)

    def test_every_answer_has_its_request(self):
        def run(vector):
            tag, _, data = vector
            return answers(exchange(self.port, data)), self.probe(tag)

        results = in_parallel(run, VECTORS)
        arrived = {}
        for path in self.echo.seen():
            arrived.setdefault(path.split("/")[-1][:5], []).append(path)
        passed = 0
        for (tag, name, _), (found, probed) in zip(VECTORS, results):
            with self.subTest(name):
                relayed = [json.loads(body)["path"] for status, _, body in found if status == 200]
                passed += len(relayed) > 0
                self.assertEqual([status for status, _, _ in probed], [200])
                self.assertEqual(json.loads(probed[0][2])["path"], f"/echo/{tag}-probe")
                # Each request that arrived was answered to the one who sent it; none came out of a body.
                self.assertEqual(sorted(arrived.get(tag, [])), sorted(relayed + [f"/echo/{tag}-probe"]))
                self.assertTrue(all(tag in path for path in relayed), relayed)
        self.assertGreater(passed, 50)


class BehindHaproxy(Behind):
    program = "haproxy"

    @staticmethod
    def config(folder, port, back):
        return (f"global\n  maxconn 500\ndefaults\n  mode http\n  timeout connect 20s\n  timeout client 5s\n"
                f"  timeout server 30s\n  timeout http-request 2s\n  timeout http-keep-alive 2s\n  http-reuse always\n"
                f"frontend f\n  bind 127.0.0.1:{port}\n  default_backend b\n"
                f"backend b\n  retries 0\n  server s 127.0.0.1:{back}\n")

    @staticmethod
    def command(path, folder):
        return ["haproxy", "-db", "-f", path]


class BehindNginx(Behind):
    program = "nginx"

    @staticmethod
    def config(folder, port, back):
        temporary = "".join(f"  {kind}_temp_path {folder}/{kind};\n" for kind in
                            ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
        return (f"daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/error.log;\n"
                f"events {{ worker_connections 1000; }}\nhttp {{\n  access_log off;\n{temporary}"
                f"  client_header_timeout 2s;\n  client_body_timeout 2s;\n  keepalive_timeout 2s;\n"
                f"  upstream back {{ server 127.0.0.1:{back}; keepalive 8; }}\n"
                f"  server {{\n    listen 127.0.0.1:{port};\n    location / {{\n      proxy_pass http://back;\n"
                f"      proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n      proxy_next_upstream off;\n"
                f"      proxy_request_buffering off;\n    }}\n  }}\n}}\n")

    @staticmethod
    def command(path, folder):
        return ["nginx", "-c", path, "-p", folder]


del Behind  # the base alone has nothing to test

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    _, rest = parser.parse_known_args(namespace=options)
    unittest.main(argv=[sys.argv[0], *rest])
