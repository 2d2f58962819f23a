"""JSON as devices write it: the members of one object, with what firmware gets wrong forgiven; and Base64 of both alphabets.

A value is None, a bool, a String, a Number or an Array (both the text as written) or an Object (which nobody looks into)."""

import binascii
import re

BLANKS = rb"[ \t\r\n]*"
STRING = rb'"([^"\\]*(?:\\.[^"\\]*)*)"'
BEGIN = re.compile(rb"(?:\xef\xbb\xbf)?" + BLANKS + rb"\{")
SEPARATORS = re.compile(rb"[ \t\r\n,]*")
KEY = re.compile(STRING + BLANKS + rb":" + BLANKS, re.DOTALL)
VALUE = re.compile(STRING + rb"|([-+.0-9][-+.0-9eE]*)|(null)|(true|false)|([\[{])", re.DOTALL)
BOUNDARY = re.compile(BLANKS + rb"(?=[,}])")
END = re.compile(rb"[ \t\r\n\0]*\Z")
NESTED = re.compile(STRING + rb"|[\[\]{}]", re.DOTALL)
ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})(?:\\u([dD][c-fC-F][0-9a-fA-F]{2}))?|(.))", re.DOTALL)
CONTROLS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"f": b"\f", b"u": "\ufffd".encode()}
MOST = (1 << 64) - 1
DEPTH = 64


class Malformed(Exception):
    """With the words that people see."""


class String(bytes):
    """Escapes are resolved."""


class Number(bytes):
    pass


class Array(bytes):
    pass


class Object(bytes):
    pass


def broken(what, at):
    return Malformed(f"not JSON: no {what} at byte {at}")


def character(code):
    return "\ufffd" if 0xD800 <= code < 0xE000 else chr(code)


def escaped(match):
    first, second, kind = match.groups()
    if kind is not None:
        return CONTROLS.get(kind, kind)
    first = int(first, 16)
    if second is None:
        return character(first).encode()
    if 0xD800 <= first < 0xDC00:
        return chr(0x10000 + ((first - 0xD800) << 10) + (int(second, 16) - 0xDC00)).encode()
    return (character(first) + "\ufffd").encode()


def string(raw):
    return String(ESCAPE.sub(escaped, raw) if b"\\" in raw else raw)


def nested(text, at):
    """Where the array or object that begins here ends."""
    depth, here = 0, at
    while match := NESTED.search(text, here):
        here = match.end()
        bracket = text[here - 1 : here]
        depth += (bracket in b"[{") - (bracket in b"]}")
        if depth > DEPTH:
            raise Malformed(f"JSON is nested too deeply at byte {here}")
        if depth == 0:
            return here
    raise broken("closing bracket", len(text))


def value(text, at):
    """A value, and where it ends."""
    match = VALUE.match(text, at)
    if not match:
        raise broken("value", at)
    raw, number, null, word, bracket = match.groups()
    if raw is not None:
        return string(raw), match.end()
    if number is not None:
        return Number(number), match.end()
    if bracket is None:
        return None if null else word == b"true", match.end()
    end = nested(text, at)
    return (Array if bracket == b"[" else Object)(text[at:end]), end


def members(text):
    """Key, value and the place where the member before ended, of each in turn."""
    match = BEGIN.match(text)
    if not match:
        raise broken("object", 0)
    end = match.end()
    while True:
        at = SEPARATORS.match(text, end).end()
        if text[at : at + 1] == b"}":
            break
        match = KEY.match(text, at)
        if not match:
            raise broken("string and colon", at)
        found, at = value(text, match.end())
        boundary = BOUNDARY.match(text, at)
        if not boundary:
            raise broken("comma or end of object", at)
        yield string(match[1]), found, end
        end = boundary.end()
    if not END.match(text, at + 1):
        raise broken("end", at + 1)


def items(array):
    """The items of an array; none of anything else."""
    at = 1
    while isinstance(array, Array):
        at = SEPARATORS.match(array, at).end()
        if array[at : at + 1] in (b"]", b""):
            return
        found, at = value(array, at)
        yield found


def u64(found):
    """A number that is whole and not negative, also one in quotation marks or with zeros behind its point; or None."""
    if not isinstance(found, (String, Number)):
        return None
    whole, _, rest = found.strip(b" \t\r\n").partition(b".")
    if not whole.isdigit() or rest.strip(b"0") or len(whole) > 40:
        return None
    number = int(whole)
    return number if number <= MOST else None


def text(found):
    """For people; a number is a string whose quotation marks were forgotten. Anything else is None."""
    return found.decode("utf-8", "replace") if isinstance(found, (String, Number)) else None


ALPHABET = bytes.maketrans(b"-_", b"+/")
NO_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")


def base64(written):
    body = written.rstrip(b"=").translate(ALPHABET)
    padding = len(written) - len(body)
    if padding > 2 or (padding and len(written) % 4) or len(body) % 4 == 1:
        raise Malformed(f"packData: Base64 of {len(written)} characters ends within a group")
    if stranger := NO_BASE64.search(body):
        raise Malformed(f"packData: no Base64 character at place {stranger.start()}")
    whole = body + b"=" * (-len(body) % 4)
    bytes_ = binascii.a2b_base64(whole)
    if len(body) % 4 and binascii.b2a_base64(bytes_[len(body) // 4 * 3 :], newline=False) != whole[-4:]:
        raise Malformed("packData: the last Base64 character has stray bits")
    return bytes_
