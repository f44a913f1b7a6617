// Portal IDs and identity documents: docs/protocol.md, sections 1 and 2.

import {
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  sign,
  verify,
} from "node:crypto";
import { ed25519 } from "@noble/curves/ed25519";
import { one } from "./http.mjs";
import { fail, fromBase64, readDictionary, write } from "./structured.mjs";

const SPKI = Buffer.from("302a300506032b6570032100", "hex");
const X25519_SPKI = Buffer.from("302a300506032b656e032100", "hex");
const P = 2n ** 255n - 19n;

export class Key {
  constructor(pem) {
    this.secret = createPrivateKey(pem);
    this.raw = createPublicKey(this.secret).export({ format: "der", type: "spki" }).subarray(12);
    this.id = portalId(this.raw);
  }

  sign(base) {
    return sign(null, base, this.secret);
  }
}

export const newPem = () =>
  generateKeyPairSync("ed25519").privateKey.export({ format: "pem", type: "pkcs8" });

export function pemOf(raw) {
  const text = Buffer.concat([SPKI, raw]).toString("base64");
  return `-----BEGIN PUBLIC KEY-----\n${text}\n-----END PUBLIC KEY-----\n`;
}

export function portalId(raw) {
  const bits = [...createHash("sha512").update(pemOf(raw)).digest()]
    .map((byte) => byte.toString(2).padStart(8, "0"))
    .join("");
  return bits
    .match(/.{1,5}/g)
    .map((five) => "abcdefghjklnpqrstvwxyz0123456789"[parseInt(five.padEnd(5, "0"), 2)])
    .join("");
}

/** `answer`: what came; `id`: whose document it must be; `now`: the reader's clock. */
export function readDocument(answer, id, now) {
  if (answer.status !== 200 || answer.body.length > 65536) fail("not a document");
  const raw = readPortalKey(answer.fields);
  const { base, value, parameters } = readSignature(answer, "portal-identity");
  const stated = [...parameters.keys()].sort().join(" ");
  if (stated !== "created expires keyid tag") fail(`parameters: ${stated}`);
  const [created, expires] = ["created", "expires"].map((name) => parameters.get(name));
  if (!Number.isInteger(created) || !Number.isInteger(expires)) fail("times that aren't Integers");
  if (created < 0 || expires < created || expires > created + 3600) fail("valid for too long");
  if (created > now + 60 || expires <= now) fail("not in time");
  if (portalId(raw) !== id || parameters.get("keyid") !== id) fail("another Portal");
  const spki = { key: Buffer.concat([SPKI, raw]), format: "der", type: "spki" };
  if (!verify(null, base, spki, value)) fail("the signature doesn't verify");
  checkDigest(one(answer.fields, "content-digest"), answer.body);
  const document = readJson(answer.body);
  const { name, domain, modes } = document;
  if (document.id !== id || typeof name !== "string") fail("no id or name");
  if (typeof domain !== "string" || !Array.isArray(modes)) fail("no domain or modes");
  const { sealing_keys: entries = [], largest_chunk: largest = 16384 } = document;
  if (!Number.isInteger(largest) || largest < 16384) fail("largest_chunk");
  const epoch = document.epoch === undefined ? undefined : readEpoch(document.epoch);
  return { id, name, domain, modes, expires, largest, epoch, keys: readKeys(entries) };
}

/** An epoch, in base64: 16 bytes, in the one way to write them. */
export function readEpoch(text) {
  if (typeof text !== "string" || fromBase64(text).length !== 16) fail("an epoch");
  return text;
}

function readPortalKey(fields) {
  const found = /^:([A-Za-z0-9+/=]{44}):$/.exec(one(fields, "portal-key")) ?? fail("portal-key");
  const raw = fromBase64(found[1]);
  const point = ed25519.Point.fromHex(raw);
  if (point.is0() || !point.isTorsionFree()) fail("a key of small or mixed order");
  return raw;
}

/** The one signature with this tag, and its base (RFC 9421, section 2.5). */
function readSignature(answer, tag) {
  const inputs = readDictionary(one(answer.fields, "signature-input"));
  const ours = [...inputs].filter(([, input]) => input.parameters.get("tag") === tag);
  if (ours.length !== 1) fail(`${ours.length} signatures with our tag`);
  const [label, input] = ours[0];
  const lines = input.value.map(({ value, parameters }) => {
    if (parameters.size) fail("a component with parameters");
    return [value, value === "@status" ? String(answer.status) : one(answer.fields, value)];
  });
  const covered = lines
    .map(([name]) => name)
    .sort()
    .join(" ");
  if (covered !== "@status content-digest content-type portal-key") fail(`covers ${covered}`);
  const text = lines.map(([name, value]) => `"${name}": ${value}\n`).join("");
  const signature = readDictionary(one(answer.fields, "signature")).get(label);
  if (signature?.parameters.size !== 0 || signature.value.length !== 64) fail("no signature");
  const base = Buffer.from(`${text}"@signature-params": ${write(input)}`, "latin1");
  return { base, value: signature.value, parameters: input.parameters };
}

function checkDigest(text, body) {
  const known = [...readDictionary(text)].filter(([name]) => /^sha-(256|512)$/.test(name));
  if (!known.length) fail("no digest that is known");
  for (const [name, { value, parameters }] of known) {
    const digest = createHash(name.replace("-", "")).update(body).digest();
    if (parameters.size || !digest.equals(value)) fail(`another ${name}`);
  }
}

/** JSON without duplicate keys, which JSON.parse lets pass. */
function readJson(data) {
  const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
  const value = JSON.parse(text);
  const open = [];
  for (const [part, , colon] of text.matchAll(/("(?:[^"\\]|\\.)*")(\s*:)?|[{}[\]]/g)) {
    if (part === "{" || part === "[") open.push(new Set());
    else if (part === "}" || part === "]") open.pop();
    else if (colon) {
      const key = JSON.parse(part.slice(0, -colon.length));
      if (open.at(-1).has(key)) fail(`${key} stands twice`);
      open.at(-1).add(key);
    }
  }
  return value;
}

/** The keys with DHKEM(X25519, HKDF-SHA256) and a suite that is known here. */
function readKeys(entries) {
  if (!Array.isArray(entries) || entries.length > 16) fail("sealing_keys");
  return entries.map(readKey).filter((key) => key !== null);
}

function readKey(entry) {
  const { config, until } = entry ?? {};
  if (typeof config !== "string" || !Number.isInteger(until) || until < 0) fail("an entry's form");
  const data = fromBase64(config);
  if (data.length < 3) fail("a configuration that ends early");
  if (data.readUInt16BE(1) !== 0x0020) return null;
  if (data.length < 37 || data.readUInt16BE(35) !== data.length - 37) fail("its length");
  const suites = [];
  if (data.length === 37 || (data.length - 37) % 4) fail("its suites");
  for (let at = 37; at < data.length; at += 4) {
    const [kdf, aead] = [data.readUInt16BE(at), data.readUInt16BE(at + 2)];
    if (kdf === 1 && (aead === 1 || aead === 3)) suites.push(aead);
  }
  const raw = data.subarray(3, 35);
  checkX25519(raw);
  return suites.length ? { id: data[0], raw, suites, until, config } : null;
}

function checkX25519(raw) {
  if (BigInt(`0x${Buffer.from(raw).reverse().toString("hex")}`) >= P) fail("not canonical");
  const der = Buffer.concat([X25519_SPKI, raw]);
  const publicKey = createPublicKey({ key: der, format: "der", type: "spki" });
  const { privateKey } = generateKeyPairSync("x25519");
  diffieHellman({ privateKey, publicKey }); // fails where the secret is all zeros
}
