#!/usr/bin/python3
"""Can one key's holder tell from a server's times what another has asked?

  tenants.py URL KEY OTHER_KEY [--probes 2000] [-p 48]

The first key asks a random prompt. Then it or the other one asks that prompt and one that nobody has asked, in either order, a
token each. Printed is, for both, how often the new one took longer (the area under the curve of an attack by the time:
0.5 is a guess, 1 is certain). The other key should be at 0.45 to 0.55; the first one's own shows that the measure can tell.
Needs POST /v1/completions with prompts of token ids. The server should have nothing else to do.
"""
import argparse
import http.client
import json
import random
import sys
import time
import urllib.parse


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("keys", nargs=2, metavar="KEY")
    parser.add_argument("--probes", type=int, default=2000, help="of the other key; a third as many of the first's own")
    parser.add_argument("-p", "--prompt", type=int, default=48)
    options = parser.parse_args()
    address = urllib.parse.urlsplit(options.url)
    connection = http.client.HTTPConnection(address.hostname, address.port or 80, timeout=60)
    chance = random.Random(5)

    def seconds(key, prompt):
        body = json.dumps({"prompt": prompt, "max_tokens": 1, "temperature": 0})
        begin = time.perf_counter()
        connection.request("POST", "/v1/completions", body,
                           {"authorization": "Bearer " + key, "content-type": "application/json"})
        reply = connection.getresponse()
        text = reply.read()
        if reply.status != 200:
            sys.exit(f"tenants.py: {reply.status} {text[:200]!r}")
        return time.perf_counter() - begin

    times = {key: ([], []) for key in options.keys}  # of prompts that were asked, and of new ones
    while sum(map(len, times[options.keys[1]])) < options.probes:
        asked, new = ([chance.randrange(300, 8000) for _ in range(options.prompt)] for _ in range(2))
        seconds(options.keys[0], asked)
        prober = options.keys[chance.randrange(4) > 0]
        pair = [(asked, 0), (new, 1)]
        chance.shuffle(pair)
        for prompt, which in pair:
            times[prober][which].append(seconds(prober, prompt))
    for name, key in zip(("its own key", "the other key"), options.keys):
        asked, new = times[key]
        longer = sum(n > a for n in new for a in asked) / max(1, len(new) * len(asked))
        print(f"{name}: {len(asked) + len(new)} probes, area {longer:.3f}")


if __name__ == "__main__":
    main()
