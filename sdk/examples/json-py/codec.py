"""Packhorse's end of json-base64 in Python: pushes by data messages, pulls by requests, asks by `verify`."""

import struct

from componentize_py_types import Err
from fields import Fields, Malformed, missing
from message import OVERHEAD, PER_MILLE, DataWriter, pull_request, verify_request
from wit_world import exports
from wit_world.exports import platform, types as t
from wit_world.imports import diagnostics

# Routes by index.
DOWN, VERIFY_REQUEST, UP, VERIFY_REPLY = range(4)
# How many tags of requests are kept; older ones are answered with tag 0.
REQUESTS = 240
OPEN = (1 << 64) - 1
VERSION = 1
STATE = struct.Struct(">B16sQBQ")
REQUEST = struct.Struct(">QQ")
VERDICTS = (t.Verdict.GOOD, t.Verdict.BAD_DIGEST, t.Verdict.REFUSED, t.Verdict.DEVICE_FULL)


class NotMine(Exception):
    """Well formed, and for someone else."""


class Unsupported(Exception):
    """The format has no words for it."""


def description():
    def mode(driver, acks):
        return t.Mode(
            driver=driver, packet_min=1, packet_max=96 * 1024, packet_default=640, packet_align=1, grid=False,
            window_default=1, window_max=1024, overhead_fixed=OVERHEAD, overhead_per_mille=PER_MILLE,
            replies=t.Replies.RESEND, acks=acks, order=t.Order.ANY, confirms=False, can_query=True, can_cancel=False,
            file_max=9_999_999_999_999,
        )  # fmt: skip

    down, up = t.Flow.TO_DEVICE, t.Flow.FROM_DEVICE
    routes = ((down, "down"), (down, "verify/request"), (up, "up"), (up, "verify/reply"))
    return t.Description(
        name="json-py",
        version="0.1.0",
        about="json-base64, written in Python",
        vars=[
            t.Var("prefix", False, "packhorse/{device}", "", "what all topics begin with"),
            t.Var("check", False, "crc", "crc|md5|none", "how messages are guarded: crc, md5 or none"),
        ],
        routes=[t.Route(flow, "{prefix}/" + topic, t.Qos.AT_LEAST_ONCE, False) for flow, topic in routes],
        modes=[mode(t.Driver.PLATFORM_PUSH, t.Acks.MESSAGE), mode(t.Driver.PLATFORM_PULL, t.Acks.NEXT_REQUEST)],
        digests=[t.Algorithm.MD5],
    )


def fault(error):
    match error:
        case NotMine():
            return t.Fault_NotMine()
        case Unsupported():
            return t.Fault_Unsupported()
        case Malformed():
            return t.Fault_Malformed(str(error))


class Session:
    def __init__(self, transfer):
        file, given = transfer.file, dict(transfer.vars)
        self.push = transfer.direction == t.Direction.PUSH
        self.check = given.get("check", "crc")
        self.packet_size = transfer.packet_size
        kind = dict(file.meta).get("type")
        self.file_type = file.name if kind is None else kind
        md5s = (digest.value for digest in file.digests if digest.algorithm == t.Algorithm.MD5 and len(digest.value) == 16)
        # The file that we speak of: ours in a push, what the device told in a pull.
        self.md5, self.size = next(md5s, None), file.size
        known = self.md5 is not None and self.size is not None
        self.writer = DataWriter(self.md5, self.size, file.name, kind, self.check) if known else None
        # The tag of the query under way; where requests that carry a tag begin, for the wire knows only the offset.
        self.query, self.requests = None, {}
        # The device guards its messages: one without packCrc is damaged.
        self.guards = False
        if self.push and not known:
            raise Err(t.Text("file-unknown", "json-base64 needs the MD5 and the size of the file"))
        if not self.push and not self.file_type:
            raise Err(t.Text("file-type-missing", "json-base64 asks for a file by its type"))
        self.restore(transfer.saved)
        self.held = self.state()

    def restore(self, saved):
        if not saved:
            return
        if saved[0] != VERSION or len(saved) < STATE.size or (len(saved) - STATE.size) % REQUEST.size:
            raise Err(t.Text("saved", "of another version of this codec"))
        _, md5, size, flags, query = STATE.unpack_from(saved)
        if flags & 1 and not self.push:
            self.md5, self.size = md5, size
        self.query = query if flags & 2 else None
        self.requests = dict(REQUEST.iter_unpack(saved[STATE.size :]))

    def state(self):
        told = self.md5 is not None and not self.push
        if not told and self.query is None and not self.requests:
            return b""
        flags = told | (self.query is not None) << 1
        fixed = STATE.pack(VERSION, self.md5 if told else bytes(16), (self.size or 0) if told else 0, flags, self.query or 0)
        return fixed + b"".join(REQUEST.pack(*request) for request in self.requests.items())

    def each(self, batch, translate):
        """What came of each item in turn; one that fails takes back what it had put out."""
        out, faults = [], []
        for index, item in enumerate(batch):
            before = len(out)
            try:
                translate(item, index, out)
            except (NotMine, Malformed, Unsupported) as error:
                del out[before:]
                faults.append(t.Faulted(index, fault(error)))
        return out, faults, self.state() != self.held

    # ---- from the device

    def heard(self, message, _, out):
        fields = Fields(message.payload)
        if self.guards and not fields.checked:
            raise Malformed("packCrc is missing, though the device sent it before")
        self.guards = fields.checked
        if message.route == VERIFY_REPLY:
            return self.verified(fields, out)
        if message.route != UP:
            raise Malformed(f"route {message.route} does not lead to the platform")
        match fields.kind(), self.push:
            case "data", False:
                self.data(fields, out)
            case "ack", True:
                self.acknowledged(fields, out)
            case ("ack", False) | ("request", _) if fields.get(b"code") is not None or fields.kind() == "ack":
                self.refused(fields, out)
            case "request", True:
                self.requested(fields, out)
            case _:
                raise NotMine

    def data(self, fields, out):
        md5 = fields.required(b"fileMd5")
        offset, piece, size, good = fields.piece()
        if md5 != self.md5 or self.size is None:
            kind = fields.get(b"fileType")
            meta = [] if kind is None else [("type", kind)]
            file = t.File(fields.get(b"fileName") or "", size, [t.Digest(t.Algorithm.MD5, md5)], meta)
            out.append(t.Event_StartUpload(t.StartUpload(0, file, md5.hex())))
            self.md5, self.size = md5, size
        elif size != self.size:
            raise Malformed(f"fileSize is {size} now, but fileMd5 is the same")
        tag = self.requests.pop(offset, 0)
        good = True if good is None and fields.checked else good
        sums = {True: t.Sum.GOOD, False: t.Sum.BAD, None: t.Sum.ABSENT}
        out.append(t.Event_Data(t.Data(tag, offset, piece, sums[good], offset + len(piece) >= size)))

    def acknowledged(self, fields, out):
        if fields.get(b"fileMd5") != self.md5:
            raise NotMine
        before, size = len(out), self.size or 0
        if span := fields.span(size):
            out.append(t.Event_Ack(t.Span(*span)))
        out.extend(t.Event_Missing(t.Span(*lost)) for lost in fields.lost(size))
        if fields.get(b"code") is not None:
            out.append(self.outcome(fields))
        if len(out) == before:
            raise Malformed("an acknowledgement without packOffset, missing and code")

    def outcome(self, fields):
        code = fields.get(b"code")
        verdict = VERDICTS[code] if code < len(VERDICTS) else t.Verdict.FAILED
        return t.Event_Outcome(t.Outcome(verdict, t.Text(str(code), fields.get(b"message") or "")))

    def refused(self, fields, out):
        """A device that cannot answer a pull says why."""
        md5 = fields.get(b"fileMd5")
        mine = md5 == self.md5 if md5 is not None else fields.get(b"fileType") == self.file_type
        if not mine or fields.get(b"code") is None:
            raise NotMine
        out.append(self.outcome(fields))

    def requested(self, fields, out):
        """A device that asks for a piece of what we push."""
        if fields.get(b"fileType") != self.file_type:
            raise NotMine
        start, length = fields.want(self.packet_size)
        out.append(t.Event_Want(t.Want(0, t.Span(start, start + length), min(length, 0xFFFF_FFFF))))

    def verified(self, fields, out):
        if fields.required(b"fileMd5") != self.md5:
            raise NotMine
        if b"md5" not in fields.found:
            raise missing("md5")
        stored = fields.get(b"md5")
        digests = [] if stored is None else [t.Digest(t.Algorithm.MD5, stored)]
        size = None if stored is None else fields.get(b"size")
        out.append(t.Event_Finish(t.Finish(self.query or 0, size, digests)))
        self.query = None

    # ---- to the device

    def said(self, command, index, out):
        match command:
            case t.Command_Chunk(chunk) if self.writer:
                payload = self.writer.message(chunk.offset, chunk.bytes, self.packet_size)
                out.append(t.Outgoing(DOWN, payload, None, index))
            case t.Command_Need(want) if not self.push:
                self.need(want, index, out)
            case t.Command_Query(tag) if self.md5 is not None:
                out.append(t.Outgoing(VERIFY_REQUEST, verify_request(self.md5, self.check), None, index))
                self.query = tag
            case _:
                raise Unsupported

    def need(self, want, index, out):
        """One request for each piece of the range; one alone where its end is not known."""
        step, offset, end = max(want.limit or self.packet_size, 1), want.span.start, want.span.end
        for _ in range(REQUESTS):
            length = min(step, max(end - offset, 0))
            out.append(t.Outgoing(DOWN, pull_request(self.file_type, offset, length, self.check), None, index))
            self.remember(offset, want.tag)
            offset += step
            if end == OPEN or offset >= end:
                return

    def remember(self, offset, tag):
        self.requests.pop(offset, None)
        if tag:
            if len(self.requests) == REQUESTS:
                del self.requests[next(iter(self.requests))]
            self.requests[offset] = tag


def guarded(method):
    """A bug's words and place reach the host before the call ends in a trap."""

    def call(self, *arguments):
        try:
            return method(self, *arguments)
        except Err:
            raise
        except BaseException as error:
            # Not by `traceback`: it looks for the source, and there is no file here.
            places, step = [], error.__traceback__
            while step:
                places.append(f"{step.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{step.tb_lineno}")
                step = step.tb_next
            diagnostics.panicked(f"{type(error).__name__}: {error}, at {' '.join(reversed(places))}"[:1000])
            raise

    return call


# One instance of the component serves one transfer. `Platform` itself keeps nothing: each call may make another one.
session = None


class Types(exports.Types):
    pass


class Platform(exports.Platform):
    @guarded
    def describe(self):
        return description()

    @guarded
    def open(self, transfer):
        global session
        session = Session(transfer)

    @guarded
    def decode(self, batch):
        events, faults, dirty = session.each(batch, session.heard)
        return platform.Decoded(events, [], faults, dirty)

    @guarded
    def encode(self, batch):
        return platform.Encoded(*session.each(batch, session.said))

    @guarded
    def save(self):
        session.held = session.state()
        return session.held
