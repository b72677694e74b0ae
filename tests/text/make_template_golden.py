#!/usr/bin/python3
"""Writes the expected outputs of the chat template tests with Python's jinja2 (Debian: python3-jinja2).

The environment is the one in which Hugging Face's transformers renders chat templates. Run from anywhere:
  make_template_golden.py           writes templates/*.golden
  make_template_golden.py --check   exits 1 if a golden file is not what jinja2 gives today

A golden file is a sequence of records: a line "<key> <bytes>", then that many bytes, then a newline. The C++ test reads
nothing else, so it needs no Python and trusts no JSON reader of its own.
"""
import copy
import datetime
import json
import pathlib
import sys

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment

HERE = pathlib.Path(__file__).resolve().parent / "templates"
NOW = 1753142400  # 2025-07-22 00:00:00 UTC; the C++ test has the same number


class Generation(Extension):
    """{% generation %} only marks a region; its body is rendered as it stands."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def strftime_now(text):
    return datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).replace(tzinfo=None).strftime(text)


def environment(immutable):
    kind = ImmutableSandboxedEnvironment if immutable else SandboxedEnvironment
    env = kind(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = strftime_now
    return env


def record(key, text):
    data = text.encode()
    return b"%s %d\n%s\n" % (key.encode(), len(data), data)


def outcome(source, variables, immutable):
    try:
        return record("ok", environment(immutable).from_string(source).render(**variables))
    except Exception as error:  # whatever jinja2 or the template raises
        return record("error", type(error).__name__ + ": " + str(error))


def dump(value):
    return json.dumps(value, ensure_ascii=False)


def read_cases():
    all_tools = json.loads((HERE / "tools.json").read_text())
    tools = {"both": all_tools, "one": all_tools[:1]}
    cases = json.loads((HERE / "cases.json").read_text())
    for case in cases:
        case["tools"] = tools[case["tools"]] if "tools" in case else None
    return cases


def cases_golden(cases):
    out = b""
    for case in cases:
        out += record("case", case["name"])
        for message in case["messages"]:
            plain = isinstance(message["content"], str)
            extra = {k: v for k, v in message.items() if k != "role" and not (k == "content" and plain)}
            out += record("role", message["role"])
            out += record("content", message["content"] if plain else "")
            out += record("extra", dump(extra) if extra else "")
        out += record("tools", dump(case["tools"]) if case["tools"] else "")
        out += record("vars", dump(case["vars"]) if "vars" in case else "")
        out += record("prompt", "1" if case.get("add_generation_prompt", True) else "0")
    return out


def template_golden(source, cases):
    out = b""
    for case in cases:
        variables = {"messages": case["messages"], "tools": case["tools"], "documents": None,
                     "add_generation_prompt": case.get("add_generation_prompt", True),
                     "bos_token": "<s>", "eos_token": "</s>"}
        variables.update(case.get("vars", {}))
        out += record("case", case["name"]) + outcome(source, copy.deepcopy(variables), True)
    return out


def snippets_golden():
    variables, *snippets = (HERE / "snippets.txt").read_bytes().decode().split("\n----\n")
    out = record("vars", variables)
    for snippet in snippets:
        out += record("source", snippet) + outcome(snippet, json.loads(variables), False)
    return out


def main():
    cases = read_cases()
    files = {"cases.golden": cases_golden(cases), "snippets.golden": snippets_golden()}
    for path in sorted(HERE.glob("*.jinja")):
        files[path.stem + ".golden"] = template_golden(path.read_bytes().decode(), cases)
    if sys.argv[1:] == ["--check"]:
        stale = [name for name, data in files.items() if not (HERE / name).exists() or (HERE / name).read_bytes() != data]
        stale += [path.name for path in HERE.glob("*.golden") if path.name not in files]
        if stale:
            print("not what jinja2", jinja2.__version__, "gives:", *sorted(stale), file=sys.stderr)
            sys.exit(1)
        return
    if sys.argv[1:]:
        sys.exit(__doc__)
    for name, data in files.items():
        (HERE / name).write_bytes(data)


if __name__ == "__main__":
    main()
