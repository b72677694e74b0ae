#!/usr/bin/python3
"""Makes tests/server/jwt_vectors.h: tests/server/make_jwt_vectors.py > tests/server/jwt_vectors.h

Tokens that a verifier must take and tokens that it must refuse, made with PyJWT and python3-cryptography (Debian:
python3-jwt, python3-cryptography), and the published examples of RFC 7515 and RFC 8037. The keys are made anew each time
and thrown away.
"""
import base64
import hashlib
import hmac
import json

import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

NOW = 1800000000
ISSUER, AUDIENCE = "https://issuer.example", "mote"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
CLAIMS = {"iss": ISSUER, "aud": AUDIENCE, "sub": "camera-7", "exp": NOW + 600, "scope": "chat embed"}

SECRET = b"a secret of some forty bytes, for tests!"
RSA = rsa.generate_private_key(65537, 2048)
OTHER_RSA = rsa.generate_private_key(65537, 2048)
SMALL_RSA = rsa.generate_private_key(65537, 1024)
P256 = ec.generate_private_key(ec.SECP256R1())
OTHER_P256 = ec.generate_private_key(ec.SECP256R1())
K256 = ec.generate_private_key(ec.SECP256K1())
P384 = ec.generate_private_key(ec.SECP384R1())
ED = ed25519.Ed25519PrivateKey.generate()
OTHER_ED = ed25519.Ed25519PrivateKey.generate()
ED448 = ed448.Ed448PrivateKey.generate()


def public(key):
    return key.public_key().public_bytes(serialization.Encoding.PEM,
                                         serialization.PublicFormat.SubjectPublicKeyInfo).decode()


# What a private key looks like in its file; a real one has no place in a repository.
PRIVATE = "-----BEGIN {}PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END {}PRIVATE KEY-----\n"


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def raw(key, data):
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


SIGN = {
    "HS256": lambda data, key=SECRET: hmac.new(key, data, hashlib.sha256).digest(),
    "RS256": lambda data, key=RSA: key.sign(data, padding.PKCS1v15(), hashes.SHA256()),
    "ES256": lambda data, key=P256: raw(key, data),
    "EdDSA": lambda data, key=ED: key.sign(data),
}


def signed_text(head, body, alg="ES256", **key):
    """A token of two texts, right or wrong, with a signature that fits them."""
    data = f"{b64(head.encode())}.{b64(body.encode())}".encode()
    return f"{data.decode()}.{b64(SIGN[alg](data, **key))}"


def signed(header=None, alg="ES256", key=None, **claims):
    """A token with these headers and claims over the usual ones; None takes one away."""
    head = {"alg": alg, "typ": "JWT", **(header or {})}
    body = {**CLAIMS, **claims}
    strip = lambda table: json.dumps({k: v for k, v in table.items() if v is not None}, separators=(",", ":"))
    return signed_text(strip(head), strip(body), alg, **({"key": key} if key else {}))


def with_signature(signature, alg="ES256"):
    """The usual token of `alg` under another signature: bytes, or what makes them of the text that is signed."""
    data = signed(alg=alg).rsplit(".", 1)[0]
    return f"{data}.{b64(signature(data.encode()) if callable(signature) else signature)}"


def respell(token, part, change):
    parts = token.split(".")
    parts[part] = change(parts[part])
    return ".".join(parts)


def loose_bits(text):
    """The same bytes, spelt with bits that no byte takes up."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(text) % 4 in (2, 3)
    return text[:-1] + alphabet[alphabet.index(text[-1]) | 1]


def good():
    for alg, key in [("HS256", SECRET), ("RS256", RSA), ("ES256", P256), ("EdDSA", ED)]:
        yield f"{alg} of PyJWT", jwt.encode(CLAIMS, key, algorithm=alg)
        yield f"{alg} of our own", signed(alg=alg)
    yield "kid that is configured", jwt.encode(CLAIMS, ED, algorithm="EdDSA", headers={"kid": "ed-1"})
    yield "kid where the key has none", jwt.encode(CLAIMS, P256, algorithm="ES256", headers={"kid": "whatever"})
    yield "no typ", signed({"typ": None})
    yield "typ of access tokens", signed({"typ": "at+jwt"})
    yield "typ with application/", signed({"typ": "application/at+JWT"})
    yield "thumbprint of a certificate", signed({"x5t": "abc"})
    yield "list of audiences", signed(aud=["other", AUDIENCE])
    yield "expired within the skew", signed(exp=NOW - 59)
    yield "not before, within the skew", signed(nbf=NOW + 60)
    yield "issued within the skew", signed(iat=NOW + 60)
    yield "fraction of a second", signed(exp=NOW + 0.5)
    yield "scp as text", signed(scope=None, scp="chat embed")
    yield "scp as a list", signed(scope=None, scp=["chat", "embed"])
    yield "scopes of other services, too", signed(scope="openid mote:chat email mote:embed")
    yield "claims that mean nothing here", signed(azp="x", nested={"a": [1, {"b": None}]})


def bad_signatures():
    wrong = "signature"
    for alg, key in [("HS256", b"another secret of the same length 0123456"), ("RS256", OTHER_RSA),
                     ("ES256", OTHER_P256), ("EdDSA", OTHER_ED)]:
        yield f"{alg} with another key", signed(alg=alg, key=key), wrong
        yield f"{alg} with an empty signature", respell(signed(alg=alg), 2, lambda s: ""), "no base64url"
        yield f"{alg} cut short", with_signature(lambda d, a=alg: SIGN[a](d)[:-1], alg), wrong
        yield f"{alg} a byte longer", with_signature(lambda d, a=alg: SIGN[a](d) + b"\0", alg), wrong
        yield f"{alg} all zero", with_signature(bytes(256 if alg == "RS256" else 32 if alg == "HS256" else 64), alg), wrong
        yield f"{alg} of other claims", ".".join(signed(alg=alg, sub="x").split(".")[:2] + signed(alg=alg).split(".")[2:]), wrong
        yield f"{alg} of another header", ".".join(signed(alg=alg).split(".")[:1] + signed({"x": 1}, alg=alg).split(".")[1:]), wrong
    one = (1).to_bytes(32, "big")
    order, above, most = (n.to_bytes(32, "big") for n in (ORDER, ORDER + 1, 2**256 - 1))
    for name, r, s in [("r zero", bytes(32), one), ("s zero", one, bytes(32)), ("r the order", order, one),
                       ("s the order", one, order), ("r above the order", above, one), ("s all ones", one, most),
                       ("both the order", order, order), ("one and one", one, one)]:
        yield f"ES256 {name}", with_signature(r + s), wrong
    yield "ES256 in ASN.1", with_signature(lambda d: P256.sign(d, ec.ECDSA(hashes.SHA256()))), wrong
    yield "ES256 r and s with a byte between", with_signature(lambda d: raw(P256, d)[:32] + b"\0" + raw(P256, d)[32:]), wrong
    yield "ES256 by a key of secp256k1", signed(key=K256), wrong
    yield "ES256 over SHA-384", with_signature(
        lambda d: b"".join(n.to_bytes(32, "big") for n in decode_dss_signature(P256.sign(d, ec.ECDSA(hashes.SHA384()))))), wrong
    yield "RS256 with PSS", with_signature(
        lambda d: RSA.sign(d, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()), "RS256"), wrong
    yield "RS256 over SHA-1", with_signature(lambda d: RSA.sign(d, padding.PKCS1v15(), hashes.SHA1()), "RS256"), wrong
    yield "HS256 cut to 16 bytes", with_signature(lambda d: SIGN["HS256"](d)[:16], "HS256"), wrong
    yield "HS256 as hex", with_signature(lambda d: SIGN["HS256"](d).hex().encode(), "HS256"), wrong
    yield "HS256 with an empty secret", with_signature(lambda d: SIGN["HS256"](d, b""), "HS256"), wrong


def bad_algorithms():
    wrong = "not configured"
    body = json.dumps(CLAIMS)
    for none in ["none", "None", "NONE", "nOnE", ""]:
        head = json.dumps({"alg": none, "typ": "JWT"})
        yield f"alg \"{none}\" without a signature", f"{b64(head.encode())}.{b64(body.encode())}.", "no base64url"
        yield f"alg \"{none}\" with a right signature", signed_text(head, body), wrong
    for alg in ["HS384", "HS512", "RS384", "PS256", "ES384", "ES256K", "es256", "ES256 ", "EdDSA\0", "Ed448", "dir", "A128KW"]:
        yield f"alg {alg!r}", signed_text(json.dumps({"alg": alg}), body), wrong
    # The classic one: the public key, which everybody has, as the secret.
    for name, key in [("RSA", RSA), ("P-256", P256), ("Ed25519", ED)]:
        pem = public(key).encode()
        yield f"HS256 with the {name} key as secret", signed(alg="HS256", key=pem), "signature"
        yield f"HS256 with the {name} key's text as secret", signed(alg="HS256", key=pem.rstrip(b"\n")), "signature"
    for claimed, real in [("RS256", "ES256"), ("ES256", "EdDSA"), ("EdDSA", "ES256"), ("HS256", "RS256"), ("ES256", "HS256")]:
        yield f"alg {claimed}, signed with {real}", signed_text(json.dumps({"alg": claimed}), body, real), "signature"
    yield "no alg", signed({"alg": None}), "no algorithm"
    for name, value in [("a number", 256), ("a list", ["ES256"]), ("null", "null"), ("an object", {"a": "ES256"})]:
        head = '{"alg":null}' if value == "null" else json.dumps({"alg": value})
        yield f"alg that is {name}", signed_text(head, body), "no algorithm"


def bad_headers():
    wrong = "not allowed"
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    for name, value in [("jku", "https://evil.example/keys"), ("x5u", "https://evil.example/x"), ("jwk", jwk),
                        ("x5c", ["MIIB"]), ("crit", ["exp"]), ("crit", []), ("b64", False), ("enc", "A128GCM"),
                        ("zip", "DEF"), ("cty", "JWT"), ("jku", "http://127.0.0.1/")]:
        yield f"header {name} {value!r}", signed({name: value}), wrong
    for kid in ["ed-2", "", "../../../../dev/null", "' OR 1=1 --", "ed-1\0", "ED-1"]:
        yield f"kid {kid!r}", signed({"kid": kid}, alg="EdDSA"), "not configured"
    for kid in [1, None, ["ed-1"], {"a": 1}, "x" * 257]:
        head = json.dumps({"alg": "EdDSA", "kid": kid})
        yield f"kid that is {str(kid)[:12]!r}", signed_text(head, json.dumps(CLAIMS), "EdDSA"), "kid"
    for typ in ["JWE", "secevent+jwt", "dpop+jwt", 1, ""]:
        yield f"typ {typ!r}", signed({"typ": typ}), "typ"


def bad_texts():
    head, body = '{"alg":"ES256"}', json.dumps(CLAIMS)
    usual = signed()
    yield "alg twice", signed_text('{"alg":"none","alg":"ES256"}', body), "no JSON object"
    yield "alg twice, once escaped", signed_text('{"alg":"ES256","\\u0061lg":"none"}', body), "no JSON object"
    yield "a claim twice", signed_text(head, body[:-1] + f',"exp":{NOW + 9}}}'), "no JSON object"
    yield "a key twice deep inside", signed_text(head, body[:-1] + ',"x":[{"a":1,"a":2}]}'), "no JSON object"
    yield "nesting", signed_text(head, body[:-1] + ',"x":' + "[" * 40 + "]" * 40 + "}"), "no JSON object"
    for name, text in [("list", "[]"), ("text", '"a"'), ("nothing", ""), ("half", body[:-1]), ("more behind", body + "x"),
                       ("two objects", body + body), ("a comment", body[:-1] + "/* */}"), ("NaN", body[:-1] + ',"x":NaN}'),
                       ("a mark of its encoding", "\ufeff" + body), ("a token", usual)]:
        yield f"claims that are {name}", signed_text(head, text), "no JSON object"
        yield f"header that is {name}", signed_text(text.replace(body, head), body), "no JSON object"
    data = b64(head.encode()).encode() + b"." + b64(body.encode().replace(b"camera", b"cam\xff\xfe")).encode()
    yield "claims that are no UTF-8", data.decode() + "." + b64(raw(P256, data)), "no JSON object"
    yield "padding", respell(usual, 2, lambda s: s + "=="), "no base64url"
    # 64 bytes of signature leave four bits over, 32 of HS256 two.
    yield "loose bits in a signature", respell(usual, 2, loose_bits), "no base64url"
    yield "loose bits in a shorter signature", respell(signed(alg="HS256"), 2, loose_bits), "no base64url"
    yield "the other alphabet", respell(usual, 2, lambda s: "+" + s[1:]), "no base64url"
    yield "a blank inside", respell(usual, 2, lambda s: s[:9] + " " + s[9:]), "no base64url"
    yield "a line break at the end", usual + "\n", "no base64url"
    yield "percent signs", respell(usual, 2, lambda s: s[:-1] + "%3D"), "no base64url"
    yield "blank in the header", respell(usual, 0, lambda s: s[:4] + " " + s[4:]), "no JSON object"
    for name, token in [("nothing", ""), ("dots", ".."), ("one part", "a"), ("two parts", usual.rsplit(".", 1)[0]),
                        ("four parts", usual + ".a"), ("five parts, as encrypted ones", usual + ".a.b"), ("three dots", "...")]:
        yield name, token, "the token"
    yield "8193 bytes", signed(x="y" * 8192)[:8193], "8192"
    yield "much too long, but right", signed(x="y" * 8192), "8192"


def bad_claims():
    for name, value in [("none", None), ("now, skew over", NOW - 60), ("long ago", 1), ("zero", 0)]:
        yield f"exp: {name}", signed(exp=value), "exp"
    for name in ["exp", "nbf", "iat"]:
        for value in ["1900000000", [], {}, True, -1, 1e300, 253402300800, str(NOW + 60)]:
            yield f"{name} that is {value!r}", signed(**{name: value}), "no number of seconds"
    yield "exp: null", signed_text('{"alg":"ES256"}', json.dumps({**CLAIMS, "exp": None})), "no number of seconds"
    yield "nbf: later", signed(nbf=NOW + 61), "nbf"
    yield "iat: later", signed(iat=NOW + 61), "iat"
    for value in [None, "", "https://issuer.example/", "https://ISSUER.example", "https://issuer.example.evil", [ISSUER], 1]:
        yield f"iss: {value!r}", signed(iss=value), "iss"
    for value in [None, "", "mote2", "Mote", "mot", [], ["other"], [[AUDIENCE]], {"mote": 1}, [AUDIENCE, 1], "mote other", True]:
        yield f"aud: {value!r}", signed(aud=value), "aud"
    for value in [None, "", 7, ["a"], "x" * 129, "a b", "a\nb", "caf\u00e9", "a\0b", "\x7f"]:
        yield f"sub: {str(value)[:9]!r}", signed(sub=value), "sub"
    for value in [1, {"chat": True}, [1], ["chat", None], True]:
        yield f"scope: {value!r}", signed(scope=value), "scope"
        yield f"scp: {value!r}", signed(scope=None, scp=value), "scope"


RFC_CLAIMS = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def published():
    """(name, algorithm, key as in its file, signed text, signature) of RFC 7515 A.1 to A.3 and RFC 8037 A.4."""
    number = lambda text: int.from_bytes(unb64(text), "big")
    pem = lambda key: key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    yield ("RFC 7515 A.1", "HS256",
           unb64("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"),
           "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." + RFC_CLAIMS, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    n = ("ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMs"
         "D1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdV"
         "MTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ")
    yield ("RFC 7515 A.2", "RS256", pem(rsa.RSAPublicNumbers(65537, number(n)).public_key()),
           "eyJhbGciOiJSUzI1NiJ9." + RFC_CLAIMS,
           "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZ"
           "cAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-e"
           "OkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw")
    point = ec.EllipticCurvePublicNumbers(number("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
                                          number("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"), ec.SECP256R1())
    yield ("RFC 7515 A.3", "ES256", pem(point.public_key()), "eyJhbGciOiJFUzI1NiJ9." + RFC_CLAIMS,
           "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q")
    yield ("RFC 8037 A.4", "EdDSA",
           pem(ed25519.Ed25519PublicKey.from_public_bytes(unb64("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"))),
           "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
           "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")


def literal(data):
    """A C string of any bytes, in pieces that no digit can lengthen."""
    data = data.encode() if isinstance(data, str) else data
    plain = lambda byte: chr(byte) if 0x20 <= byte < 0x7f and chr(byte) not in '"\\?' else f"\\{byte:03o}"
    return f'std::string_view("{"".join(map(plain, data))}", {len(data)})'


def table(kind, name, rows):
    print(f"\ninline const {kind} {name}[] = {{")
    for row in rows:
        print("    {" + ", ".join(literal(cell) for cell in row) + "},")
    print("};")


def main():
    refused = [*bad_signatures(), *bad_algorithms(), *bad_headers(), *bad_texts(), *bad_claims()]
    names = [row[0] for row in refused]
    assert len(set(names)) == len(names), "two vectors with one name"
    print("// Tokens for jwt_test.cc: generated by tests/server/make_jwt_vectors.py.")
    print("#ifndef MOTE_TESTS_SERVER_JWT_VECTORS_H_\n#define MOTE_TESTS_SERVER_JWT_VECTORS_H_\n")
    print("#include <stdint.h>\n\n#include <string_view>\n\nnamespace mote::server::vectors {\n")
    print(f"inline constexpr int64_t kNow = {NOW};")
    print(f'inline constexpr char kIssuer[] = "{ISSUER}";\ninline constexpr char kAudience[] = "{AUDIENCE}";')
    print("struct Good {\n  std::string_view name, token;\n};")
    print("struct Bad {\n  std::string_view name, token, why;\n};")
    print("// A key as its file has it.\nstruct KeyText {\n  std::string_view algorithm, id, bytes;\n};")
    print("struct Published {\n  std::string_view name, algorithm, key, text, signature;\n};")
    table("KeyText", "kKeys", [("HS256", "", SECRET), ("RS256", "", public(RSA)), ("ES256", "", public(P256)),
                               ("EdDSA", "ed-1", public(ED))])
    table("KeyText", "kWrongKeys",
          [("RS256", "an RSA key of 2048", public(SMALL_RSA)), ("RS256", "an RSA key", public(P256)),
           ("RS256", "an RSA key", public(ED)), ("ES256", "P-256", public(RSA)), ("ES256", "P-256", public(K256)),
           ("ES256", "P-256", public(P384)), ("ES256", "P-256", public(ED)), ("EdDSA", "Ed25519", public(ED448)),
           ("EdDSA", "Ed25519", public(P256)), ("HS256", "is PEM", public(RSA)), ("RS256", "private key", PRIVATE.format("RSA ", "RSA ")),
           ("ES256", "private key", PRIVATE.format("EC ", "EC ")), ("EdDSA", "private key", PRIVATE.format("", "")), ("HS256", "is PEM", PRIVATE.format("", "")),
           ("HS256", "32 or more", b"x" * 31), ("HS256", "32 or more", b"x" * 31 + b"\n"), ("HS256", "32 or more", b""),
           ("RS256", "in PEM", b""), ("ES256", "in PEM", b"x" * 100), ("EdDSA", "in PEM", public(ED)[:60])])
    table("Published", "kPublished", published())
    table("Good", "kGood", good())
    table("Bad", "kBad", refused)
    print("\n}  // namespace mote::server::vectors\n\n#endif  // MOTE_TESTS_SERVER_JWT_VECTORS_H_")


if __name__ == "__main__":
    main()
