// Chunked Oblivious HTTP, as docs/protocol.md, section 5 has it. HPKE is @hpke/core's.

import { createDecipheriv, hkdfSync } from "node:crypto";
import { Chacha20Poly1305 } from "@hpke/chacha20poly1305";
import { Aes128Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core";
import { fail } from "./structured.mjs";

const AEADS = {
  1: { make: () => new Aes128Gcm(), node: "aes-128-gcm", keyBytes: 16 },
  3: { make: () => new Chacha20Poly1305(), node: "chacha20-poly1305", keyBytes: 32 },
};
const LARGEST_ANSWER = 65536;
const FINAL = Buffer.from("final");

export class Envelope {
  /** `key`: an entry of the document; `aead`: one of its suites. */
  static async to(key, aead) {
    const envelope = new Envelope();
    envelope.aead = AEADS[aead];
    const kem = new DhkemX25519HkdfSha256();
    const suite = new CipherSuite({ kem, kdf: new HkdfSha256(), aead: envelope.aead.make() });
    envelope.head = Buffer.from([key.id, 0, 0x20, 0, 1, 0, aead]);
    const info = Buffer.concat([Buffer.from("message/bhttp chunked request\0"), envelope.head]);
    const recipientPublicKey = await kem.deserializePublicKey(new Uint8Array(key.raw).buffer);
    envelope.context = await suite.createSenderContext({ recipientPublicKey, info });
    envelope.enc = Buffer.from(envelope.context.enc);
    return envelope;
  }

  /** The body of the request: its head, then each chunk of at most `size` bytes of plaintext. */
  async seal(plain, size) {
    const parts = [Buffer.concat([this.head, this.enc])];
    for (let at = 0; at + size < plain.length; at += size) {
      const sealed = Buffer.from(await this.context.seal(plain.subarray(at, at + size)));
      const length = Buffer.alloc(4);
      length.writeUInt32BE((sealed.length | 0x80000000) >>> 0); // any form of the integer is read
      parts.push(Buffer.concat([length, sealed]));
    }
    const last = plain.subarray(size * (Math.ceil(plain.length / size) - 1));
    parts.push(
      Buffer.concat([Buffer.from([0]), Buffer.from(await this.context.seal(last, FINAL))]),
    );
    return parts;
  }

  /** The plaintext of a whole answer, and how many chunks it came in. */
  async open(body) {
    const { keyBytes, node } = this.aead;
    const nonceBytes = Math.max(12, keyBytes);
    const purpose = Buffer.from("message/bhttp chunked response");
    const secret = Buffer.from(await this.context.export(purpose, nonceBytes));
    const salt = Buffer.concat([this.enc, body.subarray(0, nonceBytes)]);
    const key = Buffer.from(hkdfSync("sha256", secret, salt, "key", keyBytes));
    const base = Buffer.from(hkdfSync("sha256", secret, salt, "nonce", 12));
    const pieces = [];
    for (let at = nonceBytes; ;) {
      const { value: length, next } = readInteger(body, at);
      const end = length === 0 ? body.length : next + length;
      if (end > body.length || end < next + 16 + (length && 1)) fail("a chunk that isn't whole");
      if (end - next - 16 > LARGEST_ANSWER) fail("a chunk that is too large");
      const nonce = Buffer.from(base);
      nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ pieces.length) >>> 0, 8);
      const cipher = createDecipheriv(node, key, nonce, { authTagLength: 16 });
      cipher.setAAD(length === 0 ? FINAL : Buffer.alloc(0), { plaintextLength: end - next - 16 });
      cipher.setAuthTag(body.subarray(end - 16, end));
      pieces.push(Buffer.concat([cipher.update(body.subarray(next, end - 16)), cipher.final()]));
      if (length === 0) return { plain: Buffer.concat(pieces), chunks: pieces.length };
      at = end;
    }
  }
}

/** A variable-length integer (RFC 9000, section 16). */
function readInteger(data, at) {
  if (at >= data.length) fail("no final chunk");
  const next = at + 2 ** (data[at] >> 6);
  if (next > data.length) fail("an integer that isn't whole");
  let value = data[at] & 63;
  for (const byte of data.subarray(at + 1, next)) value = value * 256 + byte;
  return { value, next };
}
