#!/usr/bin/python3
"""Who may do what, from outside: keys, tokens, certificates, browsers, limits; a wrong setting; no secret in the log."""
import base64
import hashlib
import hmac
import http.client
import json
import math
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

from support import Server, eventually, main, options

STORIES = "../shared/data/stories260K.gguf"
SECRET = b"a secret that the issuer and the server share"
CHEAP = "/v1/models"  # needs a key with the scope chat, and no computing


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(secret=SECRET, **claims):
    body = {"iss": "https://issuer.example", "aud": "mote", "sub": "camera-7", "exp": int(time.time()) + 600, "scope": "chat", **claims}
    text = f'{b64(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())}.{b64(json.dumps(body).encode())}'
    return f"{text}.{b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


def bearer(key):
    return {"Authorization": "Bearer " + key}


class Case(unittest.TestCase):
    def setUp(self):
        if not options.builtin and not os.path.exists(STORIES):
            self.skipTest(f"no model in the program, and {STORIES} is absent")
        self.folder = tempfile.TemporaryDirectory()
        self.keys = os.path.join(self.folder.name, "keys")

    def tearDown(self):
        self.folder.cleanup()

    def path(self, name, content=None):
        path = os.path.join(self.folder.name, name)
        if content is not None:
            with open(path, "wb") as file:
                file.write(content)
        return path

    def new_key(self, name, *words):
        done = subprocess.run(options.emulator + [options.program, "key", "new", "--file", self.keys, "--name", name, *words],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, check=True)
        return done.stdout.decode().strip()

    def revoke(self, name):
        subprocess.run(options.emulator + [options.program, "key", "revoke", name, "--file", self.keys],
                       stderr=subprocess.DEVNULL, timeout=60, check=True)

    def server(self, *words, **more):
        return Server(*words, model=STORIES if os.path.exists(STORIES) else None, **more)

    def refused(self, *words, env=None, code=2):
        """The last line of a server that must not start."""
        server = self.server(*words, env=env)
        with self.assertRaises(AssertionError):
            server.start()
        self.assertEqual(server.process.returncode, code, server.log)
        return server.log.strip().splitlines()[-1]


class Settings(Case):
    def test_a_wrong_one_stops_the_start_with_its_source(self):
        self.assertEqual(self.refused(env={"MAX_CONNECTIONS": "abc"}),
                         "mote: MAX_CONNECTIONS=abc (environment): must be 1 to 65535")
        self.assertEqual(self.refused("--slots", "0"), "mote: --slots 0 (command line): must be 1 to 4096")
        config = self.path("mote.conf", b"# settings\nslots = 2\nmax_conections = 5\n")
        self.assertEqual(self.refused("--config", config),
                         f'mote: {config}:3: unknown key "max_conections"; did you mean max_connections?')
        self.assertIn("did you mean --rate-limit", self.refused("--rate-limits", "5"))
        self.assertIn("No such file", self.refused("--key-file", self.path("absent"), code=1))

    def test_a_public_address_needs_a_guard(self):
        told = self.refused("--host", "0.0.0.0")
        self.assertIn("can be reached from other machines, and there are no keys", told)
        self.assertIn("--insecure", told)
        self.assertIn("api_key_required is off", self.refused("--host", "::", "--api-key", "0123456789abcdef", "--no-api-key-required"))

    def test_four_places_in_their_order(self):
        config = self.path("mote.conf", b"rate_limit = 1/h\n")
        for words, env, limit in [((), {}, "1"), ((), {"RATE_LIMIT": "2/h"}, "2"),
                                  ((), {"RATE_LIMIT": "2/h", "MOTE_RATE_LIMIT": "3/h"}, "3"),
                                  (("--rate-limit", "4/h"), {"RATE_LIMIT": "2/h", "MOTE_RATE_LIMIT": "3/h"}, "4")]:
            with self.server("--config", config, *words, env=env) as server:
                status, headers, _ = server.request("GET", CHEAP)
                self.assertEqual((status, headers["x-ratelimit-limit-requests"]), (200, limit))


class Keys(Case):
    def test_who_comes_in(self):
        keys = {name: self.new_key(name, "--scopes", name) for name in ["chat", "embed", "metrics"]}
        with self.server("--key-file", self.keys) as server:
            for path in ["/livez", "/ready", "/health"]:
                self.assertEqual(server.request("GET", path)[0], 200, path)
            for wrong in [{}, bearer("wrong"), bearer(""), {"Authorization": "Basic eDp5"}, {"x-api-key": keys["chat"][:-1]},
                          bearer(token())]:
                status, headers, text = server.request("GET", CHEAP, headers=wrong)
                self.assertEqual((status, headers["www-authenticate"]), (401, "Bearer"))
                self.assertEqual(json.loads(text)["error"]["code"], "invalid_api_key")
            for path, scope in [(CHEAP, "chat"), ("/metrics", "metrics"), ("/slots", "metrics")]:
                for name, key in keys.items():
                    status, _, text = server.request("GET", path, headers=bearer(key))
                    self.assertEqual(status, 200 if name == scope else 403, f"{path} with {name}: {text}")
            self.assertEqual(server.request("GET", CHEAP, headers={"x-api-key": keys["chat"]})[0], 200)

    def test_keys_come_and_go_while_requests_run(self):
        stays = self.new_key("stays")
        goes = self.new_key("goes")
        # Nobody reads the log while requests run: with a line of each it would be full, and lose the one looked for.
        with self.server("--key-file", self.keys, "--max-connections", "100", "--log-level", "warn") as server:
            stop, failures, done = threading.Event(), [], []

            def work():
                while not stop.is_set():
                    status, _, text = server.request("GET", CHEAP, headers=bearer(stays))
                    done.append(status)
                    if status != 200:
                        failures.append(text)

            workers = [threading.Thread(target=work) for _ in range(4)]
            for worker in workers:
                worker.start()
            try:
                self.assertEqual(server.request("GET", CHEAP, headers=bearer(goes))[0], 200)
                self.revoke("goes")
                eventually(lambda: server.request("GET", CHEAP, headers=bearer(goes))[0] == 401, "the key is refused")
                fresh = self.new_key("fresh")
                server.process.send_signal(signal.SIGHUP)
                eventually(lambda: server.request("GET", CHEAP, headers=bearer(fresh))[0] == 200, "the new key opens")
                for i in range(20):
                    self.new_key(f"more-{i}")
                    server.process.send_signal(signal.SIGHUP)
                # A wrong file is told, and the keys of before stay.
                with open(self.keys + ".new", "w", encoding="utf-8") as file:
                    file.write("nonsense\n")
                os.replace(self.keys + ".new", self.keys)  # whole at once: an empty file would be no keys, not a wrong one
                eventually(lambda: "nonsense" not in server.read_log(0.01) and "keys:1" in server.log, "the log says so")
                self.assertEqual(server.request("GET", CHEAP, headers=bearer(fresh))[0], 200)
            finally:
                stop.set()
                for worker in workers:
                    worker.join()
            self.assertEqual(failures, [])
            self.assertGreater(len(done), 20)

    def test_tokens(self):
        secret = self.path("secret", SECRET + b"\n")
        words = ["--jwt-keys", "HS256=" + secret, "--jwt-issuer", "https://issuer.example", "--jwt-audience", "mote"]
        with self.server(*words) as server:
            self.assertEqual(server.request("GET", CHEAP, headers=bearer(token()))[0], 200)
            self.assertEqual(server.request("GET", "/metrics", headers=bearer(token()))[0], 403)
            for wrong in [token(secret=b"another"), token(exp=1), token(aud="other"), token(iss="other"), token(sub=None),
                          token(nbf=time.time() + 1000), token()[:-2], "a.b.c"]:
                self.assertEqual(server.request("GET", CHEAP, headers=bearer(wrong))[0], 401)
            self.path("secret", b"the next secret, longer than 32 bytes")
            server.process.send_signal(signal.SIGHUP)
            eventually(lambda: server.request("GET", CHEAP, headers=bearer(token()))[0] == 401, "the old secret is gone")
            fresh = token(secret=b"the next secret, longer than 32 bytes")
            self.assertEqual(server.request("GET", CHEAP, headers=bearer(fresh))[0], 200)

    def test_no_secret_in_logs_and_metrics(self):
        key = self.new_key("watcher", "--scopes", "chat,metrics")
        secret = self.path("secret", SECRET)
        plain = "canary-of-the-plain-key-0123456789"
        shown = ["canary-wrong-key-0123456789", token(sub="canary-sub"), token(secret=b"canary"), "canary.of.forgeries"]
        with self.server("--key-file", self.keys, "--api-key", plain, "--jwt-keys", "HS256=" + secret, "--jwt-issuer",
                         "https://issuer.example", "--jwt-audience", "mote", "--log-level", "debug", "--log-format", "json") as server:
            for one in [key, plain, *shown]:
                for headers in [bearer(one), {"x-api-key": one}, {"Authorization": one}, {**bearer(one), "x-api-key": "x"}]:
                    server.request("GET", CHEAP, headers=headers)
                    server.request("GET", "/nowhere", headers=headers)
                    server.request("POST", "/v1/completions", {"prompt": 5}, headers=headers)
            status, _, metrics = server.request("GET", "/metrics", headers=bearer(key))
            self.assertEqual(status, 200)
            server.stop()
            for text in [server.log, metrics]:
                for one in [key, plain, *shown, SECRET.decode()]:
                    self.assertFalse(one in text, one)
                    self.assertFalse(one.rsplit(".")[-1] in text, one)  # the signature


class Limits(Case):
    def test_requests_of_a_key(self):
        first, second = self.new_key("first"), self.new_key("second", "--rate-limit", "2/h")
        with self.server("--key-file", self.keys, env={"RATE_LIMIT": "5/h"}) as server:
            for key, limit in [(first, 5), (second, 2)]:
                for i in range(limit):
                    status, headers, _ = server.request("GET", CHEAP, headers=bearer(key))
                    self.assertEqual((status, headers["x-ratelimit-remaining-requests"]), (200, str(limit - 1 - i)))
                status, headers, text = server.request("GET", CHEAP, headers=bearer(key))
                self.assertEqual((status, json.loads(text)["error"]["code"]), (429, "rate_limit"))
                self.assertTrue(3000 < int(headers["retry-after"]) <= 3713, headers["retry-after"])
            self.assertEqual(server.request("GET", "/health")[0], 200)

    def test_tokens_of_a_key(self):
        key, other = self.new_key("first", "--token-limit", "10/h"), self.new_key("other")
        body = {"prompt": "Once upon a time, there was a little", "max_tokens": 20, "ignore_eos": True}
        with self.server("--key-file", self.keys) as server:
            status, _, text = server.request("POST", "/v1/completions", body, headers=bearer(key))
            self.assertEqual(status, 200, text)
            self.assertGreater(json.loads(text)["usage"]["total_tokens"], 20)
            status, headers, text = server.request("POST", "/v1/completions", body, headers=bearer(key))
            self.assertEqual((status, json.loads(text)["error"]["code"]), (429, "token_limit"))
            self.assertGreater(int(headers["retry-after"]), 3600)
            self.assertEqual(server.request("POST", "/v1/completions", body, headers=bearer(other))[0], 200)

    def test_requests_at_once(self):
        key = self.new_key("one", "--concurrency", "1")
        body = {"prompt": "Once upon a time", "max_tokens": 4000, "ignore_eos": True}
        with self.server("--key-file", self.keys) as server:
            stream = server.stream("/v1/completions", body, headers=bearer(key))
            next(stream)
            status, headers, text = server.request("GET", CHEAP, headers=bearer(key))
            self.assertEqual((status, json.loads(text)["error"]["code"], headers["retry-after"]), (429, "concurrency_limit", "1"))
            stream.close()
            eventually(lambda: server.request("GET", CHEAP, headers=bearer(key))[0] == 200, "the place is free again")


    def test_a_rate_holds_over_time(self):
        """MOTE_SOAK: so many seconds, and more on a machine that is too busy to ask too often."""
        seconds = float(os.environ.get("MOTE_SOAK", "1"))
        key = self.new_key("first", "--rate-limit", "20/s")
        with self.server("--key-file", self.keys) as server:
            statuses = []
            begin = time.monotonic()

            def ask():
                while time.monotonic() < begin + seconds or (429 not in statuses and time.monotonic() < begin + 60):
                    statuses.append(server.request("GET", CHEAP, headers=bearer(key))[0])

            threads = [threading.Thread(target=ask) for _ in range(4)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            windows = math.ceil(time.monotonic() - begin) + 1
            self.assertEqual(set(statuses), {200, 429})
            self.assertLessEqual(statuses.count(200), 20 * windows)
            self.assertGreaterEqual(statuses.count(200), 20)


class Reloading(Case):
    def test_keys_come_and_go_under_load(self):
        key = self.new_key("steady")
        with self.server("--key-file", self.keys) as server:
            stop, wrong, served = threading.Event(), [], []

            def ask():
                while not stop.is_set():
                    status = server.request("GET", CHEAP, headers=bearer(key))[0]
                    (served if status == 200 else wrong).append(status)

            threads = [threading.Thread(target=ask) for _ in range(3)]
            for t in threads:
                t.start()
            for i in range(8):
                fresh = self.new_key(f"fresh-{i}")
                server.process.send_signal(signal.SIGHUP)
                eventually(lambda: server.request("GET", CHEAP, headers=bearer(fresh))[0] == 200, "a new key is known")
                self.revoke(f"fresh-{i}")
                server.process.send_signal(signal.SIGHUP)
                eventually(lambda: server.request("GET", CHEAP, headers=bearer(fresh))[0] == 401, "a revoked key is refused")
            eventually(lambda: len(served) >= 200, "a few hundred requests have been served")
            stop.set()
            for t in threads:
                t.join()
            self.assertEqual(wrong, [])


    def test_what_failed_is_not_said_to_be_done(self):
        self.new_key("steady")
        with self.server("--key-file", self.keys) as server:
            server.process.send_signal(signal.SIGHUP)
            eventually(lambda: server.read_log(0.01) is not None and "certificates and keys read again" in server.log, "both")
            with open(self.keys + ".new", "w", encoding="utf-8") as file:
                file.write("nonsense\n")
            os.replace(self.keys + ".new", self.keys)
            before = len(server.log)
            server.process.send_signal(signal.SIGHUP)
            eventually(lambda: server.read_log(0.01) is not None and "certificates read again" in server.log[before:], "one")
            self.assertIn("keys not reloaded; the old ones stay", server.log[before:])
            self.assertNotIn("keys read again", server.log[before:])


class Browsers(Case):
    def test_hosts_and_origins(self):
        with self.server("--cors-enabled", "--cors-origins", "https://app.example", "--allowed-hosts", "mote.internal") as server:
            for host, right in [("localhost", True), (f"127.0.0.1:{server.port}", True), ("mote.internal:80", True),
                                ("evil.example", False), ("localhost.evil.example", False), ("192.168.0.1", False)]:
                for path in [CHEAP, "/"]:
                    status, _, text = server.request("GET", path, headers={"Host": host})
                    self.assertEqual(status, 200 if right else 403, f"{host} {path}: {text}")
            for origin, right in [("https://app.example", True), (f"http://127.0.0.1:{server.port}", True), ("null", False),
                                  ("https://evil.example", False), ("https://app.example.evil.example", False)]:
                status, headers, _ = server.request("GET", CHEAP, headers={"Origin": origin})
                self.assertEqual(status, 200 if right else 403, origin)
                allowed = headers.get("access-control-allow-origin")
                self.assertEqual(allowed, "https://app.example" if origin == "https://app.example" else None)
                self.assertNotIn("access-control-allow-credentials", headers)

    def test_preflights(self):
        key = self.new_key("a")
        with self.server("--key-file", self.keys, "--cors-enabled", "--cors-origins", "https://app.example") as server:
            ask = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST",
                   "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os"}
            status, headers, _ = server.request("OPTIONS", "/v1/chat/completions", headers=ask)
            self.assertEqual((status, headers["access-control-allow-origin"]), (204, "https://app.example"))
            self.assertEqual(headers["access-control-allow-headers"], "authorization, content-type, x-stainless-os")
            status, headers, _ = server.request("OPTIONS", "/v1/chat/completions", headers={**ask, "Origin": "https://evil.example"})
            self.assertEqual(status, 403)
            self.assertNotIn("access-control-allow-origin", headers)
            # A refusal can be read by the page that may call.
            status, headers, _ = server.request("GET", CHEAP, headers={"Origin": "https://app.example"})
            self.assertEqual((status, headers["access-control-allow-origin"]), (401, "https://app.example"))
            status, _, _ = server.request("GET", CHEAP, headers={**bearer(key), "Origin": "https://app.example"})
            self.assertEqual(status, 200)


@unittest.skipUnless(shutil.which("openssl"), "openssl makes the certificates, and is absent")
class Certificates(Case):
    def openssl(self, *words):
        subprocess.run(["openssl", *words], cwd=self.folder.name, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)

    def authority(self, name):
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                     f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")

    def signed(self, name, authority, usage, days="2"):
        self.path(f"{name}.ext", f"extendedKeyUsage={usage}\nsubjectAltName=IP:127.0.0.1\n".encode())
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout",
                     f"{name}.key", "-out", f"{name}.csr")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
                     "-CAcreateserial", "-days", days, "-extfile", f"{name}.ext", "-out", f"{name}.pem")

    def get(self, server, path, client=None, version=None, headers=None):
        """The status, or None where TLS does not come to pass."""
        context = ssl.create_default_context(cafile=self.path("ca.pem"))
        if client:
            context.load_cert_chain(self.path(client + ".pem"), self.path(client + ".key"))
        if version:
            context.maximum_version = version
        connection = http.client.HTTPSConnection(server.host, server.port, timeout=60, context=context)
        try:
            connection.request("GET", path, headers=headers or {})
            return connection.getresponse().status
        except (ssl.SSLError, OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def test_the_matrix(self):
        self.authority("ca")
        self.authority("other")
        self.signed("server", "ca", "serverAuth")
        self.signed("camera", "ca", "clientAuth")
        self.signed("stranger", "other", "clientAuth")
        self.signed("wrong-use", "ca", "serverAuth")
        self.signed("expired", "ca", "clientAuth", days="-1")
        words = ["--tls-cert", self.path("server.pem"), "--tls-key", self.path("server.key"), "--tls-client-ca", self.path("ca.pem")]
        with self.server(*words) as server:
            self.assertEqual(self.get(server, CHEAP, "camera"), 200)
            self.assertEqual(self.get(server, "/metrics", "camera"), 200)
            for client in [None, "stranger", "wrong-use", "expired"]:
                self.assertIsNone(self.get(server, CHEAP, client), client)
            self.assertIsNone(self.get(server, CHEAP, "camera", ssl.TLSVersion.TLSv1_2))
        with self.server(*words, "--tls-min-version", "1.2") as server:
            self.assertEqual(self.get(server, CHEAP, "camera", ssl.TLSVersion.TLSv1_2), 200)
            self.assertIsNone(self.get(server, CHEAP, None, ssl.TLSVersion.TLSv1_2))
        key = self.new_key("a")
        with self.server(*words, "--key-file", self.keys, "--api-key-required") as server:
            self.assertEqual(self.get(server, CHEAP, "camera"), 401)
            self.assertEqual(self.get(server, CHEAP, "camera", headers=bearer(key)), 200)
            self.assertIsNone(self.get(server, CHEAP, None, headers=bearer(key)))


if __name__ == "__main__":
    main()
