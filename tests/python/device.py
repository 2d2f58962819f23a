#!/usr/bin/env python3
"""A device that speaks json-base64 through paho-mqtt: the check of the format by somebody who has only read about it.

    device.py --broker 127.0.0.1:1883 --id dev-1 --dir /tmp/dev-1 [--prefix packhorse/dev-1] [--loss 0.1 --seed 7]

It was written from the description of the format and shares no code with the codec. It
* stores what is pushed to it as DIR/fileName (DIR/fileMd5 without a usable name), acknowledges every packet that is on
  its disk, and adds the verdict, `code`, to the acknowledgement that completes the file;
* answers each pull request, `fileType` syslog for DIR/syslog, with one data packet;
* answers verify requests with the MD5 of what is stored now.

One JSON line on stdout for each file that is finished, words for people on stderr. What it holds of a file survives the
death of this process, not a power cut: nothing is forced to the disk.
"""

import argparse
import base64
import binascii
import errno
import hashlib
import json
import os
import random
import re
import signal
import socket
import sys
from pathlib import Path

import paho.mqtt.client as mqtt

MD5 = re.compile(r"[0-9a-f]{32}")
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@=+-]{0,127}")
MAX_FILE = 1 << 32
MAX_PIECE = 1 << 20
GOOD, DIGEST_WRONG, FULL = 0, 1, 3


def whole(message, key, most):
    """A number of a message; anything else than a whole number from 0 to `most` is a reason to drop the message."""
    value = message.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError(f"{key} is {value!r}")
    return value


def identity(message):
    """The `fileMd5` of a message, in small letters."""
    md5 = str(message.get("fileMd5", "")).lower()
    if not MD5.fullmatch(md5):
        raise ValueError(f"fileMd5 is {md5!r}")
    return md5


class Content:
    """A file as it is on the disk now; read again only when the file has changed."""

    def __init__(self, path):
        self.path, self.seen, self.bytes, self.md5 = path, None, b"", ""

    def look(self):
        """Returns whether there is such a file."""
        try:
            stat = self.path.stat()
            seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            if seen != self.seen:
                self.bytes = self.path.read_bytes()
                self.seen, self.md5 = seen, hashlib.md5(self.bytes).hexdigest()
        except OSError:
            self.seen, self.bytes, self.md5 = None, b"", ""
        return self.seen is not None


class Incoming:
    """A file on its way to us: DIR/.device/MD5.part, and beside it a list of the ranges that are written."""

    def __init__(self, folder, md5, size):
        self.part, self.list = folder / f"{md5}.part", folder / f"{md5}.ranges"
        self.md5, self.size, self.packets, self.ranges = md5, size, 0, []
        lines = self.list.read_text().splitlines() if self.part.exists() and self.list.exists() else []
        # The first line is the size; a last line that was cut by our death is not believed.
        if lines and lines[0] == str(size):
            for line in lines[1:]:
                if found := re.fullmatch(r"(\d+) (\d+) \.", line):
                    self.mark(int(found[1]), int(found[2]))
        else:
            self.part.write_bytes(b"")
            self.list.write_text(f"{size}\n")
        self.file, self.log = open(self.part, "r+b", buffering=0), open(self.list, "ab", buffering=0)

    def mark(self, start, end):
        """Adds a range; those that overlap or touch become one."""
        apart = []
        for left, right in self.ranges:
            if right < start or left > end:
                apart.append((left, right))
            else:
                start, end = min(left, start), max(right, end)
        self.ranges = sorted([*apart, (start, end)])

    def write(self, offset, data):
        """Bytes first, the word that we have them second."""
        self.file.seek(offset)
        self.file.write(data)
        self.packets += 1
        if not any(left <= offset and offset + len(data) <= right for left, right in self.ranges):
            self.mark(offset, offset + len(data))
            self.log.write(f"{offset} {offset + len(data)} .\n".encode())

    def is_whole(self):
        return self.ranges == [(0, self.size)]

    def drop(self):
        self.file.close()
        self.log.close()
        self.part.unlink(missing_ok=True)
        self.list.unlink(missing_ok=True)


class Shelf:
    """What the device holds: finished files, and files on their way."""

    def __init__(self, folder):
        self.folder, self.inside = folder, folder / ".device"
        self.inside.mkdir(parents=True, exist_ok=True)
        self.incoming, self.contents = {}, {}

    def content(self, name):
        return self.contents.setdefault(name, Content(self.folder / name))

    def stored(self, md5):
        """What is stored as the file `md5`, whatever has become of it since."""
        note = self.inside / f"{md5}.name"
        return self.content(note.read_text() if note.exists() else md5)

    def receive(self, md5, size, offset, data, name):
        """Writes a piece; the verdict `(code, message)` when the file is at its end, else nothing."""
        stored = self.stored(md5)
        if md5 not in self.incoming and stored.look() and stored.md5 == md5:
            return GOOD, "is here already"  # its acknowledgement was lost, or somebody pushes it again
        file = self.incoming.get(md5)
        if file is None or file.size != size:
            file = self.incoming[md5] = Incoming(self.inside, md5, size)
        file.write(offset, data)
        return self.finish(file, name) if file.is_whole() else None

    def finish(self, file, name):
        del self.incoming[file.md5]
        found = hashlib.md5(file.part.read_bytes()).hexdigest()
        if found != file.md5:
            file.drop()
            return DIGEST_WRONG, f"the bytes have the digest {found}"
        (self.inside / f"{file.md5}.name").write_text(name)
        os.replace(file.part, self.folder / name)
        file.drop()
        say({"stored": name, "md5": file.md5, "size": file.size, "packets": file.packets})
        return GOOD, "stored"


class Device:
    """The protocol: messages in, messages out."""

    def __init__(self, shelf, prefix, loss, seed):
        self.shelf, self.prefix, self.loss, self.chance = shelf, prefix, loss, random.Random(seed)
        self.last, self.served = None, set()

    def connected(self, client, _userdata, _flags, reason, _properties):
        if reason.is_failure:
            tell(f"the broker refused us: {reason}")
            return
        client.subscribe([(f"{self.prefix}/down", 1), (f"{self.prefix}/verify/request", 1)])
        # Our last words may have died with the connection; an acknowledgement may come at any time.
        if self.last:
            self.send(client, "up", self.last)

    def received(self, client, _userdata, packet):
        if self.chance.random() < self.loss:
            return
        try:
            message = json.loads(packet.payload)
            if not isinstance(message, dict):
                raise ValueError("a message is one JSON object")
            if packet.topic == f"{self.prefix}/verify/request":
                self.send(client, "verify/reply", self.verify(message))
            elif "packData" in message:
                self.last = self.data(message)
                self.send(client, "up", self.last)
            elif "fileMd5" not in message and "fileType" in message:
                self.send(client, "up", self.pull(message))
        except (ValueError, binascii.Error, RecursionError) as error:
            tell(f"dropped {len(packet.payload)} bytes: {error}")  # the platform sends again what we do not acknowledge

    def data(self, message):
        md5, size = identity(message), whole(message, "fileSize", MAX_FILE)
        offset, length = whole(message, "packOffset", size), whole(message, "packSize", MAX_PIECE)
        data = base64.b64decode(message["packData"], validate=True)
        if len(data) != length or offset + length > size:
            raise ValueError(f"a piece of {len(data)} bytes at {offset} says {length}, of a file of {size}")
        if "packMd5" in message and hashlib.md5(data).hexdigest() != str(message["packMd5"]).lower():
            raise ValueError(f"the piece at {offset} has another digest than it says")
        name = str(message.get("fileName", ""))
        answer = {"fileMd5": md5, "packSize": length, "packOffset": offset}
        try:
            verdict = self.shelf.receive(md5, size, offset, data, name if NAME.fullmatch(name) else md5)
        except OSError as error:
            verdict = (FULL, str(error)) if error.errno == errno.ENOSPC else None
            if verdict is None:
                raise ValueError(f"cannot store it: {error}") from error
        return answer if verdict is None else {**answer, "code": verdict[0], "message": verdict[1]}

    def pull(self, message):
        kind, offset = str(message["fileType"]), whole(message, "packOffset", MAX_FILE)
        content = self.shelf.content(kind)
        if not NAME.fullmatch(kind) or not content.look():
            raise ValueError(f"there is no file of type {kind!r}")
        data = content.bytes[offset : offset + whole(message, "packSize", MAX_PIECE)]
        if offset + len(data) >= len(content.bytes) and content.md5 not in self.served:
            self.served.add(content.md5)
            say({"served": kind, "md5": content.md5, "size": len(content.bytes)})
        return {
            "fileMd5": content.md5, "fileName": kind, "fileType": kind, "fileSize": len(content.bytes),
            "packSize": len(data), "packOffset": offset, "packData": base64.b64encode(data).decode(),
            "packMd5": hashlib.md5(data).hexdigest(),
        }

    def verify(self, message):
        md5 = identity(message)
        stored = self.shelf.stored(md5)
        stored.look()
        return {"fileMd5": md5, "md5": stored.md5, "size": len(stored.bytes)}

    def send(self, client, route, message):
        if self.chance.random() >= self.loss:
            client.publish(f"{self.prefix}/{route}", json.dumps(message, separators=(",", ":")), qos=1)


def say(finished):
    print(json.dumps(finished), flush=True)


def tell(words):
    print(words, file=sys.stderr, flush=True)


def arguments():
    parser = argparse.ArgumentParser(description="A device that speaks json-base64.")
    parser.add_argument("--broker", required=True, metavar="HOST:PORT")
    parser.add_argument("--id", required=True)
    parser.add_argument("--dir", required=True, type=Path)
    parser.add_argument("--prefix", help="packhorse/ID without it")
    parser.add_argument("--loss", type=float, default=0.0, help="share of messages lost, each way, from 0 to 1")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    host, _, port = given.broker.rpartition(":")
    if not host or not port.isdecimal():
        parser.error("--broker is HOST:PORT")
    return given, host, int(port)


def main():
    given, host, port = arguments()
    device = Device(Shelf(given.dir), given.prefix or f"packhorse/{given.id}", given.loss, given.seed)
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=given.id, protocol=mqtt.MQTTv5)
    client.on_connect, client.on_message = device.connected, device.received
    client.on_subscribe = lambda *_: tell(f"{given.id} listens to {device.prefix}/down and {device.prefix}/verify/request")
    # Small packets both ways: with Nagle's algorithm each would wait for the other side's delayed acknowledgement.
    client.on_socket_open = lambda _client, _userdata, sock: sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.reconnect_delay_set(1, 5)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    client.connect_async(host, port, keepalive=15)
    try:
        client.loop_forever(retry_first_connection=True)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
