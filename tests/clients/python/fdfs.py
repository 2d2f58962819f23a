#!/usr/bin/env python3
"""py3Fdfs, tried on a server: `fdfs.py HOST:PORT tour` does each thing once, `fdfs.py HOST:PORT loop SECONDS` does them
again and again. JSON lines on stdout; the first wrong byte ends it.

The package runs in this process only: no program of ours is linked with it."""

import hashlib
import json
import random
import re
import struct
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fdfs_client.client import Fdfs_client
from fdfs_client.exceptions import DataError

SIZES = [0, 1, 13, 1024, 65536, 262145, 5 << 20]
MOST_KEPT = 25
NOT_BYTES = "it packs text where Python 3 wants bytes, after it has sent a header"
AT_ONCE = 4


def say(line):
    print(json.dumps(line), flush=True)


def done(operation):
    say({"operation": operation, "result": "ok"})


def same(found, wanted, what):
    if found != wanted:
        raise AssertionError(f"{what}: {len(found)} bytes came back, which are not the {len(wanted)} that went in")


def refusal(ask, *given):
    """The errno of a refusal."""
    try:
        ask(*given)
    except DataError as error:
        return int(re.search(r"Error: (\d+)", str(error))[1])
    raise AssertionError("it was not refused")


class Client:
    """The package with ids and bytes alone; each call is one of its calls."""

    def __init__(self, host, port):
        self.inner = Fdfs_client({"host_tuple": (host,), "port": port, "timeout": 60, "name": "trackers"})

    def upload(self, data):
        return self.inner.upload_by_buffer(data, "bin")["Remote file_id"]

    def upload_file(self, data):
        """The only way in for no bytes at all: it refuses an empty buffer itself."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "content.bin"
            path.write_bytes(data)
            return self.inner.upload_by_filename(str(path))["Remote file_id"]

    def appender(self, data):
        return self.inner.upload_appender_by_buffer(data, "log")["Remote file_id"]

    def append(self, name, data):
        self.inner.append_by_buffer(data, name)

    def modify(self, name, data):
        """At 0: it takes an offset and forgets it."""
        self.inner.modify_by_buffer(data, name)

    def truncate(self, name, size):
        self.inner.truncate_file(size, name)

    def download(self, name):
        """To memory: its way to a file counts the bytes of short reads wrongly and then waits for more than there are."""
        return self.inner.download_to_buffer(name)["Content"]

    def delete(self, name):
        self.inner.delete_file(name)


def files(client, chance):
    for size in SIZES:
        data = chance.randbytes(size)
        name = client.upload_file(data)
        # A server since 6.15.4 refuses to read at the end of a file, also at the end of an empty one.
        if size == 0:
            assert refusal(client.download, name) == 22
        else:
            same(client.download(name), data, f"{size} bytes")
            same(client.download(client.upload(data)), data, f"{size} bytes of a buffer")
        done(f"upload, download of {size} bytes")


def appender(client, chance):
    parts = [chance.randbytes(size) for size in (1000, 70001, 3 << 20)]
    name = client.appender(parts[0])
    done("appender")
    for part in parts[1:]:
        client.append(name, part)
    data = b"".join(parts)
    same(client.download(name), data, "after appends")
    done("append")
    change = chance.randbytes(5000)
    client.modify(name, change)
    data = change + data[5000:]
    same(client.download(name), data, "after a modify")
    done("modify, at offset 0")
    client.truncate(name, 70000)
    same(client.download(name), data[:70000], "after a truncate")
    client.truncate(name, 70010)
    same(client.download(name), data[:70000] + bytes(10), "after a longer truncate")
    done("truncate")
    client.delete(name)
    assert refusal(client.append, name, change) == 2


def tour(client, chance):
    files(client, chance)
    appender(client, chance)
    name = client.upload(b"gone")
    client.delete(name)
    assert refusal(client.download, name) == 2
    assert refusal(client.delete, name) == 2
    done("delete")
    done("a missing file is an error")
    left_out(client)


def left_out(client):
    """What the package has and cannot do, shown to fail for the reason given, and what it has not."""

    def fails(operation, error, why, call, *given):
        try:
            call(*given)
        except error:
            say({"operation": operation, "result": "left out", "why": why})
            return
        raise AssertionError(f"{operation} works after all")

    inner, name = client.inner, client.upload(b"master")
    fails("range", UnboundLocalError, "an offset leaves a variable of it unset", inner.download_to_buffer, name, 1, 1)
    fails("set metadata", struct.error, NOT_BYTES, inner.set_meta_data, name, {"a": "b"})
    fails("get metadata", AttributeError, NOT_BYTES, inner.get_meta_data, name)
    fails("slave", struct.error, NOT_BYTES, inner.upload_slave_by_filename, __file__, name, "-small")
    fails("lists", struct.error, "its records are those of servers before 6.13", inner.list_one_group, "group1")
    for operation in ("info", "regenerate"):
        say({"operation": operation, "result": "left out", "why": "it has none"})


def life(client, chance, counts, kept):
    """One file from its upload to its end; counts what was done."""

    def size():
        return chance.randrange(1, 2 << 20) if chance.randrange(20) == 0 else chance.randrange(1, 65536)

    def count(what):
        counts[what] = counts.get(what, 0) + 1

    data = chance.randbytes(size())
    appends = chance.random() < 0.5
    name = client.appender(data) if appends else client.upload(data)
    count("upload")
    for _ in range(chance.randrange(1, 4) if appends else 0):
        part = chance.randbytes(size())
        client.append(name, part)
        count("append")
        data += part
    if appends and chance.random() < 0.5:
        data = data[: chance.randrange(1, len(data) + 1)]
        client.truncate(name, len(data))
        count("truncate")
    same(client.download(name), data, name)
    count("download")
    if len(kept) < MOST_KEPT and chance.random() < 0.25:
        kept.append({"kept": name.decode(), "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)})
        count("kept")
        return
    client.delete(name)
    assert refusal(client.download, name) == 2, f"{name} was deleted"
    count("delete")


def lives(client, chance, counts, kept, end):
    while time.monotonic() < end:
        life(client, chance, counts, kept)


def loop(host, port, seconds):
    """Some threads with a client each; what they did together."""
    end = time.monotonic() + seconds
    each = [(Client(host, port), random.Random(), {}, []) for _ in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for ended in [pool.submit(lives, *one, end) for one in each]:
            ended.result()
    total = {}
    for _, _, counts, kept in each:
        for line in kept:
            say(line)
        for what, count in counts.items():
            total[what] = total.get(what, 0) + count
    say({"counts": total})


def main():
    tracker, what, *more = sys.argv[1:]
    host, _, port = tracker.rpartition(":")
    if what == "tour":
        tour(Client(host, int(port)), random.Random())
    else:
        loop(host, int(port), float(more[0]))


if __name__ == "__main__":
    main()
