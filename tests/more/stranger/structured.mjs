// Structured Fields (RFC 9651): dictionaries, read and written; no more types than the protocol has.
// What stands twice is refused, as docs/protocol.md, section 3 asks (the RFC takes the last).

export class Token {
  constructor(text) {
    this.text = text;
  }
}

const NUMBER = /-?[0-9]{1,15}(?![0-9.])/y;
const STRING = /"((?:[ !#-[\]-~]|\\["\\])*)"/y;
const BYTES = /:([A-Za-z0-9+/]*={0,2}):/y;
const BOOLEAN = /\?([01])/y;
const TOKEN = /[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*/y;
const KEY = /[a-z*][a-z0-9_.*-]*/y;

class Reader {
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  take(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found) this.at += found[0].length;
    return found;
  }

  need(pattern) {
    return this.take(pattern) ?? fail(`${pattern} expected at ${this.at} of ${this.text}`);
  }

  bareItem() {
    let found;
    if ((found = this.take(NUMBER))) return Number(found[0]);
    if ((found = this.take(STRING))) return found[1].replace(/\\(.)/g, "$1");
    if ((found = this.take(BYTES))) return fromBase64(found[1]);
    if ((found = this.take(BOOLEAN))) return found[1] === "1";
    return new Token(this.need(TOKEN)[0]);
  }

  parameters() {
    const all = new Map();
    while (this.take(/; */y)) {
      const key = this.need(KEY)[0];
      put(all, key, this.take(/=/y) ? this.bareItem() : true);
    }
    return all;
  }

  member() {
    if (!this.take(/\( */y)) return { value: this.bareItem(), parameters: this.parameters() };
    const items = [];
    while (!this.take(/\)/y)) {
      items.push({ value: this.bareItem(), parameters: this.parameters() });
      this.take(/ +/y) ?? this.need(/(?=\))/y);
    }
    return { value: items, parameters: this.parameters() };
  }
}

export function readDictionary(text) {
  const reader = new Reader(text.trim());
  const all = new Map();
  while (reader.at < reader.text.length) {
    if (all.size) reader.need(/[ \t]*,[ \t]*(?!$)/y);
    const key = reader.need(KEY)[0];
    const bare = () => ({ value: true, parameters: reader.parameters() });
    put(all, key, reader.take(/=/y) ? reader.member() : bare());
  }
  return all;
}

export function readItem(text) {
  const reader = new Reader(text.trim());
  const item = reader.member();
  if (Array.isArray(item.value) || reader.at < reader.text.length) fail(`no item: ${text}`);
  return item;
}

export function write(member) {
  const { value } = member;
  const text = Array.isArray(value) ? `(${value.map(write).join(" ")})` : writeBare(value);
  const one = ([key, v]) => (v === true ? `;${key}` : `;${key}=${writeBare(v)}`);
  return text + [...member.parameters].map(one).join("");
}

export const writeBytes = (data) => `:${Buffer.from(data).toString("base64")}:`;

/** Base64 in its one padded spelling, or an error. */
export function fromBase64(text) {
  const data = Buffer.from(text, "base64");
  if (data.toString("base64") !== text) fail(`base64 in another spelling: ${text}`);
  return data;
}

export function fail(why) {
  throw new Error(why);
}

function writeBare(value) {
  if (value instanceof Token) return value.text;
  if (value instanceof Uint8Array) return writeBytes(value);
  if (typeof value === "string") return `"${value.replace(/["\\]/g, "\\$&")}"`;
  return typeof value === "boolean" ? (value ? "?1" : "?0") : String(value);
}

function put(all, key, value) {
  if (all.has(key)) fail(`${key} stands twice`);
  all.set(key, value);
}
