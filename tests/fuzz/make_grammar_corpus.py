#!/usr/bin/python3
"""Writes the seeds of the grammar fuzz target: tests/fuzz/make_grammar_corpus.py [FOLDER]   (default: corpus/grammar)

Schemas come from tests/text/schemas.json, several to a file; besides, GBNF of every construct, and what broke other
engines: r1 deep nesting, r2 repeats, r3 left recursion, r4 references in circles, r5 patterns, r6 ambiguity. Running this
again writes the same bytes; inputs that a fuzzer found are added by hand and left alone.
"""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))

GBNF = {
    "g_json": r'''root ::= object
value ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws (string ":" ws value ("," ws string ":" ws value)*)? "}" ws
array ::= "[" ws (value ("," ws value)*)? "]" ws
string ::= "\"" ([^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}))* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= | " " | "\n" [ \t]{0,20}
''',
    "g_chess": 'root ::= "1. " move " " move "\\n" ([1-9] [0-9]? ". " move " " move "\\n")+\n'
               'move ::= (pawn | nonpawn | castle) [+#]?\nnonpawn ::= [NBKQR] [a-h]? [1-8]? "x"? [a-h] [1-8]\n'
               'pawn ::= ([a-h] "x")? [a-h] [1-8] ("=" [NBKQR])?\ncastle ::= "O-O" "-O"?\n',
    "g_list": 'root ::= item+\n# comment\nitem ::= "- " [^\\r\\n\\x0b\\x0c\\x85\\u2028\\u2029]+ "\\n"\n',
    "g_expr": 'root ::= (expr "=" term "\\n")+\nexpr ::= term ([-+*/] term)*\nterm ::= num | "(" expr ")"\nnum ::= [0-9]+\n',
    "g_unicode": 'root ::= [\u3041-\u309f\U0001F600-\U0001F64F]{1,4} . "\\U0001F680" [^\\u0000-\\uffff]?\n',
    "g_empty": 'root ::= "" | | ("")? a{0} a*\na ::= "" | "x"\n',
    "r1_parens": "root ::= " + "(" * 65 + '"a"' + ")" * 65,
    "r1_deepest": "root ::= " + "(" * 64 + '"a"' + ")*" * 64,
    "r2_repeats": 'root ::= (([a-z]{0,2000}){0,2000}){0,2000} ("ab"{3,5}){2,}',
    "r2_optionals": "root ::= " + '[a]? ("b"|"")? ' * 200,
    "r2_too_many": 'root ::= "a"{4294967296}',
    "r3_left": 'root ::= a\na ::= "x"? b\nb ::= a "y" | "z"\n',
    "r3_never": 'root ::= "x" root\n',
    "r6_palindromes": 'root ::= "a" root "a" | "b" root "b" | "" | "c"\n',
    "r6_pairs": 'root ::= s s\ns ::= [a-z] s s | [a-z]\n',
    "r6_unions": 'root ::= ("a" | "ab" | "abc" | [a-c]{1,3})*\n',
}
SCHEMAS = {
    "r4_self": {"$ref": "#"},
    "r4_circle": {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
    "r4_choice": {"type": "object", "anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
    "r4_tree": {"type": "object", "properties": {"l": {"$ref": "#"}, "r": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}},
    "r5_bomb": {"type": "string", "pattern": "^(a+)+$|((a*)*)*b|(a|a)*|(?:x{0,9}){0,9}"},
    "r5_classes": {"type": "string", "pattern": "^[^\\W_]+\\s[\\x00-\\u{1f600}]{2,3}?\\.\\/$"},
}


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "corpus", "grammar")
    os.makedirs(folder, exist_ok=True)
    files = {name: text for name, text in GBNF.items()}
    files.update({name: json.dumps(schema) for name, schema in SCHEMAS.items()})
    with open(os.path.join(HERE, "..", "text", "schemas.json"), encoding="utf-8") as file:
        schemas = [schema for schema in json.load(file) if isinstance(schema, dict)]
    for index in range(0, len(schemas), 12):
        files[f"s_{index // 12}"] = json.dumps(
            {"type": "object", "properties": {f"p{i}": s for i, s in enumerate(schemas[index:index + 12]) if "$ref" not in
                                              json.dumps(s)}}, ensure_ascii=False)
    for name, text in files.items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(text.encode())
    print(f"make_grammar_corpus: {len(files)} files in {folder}")


if __name__ == "__main__":
    main()
