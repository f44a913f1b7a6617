import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { Server } from "node:http";
import { after, before, test } from "node:test";
import express from "express";
import {
  AppUnavailable,
  BY_CODE,
  caller,
  CallBrokenOff,
  NoSuchPeer,
  NotAllowed,
  Portal,
  TokenRefused,
  type Peer,
  type Refused,
} from "portal-peers";
import { portals, type Portals } from "portal-peers/testing";
import { MANIFEST, startApp, stopApp } from "./stage.js";

const LARGE = 3 * 2 ** 20;
let running: Portals;
let bobsApp: Server | undefined;
let bob: Peer;

/** Tells what it was asked, as raw as Node has it. */
const plain: Parameters<typeof startApp>[1] = (request, response) => {
  const { method, url } = request;
  if (url?.startsWith("/peer/broken")) {
    response.write("a part", () => response.destroy());
    return;
  }
  if (url?.startsWith("/peer/events")) {
    response.writeHead(200, { "Content-Type": "text/event-stream" }).write("data: 0\n\n");
    request.on("data", (piece: Buffer) => response.write(`data: ${piece}\n\n`));
    request.on("end", () => response.end());
    return;
  }
  const redirect = /^\/peer\/to\/(\d+)\?(.*)$/.exec(url ?? "");
  if (redirect) {
    response.writeHead(Number(redirect[1]), { Location: decodeURIComponent(redirect[2] ?? "") }).end();
    return;
  }
  const hash = createHash("sha256");
  request.on("data", (piece: Buffer) => hash.update(piece));
  request.on("end", () => {
    const body = hash.digest("hex");
    const problem = url === "/peer/refuses";
    const type = problem ? "application/problem+json" : "application/json";
    response.writeHead(problem ? 403 : 200, { "Content-Type": type, "Set-Cookie": ["a=1", "b=2"] });
    const told = { method, url, body, caller: caller(request), headers: request.headers };
    response.end(JSON.stringify({ code: "not_allowed", ...told }));
  });
};

interface Told {
  method: string;
  url: string;
  body: string;
  caller: unknown;
  headers: Record<string, string>;
}

before(async () => {
  running = await portals({ app: "guestbook", manifest: MANIFEST });
  bobsApp = await startApp(running[1], plain);
  const found = await running[0].portal.peers();
  bob = found[0]!;
});

after(async () => {
  stopApp(bobsApp);
  await running?.close();
});

test("the peers are listed, and can be found", async () => {
  const { portal, id } = running[0];
  assert.deepEqual([bob.id, bob.name, bob.isReachable], [running[1].id, "Bob", true]);
  assert.equal((await portal.peer(bob.id.slice(0, 8))).id, bob.id);
  assert.equal((await portal.whoareyou()).id, id);
  assert.deepEqual(await portal.peers({ name: "nobody" }), []);
});

for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"]) {
  test(`a call arrives as it was made, with its caller: ${method}`, async () => {
    const body = method === "GET" ? {} : { body: "Hello!" };
    const init = { ...body, headers: { "X-Own": "1", Cookie: "c=d" }, query: { lang: "en" } };
    const response = await bob.request(method, "/peer/entries/~a;b=%7e", init);
    const told = await response.json<Told>();
    assert.equal(told.method, method);
    assert.equal(told.url, "/peer/entries/~a;b=%7e?lang=en");
    assert.equal(told.body, createHash("sha256").update(method === "GET" ? "" : "Hello!").digest("hex"));
    assert.deepEqual(told.caller, { type: "peer", id: running[0].id, name: "Ada" });
    assert.deepEqual([told.headers["x-own"], told.headers["cookie"]], ["1", "c=d"]);
    assert.ok(!JSON.stringify(told).includes(running[0].environment["PORTAL_TOKEN"]!));
    assert.deepEqual(response.headers.getSetCookie().map((cookie) => cookie.split(";")[0]), ["a=1", "b=2"]);
  });
}

test("Express is called by a peer, and knows it", async (t) => {
  const app = express();
  app.post("/peer/entries", express.json(), (request, response) => {
    response.status(201).json({ said: request.body, by: caller(request) });
  });
  const server = await startApp(running[0], app);
  t.after(() => stopApp(server));
  const [ada] = await running[1].portal.peers();
  const response = await ada!.post("/peer/entries", { json: { text: "Hello!" } });
  assert.equal(response.status, 201);
  const by = { type: "peer", id: running[1].id, name: "Bob" };
  assert.deepEqual(await response.json(), { said: { text: "Hello!" }, by });
});

test("a large body streams, and arrives whole", async () => {
  const piece = Buffer.alloc(65_536, "x");
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for (let sent = 0; sent < LARGE; sent += piece.length) yield piece;
  }
  const told = await (await bob.put("/peer/x", { body: pieces() })).json<Told>();
  assert.equal(told.body, createHash("sha256").update(Buffer.alloc(LARGE, "x")).digest("hex"));
});

test("both directions stream at once", async () => {
  const asking = new TransformStream<Uint8Array, Uint8Array>();
  const writer = asking.writable.getWriter();
  const events = bob.stream("POST", "/peer/events", { body: asking.readable });
  for (const event of ["0", "1", "2"]) {
    const { value } = await events.next();
    assert.equal(Buffer.from(value!).toString(), `data: ${event}\n\n`);
    await writer.write(Buffer.from(String(Number(event) + 1)));
  }
  await events.return();
});

test("a response that breaks off is an error", async () => {
  const response = await bob.get("/peer/broken");
  await assert.rejects(response.text(), CallBrokenOff);
});

test("a signal ends a call", async () => {
  const controller = new AbortController();
  const { readable: body } = new TransformStream<Uint8Array, Uint8Array>();
  const response = await bob.post("/peer/events", { body, signal: controller.signal });
  const reader = response.body!.getReader();
  await reader.read();
  controller.abort("enough");
  await assert.rejects(reader.read(), (error) => error === "enough");
});

const REFUSED: [what: string, made: () => Promise<unknown>, kind: typeof Refused, code: string, by: string][] = [
  ["an unknown peer", () => running[0].portal.request("zzzzzz", "GET", "/"), NoSuchPeer, "no_such_peer", "portal"],
  ["a private path", () => bob.get("/private"), NotAllowed, "not_allowed", "peer"],
  ["the same to HEAD", () => bob.head("/private"), NotAllowed, "not_allowed", "peer"],
  ["no token", () => stranger().peers(), TokenRefused, "token_required", "portal"],
  ["a wrong token", () => stranger("wrong").request(bob.id, "POST", "/"), TokenRefused, "token_unknown", "portal"],
  ["a dot segment", () => bob.get("/peer/../../b8rk3f/x"), BY_CODE.get("bad_target")!, "bad_target", "portal"],
];

function stranger(token?: string): Portal {
  return new Portal({ url: running[0].environment["PORTAL_CORE_URL"]!, token });
}

for (const [what, made, kind, code, by] of REFUSED) {
  test(`a refusal tells why and whose it is: ${what}`, async () => {
    await assert.rejects(made(), (error: Refused) => {
      assert.deepEqual([error.constructor, error.code, error.by], [kind, code, by]);
      assert.equal(error.requestId !== undefined, by === "portal");
      return true;
    });
  });
}

test("what a peer's app answers is no refusal, whatever it looks like", async () => {
  const response = await bob.get("/peer/refuses");
  assert.deepEqual([response.status, (await response.json<{ code: string }>()).code], [403, "not_allowed"]);
});

test("an app that isn't there is told as such", async () => {
  const [ada] = await running[1].portal.peers();
  await assert.rejects(ada!.get("/peer/x"), (error: Refused) => {
    return error instanceof AppUnavailable && error.code === "app_unreachable" && error.by === "peer";
  });
});

for (const to of ["/peer/x/?a=%2e", "x/../../x/?a=%2e"]) {
  test(`a redirect is followed at the peer: ${to}`, async () => {
    const response = await bob.post(`/peer/to/307?${encodeURIComponent(to)}`, { body: "again" });
    const told = await response.json<Told>();
    assert.equal(told.body, createHash("sha256").update("again").digest("hex"));
    assert.equal(told.url, response.target);
    assert.ok(response.redirected);
  });
}
