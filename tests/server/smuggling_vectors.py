"""Requests that two programs on the way could read differently, as bytes: vectors() yields each with a name.

In each, TAG stands where the path has the vector's own name. The path /echo/TAG-inner stands in what some would read as
a request of its own, and others as a body or a header.
"""

INNER = b"GET /echo/TAG-inner HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /echo/TAG-last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

TRANSFER = {
    "none": b"",
    "plain": b"Transfer-Encoding: chunked\r\n",
    "case": b"tRANSFER-eNCODING: Chunked\r\n",
    "no space": b"Transfer-Encoding:chunked\r\n",
    "tab": b"Transfer-Encoding:\tchunked\r\n",
    "after": b"Transfer-Encoding: chunked \t\r\n",
    "space before colon": b"Transfer-Encoding : chunked\r\n",
    "tab before colon": b"Transfer-Encoding\t: chunked\r\n",
    "x": b"Transfer-Encoding: xchunked\r\n",
    "identity": b"Transfer-Encoding: identity\r\n",
    "list": b"Transfer-Encoding: identity, chunked\r\n",
    "list other": b"Transfer-Encoding: chunked, identity\r\n",
    "gzip": b"Transfer-Encoding: gzip, chunked\r\n",
    "comma": b"Transfer-Encoding: ,chunked\r\n",
    "twice in one": b"Transfer-Encoding: chunked, chunked\r\n",
    "twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "twice other": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n",
    "other twice": b"Transfer-Encoding: cow\r\nTransfer-Encoding: chunked\r\n",
    "empty": b"Transfer-Encoding:\r\n",
    "parameter": b"Transfer-Encoding: chunked;q=1\r\n",
    "quoted": b'Transfer-Encoding: "chunked"\r\n',
    "vertical tab": b"Transfer-Encoding: \x0bchunked\r\n",
    "form feed": b"Transfer-Encoding: chunked\x0c\r\n",
    "nul": b"Transfer-Encoding: chunked\x00\r\n",
    "nul in name": b"Transfer\x00-Encoding: chunked\r\n",
    "high": b"Transfer-Encoding: \xa0chunked\r\n",
    "fold": b"Transfer-Encoding:\r\n chunked\r\n",
    "fold before": b"X: y\r\n Transfer-Encoding: chunked\r\n",
    "bare lf": b"X: y\nTransfer-Encoding: chunked\r\n",
    "bare cr": b"X: y\rTransfer-Encoding: chunked\r\n",
    "cr cr lf": b"X: y\r\r\nTransfer-Encoding: chunked\r\n",
    "underscore": b"Transfer_Encoding: chunked\r\n",
    "escaped": b"X: y%0d%0aTransfer-Encoding: chunked\r\n",
    "escaped name": b"Transfer%2dEncoding: chunked\r\n",
}
LENGTH = {
    "none": b"",
    "zero": b"Content-Length: 0\r\n",
    "short": b"Content-Length: 5\r\n",
    "all": b"Content-Length: %d\r\n" % len(b"0\r\n\r\n" + INNER.replace(b"TAG", b"vNNNN")),
}
# Each before a body of five bytes and a request.
LENGTHS = {
    "five": b"Content-Length: 5\r\n",
    "leading zeros": b"Content-Length: 0005\r\n",
    "plus": b"Content-Length: +5\r\n",
    "minus": b"Content-Length: -5\r\n",
    "minus zero": b"Content-Length: -0\r\n",
    "hexadecimal": b"Content-Length: 0x5\r\n",
    "point": b"Content-Length: 5.0\r\n",
    "exponent": b"Content-Length: 5e0\r\n",
    "separator": b"Content-Length: 0_5\r\n",
    "list": b"Content-Length: 5, 5\r\n",
    "list other": b"Content-Length: 5, 47\r\n",
    "list comma": b"Content-Length: 5,\r\n",
    "semicolon": b"Content-Length: 5;47\r\n",
    "inner space": b"Content-Length: 4 7\r\n",
    "empty": b"Content-Length:\r\n",
    "blank": b"Content-Length: \t \r\n",
    "quoted": b'Content-Length: "5"\r\n',
    "nul": b"Content-Length: 5\x00\r\n",
    "vertical tab": b"Content-Length: \x0b5\r\n",
    "arabic digit": "Content-Length: \u0665\r\n".encode(),
    "superscript": b"Content-Length: \xb2\r\n",
    "twice": b"Content-Length: 5\r\nContent-Length: 5\r\n",
    "twice other": b"Content-Length: 5\r\nContent-Length: 47\r\n",
    "other twice": b"Content-Length: 47\r\nContent-Length: 5\r\n",
    "twice case": b"Content-Length: 5\r\ncontent-length: 47\r\n",
    "space before colon": b"Content-Length : 5\r\n",
    "fold": b"Content-Length:\r\n 5\r\n",
    "fold more": b"Content-Length: 5\r\n 7\r\n",
    "bare lf": b"X: y\nContent-Length: 5\r\n",
    "bare cr": b"X: y\rContent-Length: 5\r\n",
    "underscore": b"Content_Length: 5\r\n",
    "nominated": b"Connection: content-length\r\nContent-Length: 5\r\n",
    "2^32+5": b"Content-Length: 4294967301\r\n",
    "2^64+5": b"Content-Length: 18446744073709551621\r\n",
    "2^63": b"Content-Length: 9223372036854775808\r\n",
    "20 nines": b"Content-Length: 99999999999999999999\r\n",
}
# Each after a chunked head.
CHUNKS = {
    "good": b"5\r\nhello\r\n0\r\n\r\n",
    "two": b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
    "upper": b"A\r\n0123456789\r\n0\r\n\r\n",
    "leading zeros": b"0005\r\nhello\r\n0\r\n\r\n",
    "many zeros": b"0" * 40 + b"5\r\nhello\r\n0\r\n\r\n",
    "zeros last": b"5\r\nhello\r\n0000\r\n\r\n",
    "minus": b"-5\r\nhello\r\n0\r\n\r\n",
    "minus zero": b"-0\r\n\r\n",
    "plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "space before": b" 5\r\nhello\r\n0\r\n\r\n",
    "space after": b"5 \r\nhello\r\n0\r\n\r\n",
    "tab after": b"5\t\r\nhello\r\n0\r\n\r\n",
    "not hexadecimal": b"5g\r\nhello\r\n0\r\n\r\n",
    "empty": b"\r\nhello\r\n0\r\n\r\n",
    "underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "extension": b"5;a=b\r\nhello\r\n0\r\n\r\n",
    "extension bare": b"5;\r\nhello\r\n0\r\n\r\n",
    "extension quoted": b'5;a="b;c"\r\nhello\r\n0\r\n\r\n',
    "extension line": b'5;a="\r\n"\r\nhello\r\n0\r\n\r\n',
    "extension lf": b"5;a\nhello\r\n0\r\n\r\n",
    "extension cr": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "extension nul": b"5;\x00\r\nhello\r\n0\r\n\r\n",
    "extension space": b"5 ;a\r\nhello\r\n0\r\n\r\n",
    "extension long": b"5;" + b"a" * 5000 + b"\r\nhello\r\n0\r\n\r\n",
    "size lf": b"5\nhello\r\n0\r\n\r\n",
    "size cr": b"5\rhello\r\n0\r\n\r\n",
    "data lf": b"5\r\nhello\n0\r\n\r\n",
    "data cr": b"5\r\nhello\r0\r\n\r\n",
    "data none": b"5\r\nhello0\r\n\r\n",
    "data long": b"5\r\nhelloXX0\r\n\r\n",
    "data short": b"7\r\nhello\r\n0\r\n\r\n",
    "last lf": b"5\r\nhello\r\n0\n\r\n",
    "last lf lf": b"5\r\nhello\r\n0\r\n\n",
    "last cr": b"5\r\nhello\r\n0\r\n\r",
    "2^64": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "2^64-1": b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "2^63": b"8000000000000000\r\nhello\r\n0\r\n\r\n",
    "2^32": b"100000005\r\nhello\r\n0\r\n\r\n",
    "trailer": b"5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    "trailer length": b"5\r\nhello\r\n0\r\nContent-Length: 47\r\n\r\n",
    "trailer transfer": b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "trailer host": b"5\r\nhello\r\n0\r\nHost: b\r\n\r\n",
    "trailer bad": b"5\r\nhello\r\n0\r\nno colon\r\n\r\n",
    "trailer fold": b"5\r\nhello\r\n0\r\n X: y\r\n\r\n",
    "trailer request": b"5\r\nhello\r\n0\r\n" + INNER,
}
# Instead of "GET /echo/TAG HTTP/1.1\r\n".
LINES = {
    "good": b"GET /echo/TAG HTTP/1.1\r\n",
    "1.0": b"GET /echo/TAG HTTP/1.0\r\n",
    "query": b"GET /echo/TAG?a=b&c=%0d%0aX:y HTTP/1.1\r\n",
    "empty line before": b"\r\nGET /echo/TAG HTTP/1.1\r\n",
    "empty lines before": b"\r\n\r\n\r\nGET /echo/TAG HTTP/1.1\r\n",
    "lf before": b"\nGET /echo/TAG HTTP/1.1\r\n",
    "space before": b" GET /echo/TAG HTTP/1.1\r\n",
    "lf": b"GET /echo/TAG HTTP/1.1\n",
    "two spaces": b"GET  /echo/TAG HTTP/1.1\r\n",
    "two spaces later": b"GET /echo/TAG  HTTP/1.1\r\n",
    "tab": b"GET\t/echo/TAG\tHTTP/1.1\r\n",
    "vertical tab": b"GET\x0b/echo/TAG\x0bHTTP/1.1\r\n",
    "space after": b"GET /echo/TAG HTTP/1.1 \r\n",
    "no version": b"GET /echo/TAG\r\n",
    "0.9": b"GET /echo/TAG HTTP/0.9\r\n",
    "1.2": b"GET /echo/TAG HTTP/1.2\r\n",
    "2.0": b"GET /echo/TAG HTTP/2.0\r\n",
    "11": b"GET /echo/TAG HTTP/11\r\n",
    "1.10": b"GET /echo/TAG HTTP/1.10\r\n",
    "lower": b"GET /echo/TAG http/1.1\r\n",
    "comma": b"GET /echo/TAG HTTP/1,1\r\n",
    "absolute": b"GET http://a/echo/TAG HTTP/1.1\r\n",
    "absolute other host": b"GET http://b/echo/TAG HTTP/1.1\r\n",
    "absolute user": b"GET http://x@a/echo/TAG HTTP/1.1\r\n",
    "absolute empty": b"GET http:///echo/TAG HTTP/1.1\r\n",
    "absolute https": b"GET https://a/echo/TAG HTTP/1.1\r\n",
    "authority": b"GET a:80 HTTP/1.1\r\n",
    "star": b"GET * HTTP/1.1\r\n",
    "no slash": b"GET echo/TAG HTTP/1.1\r\n",
    "fragment": b"GET /echo/TAG#x HTTP/1.1\r\n",
    "nul": b"GET /echo/TAG\x00 HTTP/1.1\r\n",
    "cr": b"GET /echo/TAG\rX: y HTTP/1.1\r\n",
    "high": b"GET /echo/TAG\xff HTTP/1.1\r\n",
    "space in path": b"GET /echo/TAG x HTTP/1.1\r\n",
    "request in path": b"GET /echo/TAG HTTP/1.1\nX:y HTTP/1.1\r\n",
    "escaped line": b"GET /echo/TAG%20HTTP/1.1%0d%0aX:%20y HTTP/1.1\r\n",
    "escaped nul": b"GET /echo/TAG%00 HTTP/1.1\r\n",
    "broken escape": b"GET /echo/TAG%0 HTTP/1.1\r\n",
    "backslash": b"GET \\echo\\TAG HTTP/1.1\r\n",
    "method lower": b"get /echo/TAG HTTP/1.1\r\n",
    "method odd": b"G\x00T /echo/TAG HTTP/1.1\r\n",
    "method colon": b"GET: /echo/TAG HTTP/1.1\r\n",
    "method unknown": b"SMUGGLE /echo/TAG HTTP/1.1\r\n",
    "method trace": b"TRACE /echo/TAG HTTP/1.1\r\n",
    "method none": b" /echo/TAG HTTP/1.1\r\n",
}
# After the request line.
FIELDS = {
    "good": b"Host: a\r\n",
    "no host": b"",
    "host twice": b"Host: a\r\nHost: a\r\n",
    "host twice other": b"Host: a\r\nHost: b\r\n",
    "host empty": b"Host:\r\n",
    "host list": b"Host: a, b\r\n",
    "host user": b"Host: a@b\r\n",
    "host path": b"Host: a/b\r\n",
    "host space": b"Host: a b\r\n",
    "host nul": b"Host: a\x00b\r\n",
    "host fold": b"Host: a\r\n b\r\n",
    "fold first": b" X: y\r\nHost: a\r\n",
    "fold tab": b"Host: a\r\nX: y\r\n\tz\r\n",
    "fold empty": b"Host: a\r\nX: y\r\n \r\n",
    "space before colon": b"Host: a\r\nX : y\r\n",
    "no colon": b"Host: a\r\nX\r\n",
    "no name": b"Host: a\r\n: y\r\n",
    "name space": b"Host: a\r\nX Y: z\r\n",
    "name paren": b"Host: a\r\nX(Y): z\r\n",
    "name high": b"Host: a\r\nX\xe9: z\r\n",
    "name nul": b"Host: a\r\nX\x00: z\r\n",
    "value nul": b"Host: a\r\nX: y\x00z\r\n",
    "value cr": b"Host: a\r\nX: y\rz\r\n",
    "value delete": b"Host: a\r\nX: y\x7f\r\n",
    "value escape": b"Host: a\r\nX: y\x1bz\r\n",
    "value high": b"Host: a\r\nX: \xe9\xff\r\n",
    "value escaped": b"Host: a\r\nX: y%0d%0aContent-Length: 5\r\n",
    "bare lf": b"Host: a\r\nX: y\nZ: w\r\n",
    "bare lf end": b"Host: a\r\nX: y\n\n",
    "request in value": b"Host: a\r\nX: y\n\n" + INNER,
    "cr end": b"Host: a\r\nX: y\r\r",
    "connection close": b"Host: a\r\nConnection: close\r\n",
    "connection nominates host": b"Host: a\r\nConnection: host\r\n",
    "connection nominates transfer": b"Host: a\r\nConnection: transfer-encoding\r\n",
    "upgrade h2c": b"Host: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    "expect": b"Host: a\r\nExpect: 100-continue\r\n",
    "expect other": b"Host: a\r\nExpect: 200-ok\r\n",
    "content encoding": b"Host: a\r\nContent-Encoding: gzip\r\n",
    "range": b"Host: a\r\nRange: bytes=0-0,0-0\r\n",
    "hundred": b"Host: a\r\n" + b"X: y\r\n" * 110,
    "long": b"Host: a\r\nX: " + b"y" * 9000 + b"\r\n",
    "total": b"Host: a\r\n" + (b"X: " + b"y" * 7000 + b"\r\n") * 6,
    "remote": b"Host: a\r\nREMOTE_ADDR: 1.2.3.4\r\nLOCAL_PORT: 1\r\n",
}


def unnamed():
    for method in [b"POST", b"GET"]:
        for transfer, transfer_line in TRANSFER.items():
            for length, length_line in LENGTH.items():
                head = method + b" /echo/TAG HTTP/1.1\r\nHost: a\r\n"
                yield (f"{method.decode()} transfer {transfer}, length {length}",
                       head + transfer_line + length_line + b"\r\n0\r\n\r\n" + INNER + LAST)
    # The other order, for those who believe the first or the last.
    for transfer, transfer_line in TRANSFER.items():
        yield (f"length, then transfer {transfer}",
               b"POST /echo/TAG HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n" + transfer_line + b"\r\n0\r\n\r\n" + INNER + LAST)
    for method in [b"POST", b"GET"]:
        for name, line in LENGTHS.items():
            yield (f"{method.decode()} length {name}",
                   method + b" /echo/TAG HTTP/1.1\r\nHost: a\r\n" + line + b"\r\nhello" + INNER + LAST)
    for name, chunks in CHUNKS.items():
        yield (f"chunks {name}",
               b"POST /echo/TAG HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + INNER + LAST)
    for name, line in LINES.items():
        yield f"line {name}", line + b"Host: a\r\n\r\n" + INNER + LAST
    for name, fields in FIELDS.items():
        yield f"fields {name}", b"GET /echo/TAG HTTP/1.1\r\n" + fields + b"\r\n" + INNER + LAST
    yield "1.0 kept alive", b"GET /echo/TAG HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + LAST
    yield "1.0 chunked", (b"POST /echo/TAG HTTP/1.0\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n" +
                          INNER + LAST)
    yield "ten in a row", b"".join(b"POST /echo/TAG-%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (i, i) + b"x" * i
                                   for i in range(10)) + LAST
    yield "garbage after", b"GET /echo/TAG HTTP/1.1\r\nHost: a\r\n\r\n\x00\x01garbage\r\n\r\n" + LAST
    yield "tls", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64 + LAST


def vectors():
    for number, (name, data) in enumerate(unnamed()):
        tag = "v%04d" % number
        yield tag, name, data.replace(b"TAG", tag.encode())
