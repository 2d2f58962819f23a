// Reads and writes messages of json-base64; the format is described in plugins/json-base64.
import { base64, crc32, hex, Malformed, md5, same, unbase64, unhex } from "./bytes.js";
import { items, members, textOf, u64, words } from "./lenient.js";

// What stands around a piece at most, and how a piece grows. 640 bytes of file make a message of 1 KiB.
export const OVERHEAD = 170;
export const PER_MILLE = 1334;

const encoder = new TextEncoder();
const digits = (number, size) => number.toString(16).padStart(size, "0");

const ESCAPED = /["\\\x00-\x1f]/g;
const escape = (character) => (character < " " ? `\\u${digits(character.charCodeAt(0), 4)}` : `\\${character}`);
const quoted = (text) => `"${text.replace(ESCAPED, escape)}"`;

// The object of these members, which begin with a brace; under packCrc where that is asked for.
function guarded(text, check) {
  if (check !== "crc") return encoder.encode(`${text}}`);
  const bytes = encoder.encode(`${text},"packCrc":"00000000"}`);
  const end = bytes.length - ',"packCrc":"00000000"}'.length;
  bytes.set(encoder.encode(digits(crc32(bytes, end), 8)), bytes.length - 10);
  return bytes;
}

// Makes the data messages of one file.
export class DataWriter {
  constructor(digest, size, name, type, check) {
    Object.assign(this, { size, check });
    const names = [name ? `,"fileName":${quoted(name)}` : "", type === undefined ? "" : `,"fileType":${quoted(type)}`];
    // With fewer and fewer of the optional names.
    const variants = [names[0] + names[1], names[1], names[0], ""];
    const texts = variants.map((variant) => `{"fileMd5":"${hex(digest)}"${variant},"fileSize":${size}`);
    this.prefixes = texts.map((text) => ({ text, length: encoder.encode(text).length }));
    this.guard = { crc: 22, md5: 46, none: 1 }[check];
  }

  // `packetSize` is the largest piece of the transfer: the optional names go in where its message leaves room.
  message(offset, piece, packetSize) {
    if (offset + BigInt(piece.length) > this.size) {
      throw new Malformed(`${piece.length} bytes at ${offset} pass the end of ${this.size} bytes`);
    }
    let rest = `,"packSize":${piece.length},"packOffset":${offset},"packData":"${base64(piece)}"`;
    const most = Math.floor((Math.max(packetSize, piece.length) * PER_MILLE) / 1000);
    const room = OVERHEAD + most - rest.length - this.guard;
    const prefix = this.prefixes.find(({ length }) => length <= room) ?? this.prefixes[3];
    if (this.check === "md5") rest += `,"packMd5":"${hex(md5(piece))}"`;
    return guarded(prefix.text + rest, this.check);
  }
}

export const pullRequest = (type, offset, length, check) =>
  guarded(`{"fileType":${quoted(type)},"packOffset":${offset},"packSize":${length}`, check);

export const verifyRequest = (digest, check) => guarded(`{"fileMd5":"${hex(digest)}"`, check);

export const missing = (name) => new Malformed(`${name} is missing`);

function number(name, value) {
  const found = u64(value);
  if (found === undefined) throw new Malformed(`${name} is no whole number`);
  return found;
}

function string(name, value) {
  if (value.kind !== "string") throw new Malformed(`${name} is no string`);
  return value.text;
}

// An MD5; empty text is none, null.
function digest(name, value) {
  const told = string(name, value);
  const found = told && unhex(told, 16);
  if (told && !found) throw new Malformed(`${name}: ${told.length} hexadecimal digits are not the right ones`);
  return found || null;
}

const READERS = {
  fileMd5: digest,
  fileName: (_, value) => words(value),
  fileType: (_, value) => words(value),
  fileSize: number,
  packSize: number,
  packOffset: number,
  packData: string,
  packMd5: string,
  missing: (_, value) => value,
  code: number,
  message: (_, value) => words(value),
  md5: digest,
  size: number,
};

export function within(offset, length, size) {
  const span = { start: offset, end: offset + length };
  if (span.end > size) throw new Malformed(`packOffset ${offset} and packSize ${length} pass the end of ${size} bytes`);
  return span;
}

// Everything that a message may hold, and whether packCrc was there and held.
export class Fields {
  constructor(payload) {
    this.checked = false;
    members(textOf(payload), (key, value, end) => {
      if (key === "packCrc") {
        const told = unhex(string(key, value ?? {}), 4);
        if (!told || hex(told) !== digits(crc32(payload, end), 8)) throw new Malformed("packCrc does not hold");
        this.checked = true;
      } else if (value !== null && Object.hasOwn(READERS, key)) {
        this[key] = READERS[key](key, value);
      }
    });
  }

  required(name) {
    if (this[name] === undefined || this[name] === null) throw missing(name);
    return this[name];
  }

  kind() {
    if (this.packData !== undefined) return "data";
    if (this.fileMd5) return "ack";
    if (this.fileType !== undefined) return "request";
    throw new Malformed("there is neither packData nor fileMd5 nor fileType");
  }

  // The range that the message speaks of, if it names one; it must lie in a file of `size` bytes.
  span(size) {
    if (this.packOffset === undefined && this.packSize === undefined) return undefined;
    return within(this.required("packOffset"), this.required("packSize"), size);
  }

  // The ranges that `missing` takes back.
  lost(size) {
    return items(this.missing).map((item) => {
      const [offset, length] = items(item).map(u64);
      if (offset === undefined || length === undefined) throw new Malformed("missing is no list of [offset, size]");
      return within(offset, length, size);
    });
  }

  // The piece, and what packMd5 said of it.
  piece() {
    const [offset, size] = [this.required("packOffset"), this.required("fileSize")];
    const bytes = unbase64(this.packData);
    const length = BigInt(bytes.length);
    if (this.packSize !== undefined && this.packSize !== length) {
      throw new Malformed(`packSize is ${this.packSize}, packData has ${length} bytes`);
    }
    const { end } = within(offset, length, size);
    if (!length && size) throw new Malformed("an empty packet of a file that is not empty");
    let sum = this.checked ? "good" : "absent";
    if (this.packMd5 !== undefined) {
      const told = unhex(this.packMd5, 16);
      sum = told && same(told, md5(bytes)) ? "good" : "bad";
    }
    return { offset, bytes, size, sum, last: end >= size };
  }
}
