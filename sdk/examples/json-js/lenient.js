// JSON as devices write it: the members of one object, with what firmware gets wrong forgiven.
//
// A value is null, true, false, or { kind, text }: a string with its escapes resolved, a number, array or object as written.
import { binary, Malformed } from "./bytes.js";

const MOST = (1n << 64n) - 1n;
const DEPTH = 64;
const decoder = new TextDecoder();

const broken = (what, at) => new Malformed(`not JSON: no ${what} at byte ${at}`);

// So that places in the text are places in the message: where it is not ASCII, one character for each byte.
export function textOf(payload) {
  const text = decoder.decode(payload);
  return text.length === payload.length ? text : binary(payload);
}

// Characters that were bytes of UTF-8.
function wide(text) {
  if (!/[\x80-\xff]/.test(text)) return text;
  return decoder.decode(Uint8Array.from(text, (character) => character.charCodeAt(0)));
}

const CONTROLS = { n: "\n", t: "\t", r: "\r", b: "\b", f: "\f", u: "\ufffd" };
const ESCAPE = /\\(?:u([0-9a-fA-F]{4})|(.))/gs;

function resolved(raw) {
  const text = wide(raw);
  if (!text.includes("\\")) return text;
  const plain = text.replace(ESCAPE, (_, digits, kind) =>
    kind === undefined ? String.fromCharCode(Number.parseInt(digits, 16)) : (CONTROLS[kind] ?? kind),
  );
  // Half a surrogate pair is no character.
  return plain.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");
}

const isBlank = (code) => code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;

class Cursor {
  constructor(text, at) {
    this.text = text;
    this.at = at;
  }

  // Blanks, and any number of commas where there may be some: a trailing one is common.
  skip(commas) {
    let code = this.text.charCodeAt(this.at);
    while (isBlank(code) || (commas && code === 0x2c)) code = this.text.charCodeAt(++this.at);
  }

  // The text between two quotation marks; indexOf is quicker than any loop here.
  raw() {
    const { text, at: begin } = this;
    if (text[begin] !== '"') throw broken("string", begin);
    let end = text.indexOf('"', begin + 1);
    if (end < 0) throw broken("end of the string", begin);
    const escape = text.indexOf("\\", begin + 1);
    if (escape >= 0 && escape < end) {
      for (end = escape; text[end] !== '"'; end += text[end] === "\\" ? 2 : 1) {
        if (end >= text.length) throw broken("end of the string", begin);
      }
    }
    this.at = end + 1;
    return text.slice(begin + 1, end);
  }

  value() {
    const { text, at } = this;
    const first = text[at];
    if (first === '"') return { kind: "string", text: resolved(this.raw()) };
    if (first === "{" || first === "[") return { kind: first === "[" ? "array" : "object", text: this.nested() };
    const found = /[-+.0-9][-+.0-9eE]*|null|true|false/y;
    found.lastIndex = at;
    const [word] = found.exec(text) ?? [];
    if (word === undefined) throw broken("value", at);
    this.at += word.length;
    if (word === "null") return null;
    if (word === "true" || word === "false") return word === "true";
    return { kind: "number", text: word };
  }

  // Steps over an array or object by its brackets, whatever is in it.
  nested() {
    const begin = this.at;
    let depth = 0;
    do {
      const character = this.text[this.at];
      if (character === undefined) throw broken("closing bracket", this.at);
      if (character === '"') {
        this.raw();
        continue;
      }
      if (character === "{" || character === "[") depth++;
      if (character === "}" || character === "]") depth--;
      if (depth > DEPTH) throw new Malformed(`JSON is nested too deeply at byte ${this.at}`);
      this.at++;
    } while (depth > 0);
    return this.text.slice(begin, this.at);
  }
}

// Calls `found` with key, value and the place where the member before ended, for each in turn.
export function members(text, found) {
  const cursor = new Cursor(text, text.startsWith("\xef\xbb\xbf") ? 3 : 0);
  cursor.skip(false);
  if (text[cursor.at] !== "{") throw broken("object", cursor.at);
  cursor.at++;
  for (let end = cursor.at; ; end = cursor.at) {
    cursor.skip(true);
    if (text[cursor.at] === "}") break;
    const key = resolved(cursor.raw());
    cursor.skip(false);
    if (text[cursor.at] !== ":") throw broken("colon", cursor.at);
    cursor.at++;
    cursor.skip(false);
    const value = cursor.value();
    cursor.skip(false);
    if (text[cursor.at] !== "," && text[cursor.at] !== "}") throw broken("comma or end of object", cursor.at);
    found(key, value, end);
  }
  if (!/^[ \t\r\n\0]*$/.test(text.slice(cursor.at + 1))) throw broken("end", cursor.at + 1);
}

// The items of an array; none of anything else.
export function items(array) {
  const found = [];
  if (array?.kind !== "array") return found;
  const cursor = new Cursor(array.text, 1);
  for (;;) {
    cursor.skip(true);
    if (cursor.at >= array.text.length || array.text[cursor.at] === "]") return found;
    found.push(cursor.value());
  }
}

// A number that is whole and not negative, also one in quotation marks or with zeros behind its point; or undefined.
export function u64(value) {
  if (value?.kind !== "number" && value?.kind !== "string") return undefined;
  const [, whole] = /^[ \t\r\n]*([0-9]{1,40})(?:\.0*)?[ \t\r\n]*$/.exec(value.text) ?? [];
  if (whole === undefined) return undefined;
  const number = BigInt(whole);
  return number <= MOST ? number : undefined;
}

// For people; a number is a string whose quotation marks were forgotten. Anything else is undefined.
export const words = (value) => (value?.kind === "string" || value?.kind === "number" ? value.text : undefined);
