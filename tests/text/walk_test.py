#!/usr/bin/python3
"""Judges texts that the engine's grammars make: walk_test.py WALK_TOOL [SEED]

Schemas (schemas.json): every text of a random walk must be valid for Python's jsonschema. GBNF: grammars made at random,
matched here by trying everything, must take the same texts in the engine. Skipped (exit 77) without python3-jsonschema.
"""
import datetime
import json
import os
import random
import re
import subprocess
import sys
import uuid

try:
    import jsonschema
except ImportError:
    print("walk_test: SKIPPED: python3-jsonschema is missing")
    sys.exit(77)

WALKS = 40  # of each schema


class Tool:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, kind, source, seed=0, count=0, texts=()):
        """Returns an error's text, or a list of texts (None: a walk that did not end) and a list of verdicts."""
        source = source.encode()
        parts = [f"{kind} {len(source)} {seed} {count} {len(texts)}\n".encode(), source]
        for text in texts:
            parts += [f"{len(text)}\n".encode(), text]
        self.process.stdin.write(b"".join(parts))
        self.process.stdin.flush()
        head = self.process.stdout.readline().split()
        if head[0] == b"error":
            return self.process.stdout.read(int(head[1])).decode(), None
        made = []
        for _ in range(count):
            size = int(self.process.stdout.readline())
            made.append(self.process.stdout.read(max(size, 0)) if size >= 0 else None)
        verdicts = self.process.stdout.readline().strip().decode()
        return made, [c == "1" for c in verdicts]


def check_format(name, value):
    """jsonschema leaves several of these to packages that Debian does not install with it."""
    if name == "date":
        datetime.date.fromisoformat(value)
    elif name == "date-time":
        datetime.datetime.fromisoformat(value)
    elif name == "time":
        datetime.time.fromisoformat(value)
    elif name == "uuid":
        assert str(uuid.UUID(value)) == value.lower()
    elif name == "ipv4":
        assert [str(int(part)) for part in value.split(".")] == value.split(".")
        assert len(value.split(".")) == 4 and all(int(part) < 256 for part in value.split("."))
    elif name == "hostname":
        assert len(value) < 254 and all(re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", p) for p in value.split("."))
    elif name == "email":
        assert re.fullmatch(r"[A-Za-z0-9_+.-]{1,64}@([a-z0-9-]+\.)+[a-z]+", value) and ".." not in value
    elif name == "uri":
        assert re.fullmatch(r"https?://[a-z0-9.-]+(:\d+)?(/[^\s?#]*)?(\?[^\s#]*)?", value)
    else:
        raise ValueError(f"no check for format {name}")


def fail(what):
    print("walk_test: FAILED:", what)
    sys.exit(1)


def check_schemas(tool, seed):
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "schemas.json"), encoding="utf-8") as file:
        schemas = json.load(file)
    judged = 0
    for index, schema in enumerate(schemas):
        source = json.dumps(schema, ensure_ascii=index % 2 == 0)
        made, _ = tool.ask("schema", source, seed + index, WALKS)
        if isinstance(made, str):
            fail(f"{source} is refused: {made}")
        jsonschema.Draft202012Validator.check_schema(schema)
        validator = jsonschema.Draft202012Validator(schema)
        for text in made:
            if text is None:
                fail(f"{source}: a walk did not end")
            try:
                value = json.loads(text.decode("utf-8"), parse_constant=lambda c: fail(f"{source}: {c}"))
                json.dumps(value, ensure_ascii=False).encode("utf-8")  # no halves of surrogate pairs
                validator.validate(value)
                if isinstance(schema, dict) and "format" in schema:
                    check_format(schema["format"], value)
            except (ValueError, AssertionError, jsonschema.ValidationError) as error:
                fail(f"{source}\n  made {text!r}\n  which is not valid: {error}")
            if re.search(rb"[ \t\n]{35}", re.sub(rb'"[^"]*"', b"", text)):
                fail(f"{source}: blanks without end in {text!r}")
            judged += 1
    return len(schemas), judged


def check_any_object(tool, seed):
    made, _ = tool.ask("json", "", seed, 300)
    for text in made:
        if text is None:
            fail("any object: a walk did not end")
        if not isinstance(json.loads(text.decode("utf-8")), dict):
            fail(f"any object: {text!r}")
    samples = [{}, {"a": 1}, {"a": [1, -2.5e-3, "x\n\u00e9\U0001f600", None, True, False, {"b": {}}, []]}]
    texts = [json.dumps(s, ensure_ascii=a, indent=i).encode() for s in samples for a in (False,) for i in (None, 2, 4, "\t")]
    wrong = [b"", b"[]", b"1", b'{"a"}', b'{"a":1,}', b'{"a":01}', b"{'a':1}", b'{"a":1}}', b'{"a":NaN}', b'{"a":"\n"}',
             b'{"a":"\xff"}', b'{"a":"\\ud800"}', b'{,}', b'{"a":.5}', b'{"a":+1}', b'{"a":"\\x41"}']
    _, verdicts = tool.ask("json", "", 0, 0, texts + wrong)
    for text, verdict in zip(texts + wrong, verdicts):
        if verdict != (text in texts):
            fail(f"any object: {text!r} is {'taken' if verdict else 'refused'}")
    return len(made)


class Grammar:
    """A random grammar as a tree: written as GBNF, and matched by the sets of places where a part can end."""

    def __init__(self, rng):
        self.rng = rng
        self.rules = {}
        names = ["root", "r1", "r2", "r3"]
        for i, name in enumerate(names):
            body = self.make(3, names[i + 1:], names)
            self.rules[name] = ("alt", [body, ("lit", rng.choice(["a", "b", ""]))]) if rng.random() < 0.5 else body

    def make(self, depth, later, every):
        """`later`: rules that may stand anywhere. All rules may stand after a literal, beside a way that ends."""
        rng = self.rng
        kind = rng.choice(["lit", "class", "seq", "alt", "rep", "ref", "deep"]) if depth > 0 else rng.choice(["lit", "class"])
        if kind == "lit":
            return ("lit", rng.choice(["a", "b", "c", "ab", "bc", "abc", "", "\u00e9"]))
        if kind == "class":
            return ("class", rng.choice(["ab", "bc", "a", "abc\u00e9"]), rng.random() < 0.2)
        if kind in ("seq", "alt"):
            return (kind, [self.make(depth - 1, later, every) for _ in range(rng.randint(1, 3))])
        if kind == "rep":
            low = rng.randint(0, 3)
            high = rng.choice([None, low + rng.randint(0, 3)])
            return ("rep", self.make(depth - 1, later, every), low, high)
        if kind == "ref" and later:
            return ("ref", rng.choice(later))
        return ("alt", [("lit", rng.choice("abc")), ("seq", [("lit", rng.choice("abc")), ("ref", rng.choice(every))])])

    def gbnf(self, node):
        kind = node[0]
        if kind == "lit":
            return '"' + node[1] + '"'
        if kind == "class":
            return "[" + ("^" if node[2] else "") + node[1] + "]"
        if kind == "ref":
            return node[1]
        if kind == "rep":
            low, high = node[2], node[3]
            mark = {(0, None): "*", (1, None): "+", (0, 1): "?"}.get((low, high))
            if mark is None or self.rng.random() < 0.3:
                mark = "{%d}" % low if low == high else "{%d,%s}" % (low, "" if high is None else high)
            return "(" + self.gbnf(node[1]) + ")" + mark
        glue = " " if kind == "seq" else " | "
        return "(" + glue.join(self.gbnf(child) for child in node[1]) + ")"

    def text(self):
        return "\n".join(f"{name} ::= {self.gbnf(body)}" for name, body in self.rules.items()) + "\n"

    def ends(self, node, text, at, memo):
        key = (id(node), at)
        if key not in memo:
            memo[key] = self.find_ends(node, text, at, memo)
        return memo[key]

    def find_ends(self, node, text, at, memo):
        kind = node[0]
        if kind == "lit":
            return {at + len(node[1])} if text.startswith(node[1], at) else set()
        if kind == "class":
            return {at + 1} if at < len(text) and (text[at] in node[1]) != node[2] else set()
        if kind == "ref":
            return self.ends(self.rules[node[1]], text, at, memo)
        if kind == "alt":
            return set().union(*(self.ends(child, text, at, memo) for child in node[1]))
        if kind == "seq":
            now = {at}
            for child in node[1]:
                now = set().union(*(self.ends(child, text, place, memo) for place in now)) if now else now
            return now
        low, high = node[2], node[3]
        now, found = {at}, {at} if low == 0 else set()
        for count in range(1, (len(text) + low if high is None else high) + 1):
            now = set().union(*(self.ends(node[1], text, place, memo) for place in now)) if now else now
            if count >= low:
                found |= now
        return found


def check_gbnf(tool, seed):
    rng = random.Random(seed)
    compared = taken = grammars = 0
    for _ in range(400):
        grammar = Grammar(rng)
        source = grammar.text()
        texts = ["".join(rng.choice("abc\u00e9" if rng.random() < 0.1 else "abc") for _ in range(rng.randint(0, 7)))
                 for _ in range(25)]
        made, verdicts = tool.ask("gbnf", source, seed, 8, [text.encode() for text in texts])
        if isinstance(made, str):
            if "can never end" not in made and "may begin with itself" not in made:
                fail(f"{source} is refused: {made}")
            continue
        grammars += 1
        # Texts that the grammar made itself, which are the longer ones that match.
        own = [text.decode() for text in made if text is not None and len(text) < 40]
        for text, verdict in list(zip(texts, verdicts)) + [(text, True) for text in own]:
            expected = len(text) in grammar.ends(grammar.rules["root"], text, 0, {})
            if expected != verdict:
                fail(f"{source}\n  {'takes' if verdict else 'refuses'} {text!r}; it should not")
            compared += 1
            taken += expected
    if grammars < 200 or taken < compared // 20 or taken > compared * 19 // 20:
        fail(f"the grammars are too plain: {grammars} of them, {taken} of {compared} texts taken")
    return grammars, compared


def main():
    tool = Tool(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    schemas, judged = check_schemas(tool, seed)
    objects = check_any_object(tool, seed)
    grammars, compared = check_gbnf(tool, seed)
    print(f"walk_test: {judged} texts of {schemas} schemas and {objects} objects are valid; "
          f"{compared} texts of {grammars} grammars agree")


if __name__ == "__main__":
    main()
