#!/usr/bin/python3
"""Two instances of mote behind Debian's haproxy with deploy/proxies/haproxy.cfg, one killed under load.

Two things of the file are another here: it checks its servers five times a second, and tells over a socket what it knows.

failover_test.py --program MOTE. Exits 77, aloud, without haproxy or without a model in the program.

Killed (SIGKILL): requests that were on it are told (an error in OpenAI's shape, or a body that ends before its end), all
others are answered, and none of those that came after it is lost. Ended (SIGTERM): nothing is lost at all. Conversations
keep to their instance as long as it is there.
"""
import argparse
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
import threading
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
CLIENTS = 6
failures = []


def check(passed, what):
    if not passed:
        failures.append(what)
        print("failover: FAILED: " + what)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Instance:
    """One mote serve; what it logs is what it served."""

    def __init__(self, program, folder, name, port):
        self.port = port
        self.log_path = os.path.join(folder, f"{name}.{time.monotonic_ns()}.log")
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MOTE_")}
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [program, "serve", "--port", str(port), "--log-format", "json", "--threads", "1", "--slots", "8",
                 "--cache-size", "0", "--lame-duck", "4", "--allowed-hosts", "mote,localhost"],
                env=environment, stdout=subprocess.DEVNULL, stderr=log)

    def served(self):
        """Ids of the requests that it answered whole, in OpenAI's protocol."""
        ids = set()
        with open(self.log_path, encoding="utf-8") as log:
            for line in log:
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                if event.get("event") == "request" and event.get("status") == 200 and "/v1/" in event.get("route", ""):
                    ids.add(event["id"])
        return ids

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path, headers={"Host": "mote"})
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def await_that(what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.05)
    return False


class Haproxy:
    """Debian's, with our file."""

    def __init__(self, program, folder, environment):
        with open(os.path.join(ROOT, "deploy/proxies/haproxy.cfg"), encoding="utf-8") as file:
            config = file.read()
        self.socket = os.path.join(folder, "haproxy.sock")
        for place, other in [("\nglobal\n", f"\nglobal\n  stats socket {self.socket}\n"), (" inter 1s ", " inter 200ms ")]:
            check(config.count(place) == 1, f"haproxy.cfg has one {place!r}")
            config = config.replace(place, other)
        path = os.path.join(folder, "haproxy.cfg")
        with open(path, "w", encoding="utf-8") as file:
            file.write(config)
        with open(os.path.join(folder, "haproxy.log"), "wb") as log:
            self.process = subprocess.Popen([program, "-db", "-f", path], env=environment, stdout=log, stderr=log)

    def up(self):
        """Names of the servers that it gives requests to, by its own checks."""
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(self.socket)
                sock.sendall(b"show stat\n")
                text = b"".join(iter(lambda: sock.recv(65536), b"")).decode()
        except OSError:
            return set()
        rows = [line.split(",") for line in text.splitlines() if line.startswith("mote,mote-")]
        # status, and how the last check ended: before the first check all count as up
        return {row[1] for row in rows if row[17] == "UP" and row[36] == "L7OK"}


class Load:
    """Clients that ask one question after the other, each in a conversation of its own."""

    def __init__(self, port):
        self.port = port
        self.stop = False
        self.lock = threading.Lock()
        self.results = []  # {id, session, begun, ended, fate}
        self.threads = [threading.Thread(target=self.run, args=(number,)) for number in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        count = 0
        while not self.stop:
            count += 1
            self.ask(f"failover-{number}-{count}", f"conversation-{number}")

    def ask(self, request_id, session):
        body = json.dumps({"messages": [{"role": "user", "content": f"Hello {request_id}"}], "max_tokens": 24,
                           "temperature": 0, "stream": True})
        result = {"id": request_id, "session": session, "begun": time.monotonic()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", "/v1/chat/completions", body, {
                "Content-Type": "application/json", "X-Request-Id": request_id, "X-Session-Id": session, "Host": "mote"})
            response = connection.getresponse()
            text = response.read().decode("utf-8", "replace")
            if response.status == 200:
                result["fate"] = "answered" if "data: [DONE]" in text and '"error":{' not in text else "silent"
            else:
                code = json.loads(text)["error"]["code"]
                result["fate"] = f"told {response.status} {code}"
        except (http.client.IncompleteRead, http.client.RemoteDisconnected, ConnectionResetError) as error:
            result["fate"] = "told " + type(error).__name__
        except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
            result["fate"] = f"lost {type(error).__name__}: {error}"
        connection.close()
        result["ended"] = time.monotonic()
        with self.lock:
            self.results.append(result)

    def answered(self, since):
        with self.lock:
            return sum(result["fate"] == "answered" and result["begun"] > since for result in self.results)

    def finish(self):
        self.stop = True
        for thread in self.threads:
            thread.join()
        return self.results


def kept_apart(results, instances):
    """Sessions by the instances that answered them."""
    homes = {}
    for index, instance in enumerate(instances):
        for result in results:
            if result["id"] in instance.served():
                homes.setdefault(result["session"], set()).add(index)
    return homes


def killed(front, instances):
    load = Load(front)
    check(await_that(lambda: load.answered(0) >= 4 * CLIENTS), "answers come before anything happens")
    homes = kept_apart(list(load.results), instances)
    check(homes and all(len(home) == 1 for home in homes.values()), f"conversations wander: {homes}")
    check(len({min(home) for home in homes.values()}) == 2, f"one instance has all conversations: {homes}")
    kill_time = time.monotonic()
    instances[0].process.send_signal(signal.SIGKILL)
    instances[0].process.wait()
    dead_time = time.monotonic()
    check(await_that(lambda: load.answered(dead_time) >= 6 * CLIENTS), "the other instance answers")
    results = load.finish()
    failed = [result for result in results if result["fate"] != "answered"]
    fates = sorted({result["fate"] for result in failed})
    print(f"failover: SIGKILL: {len(results)} requests, {len(failed)} ended by it {fates}")
    check(all(fate.startswith("told") for fate in fates), f"clients were not told: {fates}")
    for result in failed:
        check(result["begun"] <= dead_time and result["ended"] >= kill_time,
              f"{result['id']} failed and was not under way when the instance died: {result['fate']}")
    # Between the signal and the death a client may be refused at once, and ask again.
    check(sum(result["begun"] <= kill_time for result in failed) <= CLIENTS, "more failed than were under way")
    both = {result["id"] for result in failed} & instances[1].served()
    check(not both, f"the instance that lives answered these, and their clients do not know it: {both}")


def ended(front, instances):
    load = Load(front)
    check(await_that(lambda: load.answered(0) >= 2 * CLIENTS), "answers come before the drain")
    instances[0].process.send_signal(signal.SIGTERM)
    try:
        code = instances[0].process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        code = None
    check(code == 0, f"a drain ends with 0, not {code}")
    gone = time.monotonic()
    check(await_that(lambda: load.answered(gone) >= 2 * CLIENTS), "the other instance answers")
    results = load.finish()
    failed = [result["fate"] for result in results if result["fate"] != "answered"]
    print(f"failover: SIGTERM: {len(results)} requests, {len(failed)} failed {sorted(set(failed))}")
    check(not failed, "a drain lost requests")


def nobody_left(front, instances):
    instances[1].process.kill()
    instances[1].process.wait()
    check(await_that(lambda: get(front, "/ready") == 503), "503 where no instance is left")
    connection = http.client.HTTPConnection("127.0.0.1", front, timeout=10)
    connection.request("POST", "/v1/chat/completions", "{}", {"Host": "mote"})
    response = connection.getresponse()
    error = json.loads(response.read())["error"]
    check(response.status == 503 and error["code"] == "no_instance" and response.headers["Retry-After"] == "2",
          f"clients are told in OpenAI's shape: {response.status} {error}")
    connection.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    options = parser.parse_args()
    haproxy = shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if haproxy is None:
        print("failover: SKIPPED, haproxy is not installed")
        sys.exit(77)
    if subprocess.run([options.program, "serve", "--help"], capture_output=True, check=False).returncode != 0:
        print("failover: SKIPPED, this program has no server")
        sys.exit(77)
    version = subprocess.run([options.program, "--version"], capture_output=True, text=True, check=False).stdout
    if re.search(r"built-in model: none", version):
        print("failover: SKIPPED, the program carries no model")
        sys.exit(77)
    processes = []
    with tempfile.TemporaryDirectory() as folder:
        ports = [free_port(), free_port()]
        front = free_port()

        def start(number):
            instance = Instance(options.program, folder, f"mote-{number}", ports[number - 1])
            processes.append(instance.process)
            return instance

        try:
            instances = [start(1), start(2)]
            environment = dict(os.environ, LISTEN=f"127.0.0.1:{front}", MOTE_1=f"127.0.0.1:{ports[0]}",
                               MOTE_2=f"127.0.0.1:{ports[1]}")
            proxy = Haproxy(haproxy, folder, environment)
            processes.append(proxy.process)
            both = {"mote-1", "mote-2"}
            up = await_that(lambda: proxy.up() == both) and await_that(lambda: get(front, "/ready") == 200)
            check(up, "the instances and haproxy start:\n" + "".join(instance.log() for instance in instances))
            if up:
                killed(front, instances)
                check(await_that(lambda: proxy.up() == {"mote-2"}), "haproxy knows that one is gone")
                instances[0] = start(1)
                check(await_that(lambda: proxy.up() == both), "the killed one starts again")
                ended(front, instances)
                nobody_left(front, instances)
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()
                    process.wait()
    print(f"failover: {len(failures)} failures")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
