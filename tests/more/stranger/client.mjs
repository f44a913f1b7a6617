// A client of the protocol that shares no line with the proxy: written from docs/protocol.md and the
// RFCs it names, on Node's own cryptography, @hpke/core and bhttp-js (message.mjs says what that
// library did, and what is written by hand).
//
//   node client.mjs new-key FILE       make a key, print its Portal ID
//   node client.mjs call < PLAN        fetch the document, make one sealed call, print what came
//
// The plan is JSON: `key` (a file), `id`, `authority` (the Portal's own), `connect` (a port), `app`,
// `method`, `path`, `fields`, `body` (base64); `writer` is "library" or "hand", `chunk` the bytes of
// plaintext in a chunk, `aead` 1 or 3, `skew` how many seconds our clock is ahead, `flip` the chunk
// of which a bit is flipped in the first try, `epoch` the one to sign the first try under instead of
// the document's ("" is none).

import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { text as readAll } from "node:stream/consumers";
import { Envelope } from "./envelope.mjs";
import { exchange, one } from "./http.mjs";
import { Key, newPem, readDocument, readEpoch } from "./identity.mjs";
import { pad, readAnswer, writeByHand, writeByLibrary } from "./message.mjs";
import { fail, readItem, Token, write, writeBytes } from "./structured.mjs";

const UNKNOWN_KEY = "https://iana.org/assignments/http-problem-types#ohttp-key";
const RENAMED_THERE = ["signature", "signature-input", "content-digest"];
const ACCEL = ["buffering", "charset", "expires", "limit-rate", "redirect"];
const RENAMED_BACK = [
  ...RENAMED_THERE,
  ...["date", "server", "x-pad", "x-sendfile"],
  ...ACCEL.map((name) => `x-accel-${name}`),
];
const SAFE = ["GET", "HEAD", "OPTIONS"];
const PROTOCOL = /^portal-(key|to|seal|token|refusal)$/;

const travelling = (name) => (RENAMED_THERE.includes(name) ? `portal-app-${name}` : name);
const own = (name) => RENAMED_BACK.find((each) => name === `portal-app-${each}`) ?? name;
const clock = (plan) => Math.floor(Date.now() / 1000) + (plan.skew ?? 0);

async function fetchDocument(plan) {
  const headers = { host: plan.authority };
  const answer = await exchange(plan.connect, "GET", "/.well-known/portal-identity", headers);
  return readDocument(answer, plan.id, clock(plan));
}

function chooseKey(document, plan) {
  if (!document.modes.includes("sealed")) fail("takes no sealed calls");
  const usable = document.keys.filter((key) => key.until > clock(plan));
  const key = usable.sort((a, b) => b.until - a.until)[0] ?? fail("no sealing key");
  return key.suites.includes(plan.aead) ? key : fail("the suite isn't offered");
}

/** The request inside, signed for this envelope; every field is covered. */
function signInside(plan, key, { nonce, created, epoch }, enc) {
  const host = `${plan.app}.${plan.authority}`;
  const fields = [
    ...plan.fields.map(([name, value]) => [travelling(name), value]),
    ["portal-seal", writeBytes(enc)],
    ["portal-key", writeBytes(key.raw)],
    ["portal-to", `"${plan.id}";app="${plan.app}"` + (epoch ? `;epoch=:${epoch}:` : "")],
  ];
  const query = plan.path.includes("?") ? plan.path.slice(plan.path.indexOf("?")) : "?";
  const lines = [
    ['"@method"', plan.method],
    ['"@authority"', host],
    ['"@path"', plan.path.split("?")[0]],
    ['"@query"', query],
    ['"@request-target"', plan.path],
  ];
  for (const name of new Set(fields.map(([field]) => field))) {
    const values = fields.filter(([field]) => field === name).map(([, value]) => value);
    const plain = values.length === 1 && /^[\x00-\x7f]*$/.test(values[0]);
    const bytes = values.map((value) => writeBytes(Buffer.from(value, "latin1"))).join(", ");
    lines.push(plain ? [`"${name}"`, values[0]] : [`"${name}";bs`, bytes]);
  }
  const parameters = new Map(Object.entries({ created, expires: created + 60 }));
  parameters.set("nonce", nonce.toString("base64url")).set("keyid", key.id);
  const list = `(${lines.map(([name]) => name).join(" ")})`;
  const input = list + write({ value: new Token(""), parameters }) + ';tag="portal-peering"';
  const base = [...lines, ['"@signature-params"', input]].map((line) => line.join(": ")).join("\n");
  fields.push(["signature-input", `portal=${input}`]);
  fields.push(["signature", `portal=${writeBytes(key.sign(Buffer.from(base, "latin1")))}`]);
  return { scheme: "http", authority: host, fields };
}

async function attempt(plan, document, key, signing, flip) {
  const envelope = await Envelope.to(chooseKey(document, plan), plan.aead);
  const body = Buffer.from(plan.body ?? "", "base64");
  const inside = signInside(plan, key, signing, envelope.enc);
  const request = { method: plan.method, path: plan.path, body, ...inside };
  const message =
    plan.writer === "library" ? await writeByLibrary(request) : writeByHand(request, plan.chunk);
  const size = Math.min(plan.chunk, document.largest);
  const pieces = await envelope.seal(pad(message), size);
  if (flip !== undefined) pieces[flip + 1][pieces[flip + 1].length - 20] ^= 1;
  const outer = await exchange(
    plan.connect,
    "POST",
    "/.well-known/ohttp-gateway",
    {
      host: plan.authority,
      "content-type": "message/ohttp-chunked-req",
      incremental: "?1",
      "transfer-encoding": "chunked",
    },
    pieces,
  );
  const type = one(outer.fields, "content-type").split(";")[0].toLowerCase();
  const seen = { framing: message[0], sent: pieces.length - 1, outer: outer.status };
  if (outer.status !== 200 || type !== "message/ohttp-chunked-res") {
    const problem = type === "application/problem+json" ? JSON.parse(outer.body) : {};
    return { ...seen, sealed: false, problem };
  }
  const opened = await envelope.open(outer.body);
  const answer = await readAnswer(opened.plain, plan.method);
  return { ...seen, sealed: true, chunks: opened.chunks, ...judge(answer) };
}

/** The refusal, if it is one, and the fields for the caller: renamed back, ours dropped. */
function judge({ fields, ...answer }) {
  const refusals = fields.filter(([name]) => name === "portal-refusal");
  const refusal = refusals.length ? readItem(one(fields, "portal-refusal")) : null;
  const kept = fields
    .map(([name, value]) => [own(name), value])
    .filter(([name]) => !PROTOCOL.test(name));
  const told = Object.fromEntries(refusal?.parameters ?? []);
  const epoch = told.epoch && readEpoch(told.epoch.toString("base64"));
  return { ...answer, fields: kept, code: refusal?.value.text ?? null, ...told, epoch };
}

/** Whether an earlier try may have been carried out under another epoch, and its claim be lost. */
function mayBeForgotten(plan, signing, told, started) {
  if (!signing.epoch || signing.epoch === told.epoch || SAFE.includes(plan.method)) return false;
  return !(told.memory > performance.now() - started);
}

/** A first try, and what may follow: another one for the key, another one for the time. */
async function call(plan) {
  const key = new Key(readFileSync(plan.key));
  let document = await fetchDocument(plan);
  const epoch = plan.epoch ?? document.epoch;
  const signing = { nonce: randomBytes(32), created: clock(plan), epoch };
  const started = performance.now();
  const tries = [await attempt(plan, document, key, signing, plan.flip)];
  if (tries.at(-1).problem?.type === UNKNOWN_KEY && tries.at(-1).outer < 500) {
    document = await fetchDocument(plan);
    tries.push(await attempt(plan, document, key, signing));
  }
  const last = tries.at(-1);
  if (last.code === "out_of_time" && !mayBeForgotten(plan, signing, last, started)) {
    Object.assign(signing, { created: last.now, epoch: last.epoch });
    tries.push(await attempt(plan, document, key, signing));
  }
  return { document, tries };
}

const [command, file] = process.argv.slice(2);
if (command === "new-key") {
  writeFileSync(file, newPem(), { mode: 0o600 });
  console.log(new Key(readFileSync(file)).id);
} else {
  const done = await call(JSON.parse(await readAll(process.stdin)));
  const base64 = (_, value) =>
    value?.type === "Buffer" ? Buffer.from(value.data).toString("base64") : value;
  console.log(JSON.stringify(done, base64));
}
