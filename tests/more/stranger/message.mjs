// Binary HTTP (RFC 9292), in the form that docs/protocol.md, section 5 gives it.
//
// bhttp-js 0.2.1 writes a request where it can, and reads every answer it can. What was found:
// - it writes a URL's path without its query, each field on one line, and known length alone, which
//   a receiver only has to read;
// - it reads a field name of 64 bytes or more wrongly, the last of repeated fields only, and no
//   status that forbids a body (204, 304); a value with bytes outside ASCII makes it fail;
// - it takes a message that ends early for one that ended.
// So `writeByHand` writes the rest, and `walk` reads each answer too: for every line of its fields,
// and to see that it is whole. Where the library can read an answer, the two readings must agree.

import { BHttpDecoder, BHttpEncoder } from "bhttp-js";
import { fail } from "./structured.mjs";

/** A request without a query, whose fields stand once, at known length. */
export async function writeByLibrary({ method, scheme, authority, path, fields, body }) {
  const headers = new Headers(fields);
  const init = body.length ? { method, headers, body } : { method, headers };
  const request = new Request(`${scheme}://${authority}${path}`, init);
  return Buffer.from(await new BHttpEncoder().encodeRequest(request));
}

/** Any request, at indeterminate length; the body in pieces of at most `piece` bytes. */
export function writeByHand({ method, scheme, authority, path, fields, body }, piece) {
  const parts = [integer(2), ...[method, scheme, authority, path].map(text)];
  for (const [name, value] of fields) parts.push(text(name), text(value));
  parts.push(integer(0));
  for (let at = 0; at < body.length; at += piece) {
    const data = body.subarray(at, at + piece);
    parts.push(integer(data.length), data);
  }
  return Buffer.concat([...parts, integer(0), integer(0)]);
}

/** Zeros up to max(1024, Padmé's length). */
export function pad(message) {
  const exponent = Math.floor(Math.log2(message.length));
  const step = 2 ** (exponent - Math.floor(Math.log2(exponent)) - 1);
  const length = Math.max(1024, Math.ceil(message.length / step) * step);
  return Buffer.concat([message, Buffer.alloc(length - message.length)]);
}

/** A whole answer: its status, each line of its fields, its body; `library`: how that fared. */
export async function readAnswer(plain, method) {
  const byHand = walk(plain, method);
  try {
    const response = new BHttpDecoder().decodeResponse(new Uint8Array(plain));
    const body = Buffer.from(await response.arrayBuffer());
    const last = new Map(byHand.fields);
    const agrees =
      response.status === byHand.status &&
      body.equals(byHand.body) &&
      [...response.headers].every(([name, value]) => last.get(name) === value);
    return { ...byHand, library: agrees ? "agrees" : "reads another answer" };
  } catch (error) {
    return { ...byHand, library: `can't read it: ${error.message}` };
  }
}

function walk(plain, method) {
  let at = 0;
  const take = (count) => {
    at += count;
    return at <= plain.length ? plain.subarray(at - count, at) : fail("it ends early");
  };
  const next = () => {
    const [first] = take(1);
    const rest = take(2 ** (first >> 6) - 1);
    return Number(rest.reduce((sum, byte) => sum * 256n + BigInt(byte), BigInt(first & 63)));
  };
  const section = () => {
    const fields = [];
    for (let length = next(); length; length = next()) {
      const name = take(length).toString("latin1");
      if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name)) fail(`a field named ${name}`);
      fields.push([name, take(next()).toString("latin1")]);
    }
    return fields;
  };
  if (next() !== 3) fail("not a response of indeterminate length");
  let status = next();
  for (; status >= 100 && status < 200; status = next()) section();
  if (status < 200 || status > 599) fail(`status ${status}`);
  const fields = section();
  const pieces = [];
  for (let length = next(); length; length = next()) pieces.push(take(length));
  if (at < plain.length && section().length) fail("a trailer");
  if (plain.subarray(at).some((byte) => byte)) fail("padding that isn't zeros");
  const body = Buffer.concat(pieces);
  const length = fields.filter(([name]) => name === "content-length").map(([, value]) => value);
  const empty = method === "HEAD" || status === 204 || status === 304;
  if (length.length && !empty && length.join() !== String(body.length)) fail("another length");
  return { status, fields, body };
}

function integer(value) {
  if (value < 64) return Buffer.from([value]);
  const data = Buffer.alloc(value < 16384 ? 2 : 4);
  if (data.length === 2) data.writeUInt16BE(value | 0x4000);
  else data.writeUInt32BE((value | 0x80000000) >>> 0);
  return data;
}

function text(value) {
  const data = Buffer.from(value, "latin1");
  return Buffer.concat([integer(data.length), data]);
}
