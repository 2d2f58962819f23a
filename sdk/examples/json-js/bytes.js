// CRC-32, MD5, hexadecimal and Base64.

export class Malformed extends Error {}

const CRC = new Uint32Array(256).map((_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? (byte >>> 1) ^ 0xedb88320 : byte >>> 1;
  return byte;
});

export function crc32(bytes, end) {
  let crc = -1;
  for (let at = 0; at < end; at++) crc = (crc >>> 8) ^ CRC[(crc ^ bytes[at]) & 0xff];
  return ~crc >>> 0;
}

const SHIFTS = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
const SINES = Array.from({ length: 64 }, (_, step) => Math.floor(Math.abs(Math.sin(step + 1)) * 2 ** 32) | 0);

// RFC 1321.
export function md5(bytes) {
  const padded = new Uint8Array(((bytes.length + 8) >> 6 << 6) + 64);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, bytes.length << 3, true);
  view.setUint32(padded.length - 4, bytes.length >>> 29, true);
  const state = [0x67452301, 0xefcdab89 | 0, 0x98badcfe | 0, 0x10325476];
  for (let block = 0; block < padded.length; block += 64) {
    let [a, b, c, d] = state;
    for (let step = 0; step < 64; step++) {
      const round = step >> 4;
      const mixed = [(b & c) | (~b & d), (d & b) | (~d & c), b ^ c ^ d, c ^ (b | ~d)][round];
      const word = [step, 5 * step + 1, 3 * step + 5, 7 * step][round] & 15;
      const sum = (a + mixed + SINES[step] + view.getInt32(block + 4 * word, true)) | 0;
      const shift = SHIFTS[round][step & 3];
      [a, d, c, b] = [d, c, b, (b + ((sum << shift) | (sum >>> (32 - shift)))) | 0];
    }
    [a, b, c, d].forEach((part, index) => (state[index] = (state[index] + part) | 0));
  }
  const digest = new DataView(new ArrayBuffer(16));
  state.forEach((part, index) => digest.setInt32(4 * index, part, true));
  return new Uint8Array(digest.buffer);
}

export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

// The bytes of so many digits, or null where they are not that.
export function unhex(digits, size) {
  if (digits.length !== 2 * size || !/^[0-9a-fA-F]*$/.test(digits)) return null;
  return Uint8Array.from({ length: size }, (_, index) => Number.parseInt(digits.slice(2 * index, 2 * index + 2), 16));
}

export const same = (one, other) => one.length === other.length && one.every((byte, index) => byte === other[index]);

// One character for each byte.
export function binary(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode.apply(null, bytes.subarray(at, at + 8192));
  return text;
}

export const base64 = (bytes) => (bytes.toBase64 ? bytes.toBase64() : btoa(binary(bytes)));

// Takes both alphabets, padded or not.
export function unbase64(text) {
  const body = text.replace(/={0,3}$/, "").replaceAll("-", "+").replaceAll("_", "/");
  const padding = text.length - body.length;
  if (padding > 2 || (padding && text.length % 4) || body.length % 4 === 1) {
    throw new Malformed(`packData: Base64 of ${text.length} characters ends within a group`);
  }
  const stranger = body.search(/[^A-Za-z0-9+/]/);
  if (stranger >= 0) throw new Malformed(`packData: no Base64 character at place ${stranger}`);
  const bytes = decoded(body);
  const rest = body.length % 4;
  if (rest && base64(bytes.subarray(bytes.length - rest + 1)).slice(0, rest) !== body.slice(-rest)) {
    throw new Malformed("packData: the last Base64 character has stray bits");
  }
  return bytes;
}

function decoded(body) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(body);
  const text = atob(body);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}
