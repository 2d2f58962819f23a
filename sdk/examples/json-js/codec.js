// Packhorse's end of json-base64 in JavaScript: pushes by data messages, pulls by requests, asks by `verify`.
import { panicked } from "packhorse:codec/diagnostics@1.0.0";
import { hex, Malformed, same } from "./bytes.js";
import { DataWriter, Fields, missing, OVERHEAD, PER_MILLE, pullRequest, verifyRequest } from "./message.js";

// Routes by index.
const [DOWN, VERIFY_REQUEST, UP, VERIFY_REPLY] = [0, 1, 2, 3];
// How many tags of requests are kept; older ones are answered with tag 0.
const REQUESTS = 240;
const OPEN = (1n << 64n) - 1n;
const VERSION = 1;
const FIXED = 34;
const VERDICTS = ["good", "bad-digest", "refused", "device-full"];

class NotMine extends Error {}
class Unsupported extends Error {}

const mode = (driver, acks) => ({
  driver, acks,
  packetMin: 1, packetMax: 96 * 1024, packetDefault: 640, packetAlign: 1, grid: false, windowDefault: 1, windowMax: 1024,
  overheadFixed: OVERHEAD, overheadPerMille: PER_MILLE, replies: "resend", order: "any",
  confirms: false, canQuery: true, canCancel: false, fileMax: 9_999_999_999_999n,
});

const route = (flow, topic) => ({ flow, template: `{prefix}/${topic}`, qos: "at-least-once", retain: false });

const description = {
  name: "json-js",
  version: "0.1.0",
  about: "json-base64, written in JavaScript",
  vars: [
    { name: "prefix", required: false, default: "packhorse/{device}", pattern: "", about: "what all topics begin with" },
    { name: "check", required: false, default: "crc", pattern: "crc|md5|none", about: "how messages are guarded: crc, md5 or none" },
  ],
  routes: [
    route("to-device", "down"), route("to-device", "verify/request"),
    route("from-device", "up"), route("from-device", "verify/reply"),
  ],
  modes: [mode("platform-push", "message"), mode("platform-pull", "next-request")],
  digests: ["md5"],
};

class Session {
  constructor(transfer) {
    const { file, vars, saved } = transfer;
    this.push = transfer.direction === "push";
    this.check = new Map(vars).get("check") ?? "crc";
    this.packetSize = transfer.packetSize;
    const type = new Map(file.meta).get("type");
    this.fileType = type ?? file.name;
    // The file that we speak of: ours in a push, what the device told in a pull.
    this.md5 = file.digests.find(({ algorithm, value }) => algorithm === "md5" && value.length === 16)?.value;
    this.size = file.size ?? undefined;
    const known = this.md5 !== undefined && this.size !== undefined;
    this.writer = known ? new DataWriter(this.md5, this.size, file.name, type, this.check) : undefined;
    // The tag of the query under way; where requests that carry a tag begin, for the wire knows only the offset.
    this.query = undefined;
    this.requests = new Map();
    // The device guards its messages: one without packCrc is damaged.
    this.guards = false;
    if (this.push && !known) throw { code: "file-unknown", message: "json-base64 needs the MD5 and the size of the file" };
    if (!this.push && !this.fileType) throw { code: "file-type-missing", message: "json-base64 asks for a file by its type" };
    if (saved.length) this.restore(saved);
    this.held = hex(this.state());
  }

  restore(saved) {
    if (saved[0] !== VERSION || saved.length < FIXED || (saved.length - FIXED) % 16) {
      throw { code: "saved", message: "of another version of this codec" };
    }
    const state = new DataView(saved.buffer, saved.byteOffset, saved.length);
    const flags = state.getUint8(25);
    if (flags & 1 && !this.push) [this.md5, this.size] = [saved.slice(1, 17), state.getBigUint64(17)];
    if (flags & 2) this.query = state.getBigUint64(26);
    for (let at = FIXED; at < saved.length; at += 16) this.requests.set(state.getBigUint64(at), state.getBigUint64(at + 8));
  }

  state() {
    const told = this.md5 !== undefined && !this.push;
    if (!told && this.query === undefined && !this.requests.size) return new Uint8Array();
    const bytes = new Uint8Array(FIXED + 16 * this.requests.size);
    const state = new DataView(bytes.buffer);
    bytes[0] = VERSION;
    if (told) bytes.set(this.md5, 1);
    state.setBigUint64(17, told ? (this.size ?? 0n) : 0n);
    bytes[25] = (told ? 1 : 0) | (this.query === undefined ? 0 : 2);
    state.setBigUint64(26, this.query ?? 0n);
    let at = FIXED;
    for (const [offset, tag] of this.requests) {
      state.setBigUint64(at, offset);
      state.setBigUint64(at + 8, tag);
      at += 16;
    }
    return bytes;
  }

  // ---- from the device

  heard(message, out) {
    const fields = new Fields(message.payload);
    if (this.guards && !fields.checked) throw new Malformed("packCrc is missing, though the device sent it before");
    this.guards = fields.checked;
    if (message.route === VERIFY_REPLY) return this.verified(fields, out);
    if (message.route !== UP) throw new Malformed(`route ${message.route} does not lead to the platform`);
    const kind = fields.kind();
    if (kind === "data" && !this.push) return this.data(fields, out);
    if (kind === "ack" && this.push) return this.acknowledged(fields, out);
    if (kind === "ack" || (kind === "request" && fields.code !== undefined)) return this.refused(fields, out);
    if (kind === "request" && this.push) return this.requested(fields, out);
    throw new NotMine();
  }

  isMine(fields) {
    return Boolean(fields.fileMd5 && this.md5 && same(fields.fileMd5, this.md5));
  }

  data(fields, out) {
    const digest = fields.required("fileMd5");
    const { offset, bytes, size, sum, last } = fields.piece();
    if (!this.isMine(fields) || this.size === undefined) {
      const meta = fields.fileType === undefined ? [] : [["type", fields.fileType]];
      const file = { name: fields.fileName ?? "", size, digests: [{ algorithm: "md5", value: digest }], meta };
      out.push({ tag: "start-upload", val: { tag: 0n, file, resumeKey: hex(digest) } });
      [this.md5, this.size] = [digest, size];
    } else if (size !== this.size) {
      throw new Malformed(`fileSize is ${size} now, but fileMd5 is the same`);
    }
    const tag = this.requests.get(offset) ?? 0n;
    this.requests.delete(offset);
    out.push({ tag: "data", val: { tag, offset, bytes, sum, last } });
  }

  acknowledged(fields, out) {
    if (!this.isMine(fields)) throw new NotMine();
    const [before, size] = [out.length, this.size ?? 0n];
    const span = fields.span(size);
    if (span) out.push({ tag: "ack", val: span });
    for (const lost of fields.lost(size)) out.push({ tag: "missing", val: lost });
    if (fields.code !== undefined) out.push(this.outcome(fields));
    if (out.length === before) throw new Malformed("an acknowledgement without packOffset, missing and code");
  }

  outcome({ code, message }) {
    const verdict = VERDICTS[code] ?? "failed";
    return { tag: "outcome", val: { verdict, text: { code: String(code), message: message ?? "" } } };
  }

  // A device that cannot answer a pull says why.
  refused(fields, out) {
    const mine = fields.fileMd5 ? this.isMine(fields) : fields.fileType === this.fileType;
    if (!mine || fields.code === undefined) throw new NotMine();
    out.push(this.outcome(fields));
  }

  // A device that asks for a piece of what we push.
  requested(fields, out) {
    if (fields.fileType !== this.fileType) throw new NotMine();
    const [start, length] = [fields.packOffset ?? 0n, fields.packSize ?? BigInt(this.packetSize)];
    if (start + length > OPEN) throw new Malformed("packOffset and packSize are too large");
    const limit = length < 0xffff_ffffn ? Number(length) : 0xffff_ffff;
    out.push({ tag: "want", val: { tag: 0n, span: { start, end: start + length }, limit } });
  }

  verified(fields, out) {
    fields.required("fileMd5");
    if (!this.isMine(fields)) throw new NotMine();
    if (fields.md5 === undefined) throw missing("md5");
    const digests = fields.md5 ? [{ algorithm: "md5", value: fields.md5 }] : [];
    out.push({ tag: "finish", val: { tag: this.query ?? 0n, size: fields.md5 ? fields.size : undefined, digests } });
    this.query = undefined;
  }

  // ---- to the device

  said({ tag, val }, out, cause) {
    const send = (route, payload) => out.push({ route, payload, more: undefined, cause });
    if (tag === "chunk" && this.writer) {
      send(DOWN, this.writer.message(val.offset, val.bytes, this.packetSize));
    } else if (tag === "need" && !this.push) {
      this.need(val, send);
    } else if (tag === "query" && this.md5) {
      send(VERIFY_REQUEST, verifyRequest(this.md5, this.check));
      this.query = val;
    } else {
      throw new Unsupported();
    }
  }

  // One request for each piece of the range; one alone where its end is not known.
  need({ tag, span, limit }, send) {
    const step = BigInt(Math.max(limit || this.packetSize, 1));
    for (let [offset, count] = [span.start, 0]; count < REQUESTS; offset += step, count++) {
      const left = span.end > offset ? span.end - offset : 0n;
      if (count && !left) return;
      send(DOWN, pullRequest(this.fileType, offset, step < left ? step : left, this.check));
      this.remember(offset, tag);
      if (span.end === OPEN) return;
    }
  }

  remember(offset, tag) {
    this.requests.delete(offset);
    if (!tag) return;
    if (this.requests.size === REQUESTS) this.requests.delete(this.requests.keys().next().value);
    this.requests.set(offset, tag);
  }

  // What came of each item in turn; one that fails takes back what it had put out.
  each(batch, translate) {
    const [out, faults] = [[], []];
    batch.forEach((item, index) => {
      const before = out.length;
      try {
        translate.call(this, item, out, index);
      } catch (error) {
        out.length = before;
        faults.push({ index, fault: fault(error) });
      }
    });
    return { out, faults, dirty: hex(this.state()) !== this.held };
  }
}

function fault(error) {
  if (error instanceof NotMine) return { tag: "not-mine" };
  if (error instanceof Unsupported) return { tag: "unsupported" };
  if (error instanceof Malformed) return { tag: "malformed", val: error.message };
  throw error;
}

// A bug's words and place reach the host before the call ends in a trap.
function guarded(work) {
  return (...given) => {
    try {
      return work(...given);
    } catch (error) {
      if (error instanceof Error) panicked(`${error}\n${error.stack}`.slice(0, 1000));
      throw error;
    }
  };
}

// One instance serves one transfer.
let session;

export const types = {};

export const platform = {
  describe: () => description,
  open: guarded((transfer) => {
    session = new Session(transfer);
  }),
  decode: guarded((batch) => {
    const { out, faults, dirty } = session.each(batch, session.heard);
    return { events: out, replies: [], faults, dirty };
  }),
  encode: guarded((batch) => {
    const { out, faults, dirty } = session.each(batch, session.said);
    return { messages: out, faults, dirty };
  }),
  save: guarded(() => {
    const state = session.state();
    session.held = hex(state);
    return state;
  }),
};
