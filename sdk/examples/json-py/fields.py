"""Reads the members that the format knows from a message."""

import binascii
import hashlib

from lenient import MOST, Malformed, String, base64, items, members, text, u64

HEXADECIMAL = frozenset(b"0123456789abcdefABCDEF")


def within(offset, length, size):
    if offset + length > size:
        raise Malformed(f"packOffset {offset} and packSize {length} pass the end of {size} bytes")
    return offset, offset + length


def missing(name):
    return Malformed(f"{name} is missing")


def number(name, value):
    found = u64(value)
    if found is None:
        raise Malformed(f"{name} is no whole number")
    return found


def written(name, value):
    if not isinstance(value, String):
        raise Malformed(f"{name} is no string")
    return value


def unhex(digits, size):
    """The bytes of so many digits, or None where they are not that."""
    fits = len(digits) == 2 * size and HEXADECIMAL.issuperset(digits)
    return bytes.fromhex(digits.decode()) if fits else None


def digest(name, value):
    """An MD5; empty text is none."""
    digits = written(name, value)
    found = unhex(digits, 16)
    if digits and found is None:
        raise Malformed(f"{name}: {len(digits)} hexadecimal digits are not the right ones")
    return found


READERS = {
    b"fileMd5": digest,
    b"fileName": lambda _, value: text(value),
    b"fileType": lambda _, value: text(value),
    b"fileSize": number,
    b"packSize": number,
    b"packOffset": number,
    b"packData": written,
    b"packMd5": written,
    b"missing": lambda _, value: value,
    b"code": number,
    b"message": lambda _, value: text(value),
    b"md5": digest,
    b"size": number,
}


class Fields:
    """Everything that a message may hold; None where it is absent."""

    def __init__(self, payload):
        self.found, self.checked = {}, False
        for key, value, end in members(payload):
            if key == b"packCrc":
                told = unhex(written("packCrc", value), 4)
                if told is None or int.from_bytes(told, "big") != binascii.crc32(payload[:end]):
                    raise Malformed("packCrc does not hold")
                self.checked = True
            elif value is not None and (reader := READERS.get(key)):
                self.found[key] = reader(key.decode(), value)

    def get(self, name):
        return self.found.get(name)

    def required(self, name):
        value = self.found.get(name)
        if value is None:
            raise missing(name.decode())
        return value

    def kind(self):
        for name, kind in ((b"packData", "data"), (b"fileMd5", "ack"), (b"fileType", "request")):
            if self.found.get(name) is not None:
                return kind
        raise Malformed("there is neither packData nor fileMd5 nor fileType")

    def span(self, size):
        """The range that the message speaks of, if it names one; it must lie in a file of `size` bytes."""
        offset, length = self.get(b"packOffset"), self.get(b"packSize")
        if offset is None and length is None:
            return None
        return within(self.required(b"packOffset"), self.required(b"packSize"), size)

    def lost(self, size):
        """The ranges that `missing` takes back."""
        for item in items(self.get(b"missing")):
            pair = [u64(value) for value in items(item)][:2]
            if len(pair) < 2 or None in pair:
                raise Malformed("missing is no list of [offset, size]")
            yield within(*pair, size)

    def piece(self):
        """Offset, bytes, size of the file, and what packMd5 said: True, False or None."""
        offset, size = self.required(b"packOffset"), self.required(b"fileSize")
        data = base64(self.required(b"packData"))
        told = self.get(b"packSize")
        if told is not None and told != len(data):
            raise Malformed(f"packSize is {told}, packData has {len(data)} bytes")
        within(offset, len(data), size)
        if not data and size:
            raise Malformed("an empty packet of a file that is not empty")
        md5 = self.get(b"packMd5")
        good = None if md5 is None else unhex(md5, 16) == hashlib.md5(data).digest()
        return offset, data, size, good

    def want(self, packet_size):
        """The range that a device asks for."""
        start, length = self.get(b"packOffset") or 0, self.get(b"packSize")
        length = packet_size if length is None else length
        if start + length > MOST:
            raise Malformed("packOffset and packSize are too large")
        return start, length
