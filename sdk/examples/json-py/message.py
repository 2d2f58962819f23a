"""Writes messages of json-base64; the format is described in plugins/json-base64."""

import binascii
import hashlib
import re

from lenient import Malformed

# What stands around a piece at most, and how a piece grows. 640 bytes of file make a message of 1 KiB.
OVERHEAD = 170
PER_MILLE = 1334
ESCAPED = re.compile(rb'["\\\x00-\x1f]')
GUARDS = {"crc": len(b',"packCrc":""') + 8, "md5": len(b',"packMd5":""') + 32, "none": 0}


def escape(match):
    byte = match[0]
    return b"\\" + byte if byte in b'"\\' else b"\\u%04x" % byte[0]


def quoted(text):
    return b'"' + ESCAPED.sub(escape, text.encode()) + b'"'


def guarded(members, check):
    """The object of these members, which begin with a brace; under packCrc where that is asked for."""
    if check == "crc":
        return b'%b,"packCrc":"%08x"}' % (members, binascii.crc32(members))
    return members + b"}"


class DataWriter:
    """Makes the data messages of one file."""

    def __init__(self, md5, size, name, kind, check):
        self.size, self.check = size, check
        name = b',"fileName":' + quoted(name) if name else b""
        kind = b',"fileType":' + quoted(kind) if kind is not None else b""
        # With fewer and fewer of the optional names.
        variants = [name + kind, kind, name, b""]
        self.prefixes = [b'{"fileMd5":"%b"%b,"fileSize":%d' % (md5.hex().encode(), names, size) for names in variants]

    def message(self, offset, piece, packet_size):
        """`packet_size` is the largest piece of the transfer: the optional names go in where its message leaves room."""
        length = len(piece)
        if offset + length > self.size:
            raise Malformed(f"{length} bytes at {offset} pass the end of {self.size} bytes")
        rest = b',"packSize":%d,"packOffset":%d,"packData":"%b"' % (length, offset, binascii.b2a_base64(piece, newline=False))
        room = OVERHEAD + max(packet_size, length) * PER_MILLE // 1000 - len(rest) - GUARDS[self.check] - 1
        prefix = next((prefix for prefix in self.prefixes if len(prefix) <= room), self.prefixes[-1])
        if self.check == "md5":
            rest += b',"packMd5":"%b"' % hashlib.md5(piece).hexdigest().encode()
        return guarded(prefix + rest, self.check)


def pull_request(kind, offset, length, check):
    return guarded(b'{"fileType":%b,"packOffset":%d,"packSize":%d' % (quoted(kind), offset, length), check)


def verify_request(md5, check):
    return guarded(b'{"fileMd5":"%b"' % md5.hex().encode(), check)
