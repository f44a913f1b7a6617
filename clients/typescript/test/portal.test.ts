import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CallerUnclear,
  Busy,
  caller,
  CallBrokenOff,
  CallNotCarried,
  expectOk,
  NotAPortal,
  NotAllowed,
  NoSuchPeer,
  OutcomeUnknown,
  Portal,
  PortalError,
  RedirectRefused,
  Refused,
  TokenRefused,
  UnexpectedStatus,
} from "portal-peers";
import { FakePortal, type PeerApp } from "portal-peers/testing";
import { afterHead, listen } from "./listener.js";

/** A peer's app that redirects as its paths say, and tells what it was asked for. */
const redirecting: PeerApp = async (request, { target, headers }) => {
  const { pathname, searchParams } = new URL(request.url);
  const [, status] = pathname.split("/");
  const to = searchParams.get("to");
  if (to !== null) return new Response("gone", { status: Number(status), headers: { location: to } });
  const told = Object.fromEntries(headers);
  return Response.json({ method: request.method, target, body: await request.text(), headers: told });
};

interface Told {
  method: string;
  target: string;
  body: string;
  headers: Record<string, string>;
}

function bob(app?: PeerApp): { fake: FakePortal; peer: ReturnType<FakePortal["peer"]> } {
  const fake = new FakePortal();
  return { fake, peer: fake.peer(fake.addPeer("Bob", app)) };
}

test("the peers are listed, and found by name, ID and the beginning of one", async () => {
  const fake = new FakePortal();
  const made = fake.addPeer("Bob");
  fake.addPeer("Cleo", undefined, { isReachable: false });
  const portal = fake.portal();
  const seen = (await portal.peers()).map(({ name, isReachable }) => [name, isReachable]);
  assert.deepEqual(seen, [["Bob", true], ["Cleo", false]]);
  assert.deepEqual((await portal.peers({ name: "bo" })).map(({ id }) => id), [made.id]);
  assert.deepEqual((await portal.peers({ name: "b&name=cleo" })), []);
  assert.equal((await portal.peer(made.id.slice(0, 6))).name, "Bob");
  assert.equal((await portal.whoareyou()).id, fake.id);
  await assert.rejects(portal.peer("zzzzzz"), NoSuchPeer);
});

test("a peer's app gets the call as it was made, and who called", async () => {
  const { fake, peer } = bob(async (request) => {
    const { name, type } = caller(request);
    return Response.json({ said: await request.json(), name, type }, { status: 201 });
  });
  const response = await peer.post("/peer/entries?lang=en", { json: { text: "Hello!" } });
  assert.equal(response.status, 201);
  const told = await response.json<{ said: { text: string }; name: string; type: string }>();
  assert.deepEqual(told, { said: { text: "Hello!" }, name: "Ada", type: "peer" });
  const [call] = fake.calls;
  assert.equal(call?.target, "/peer/entries?lang=en");
  assert.equal(call?.headers.get("portal-token"), null);
});

for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"] as const) {
  test(`there is a function for ${method}`, async () => {
    const { fake, peer } = bob(() => new Response(null, { status: 204 }));
    const name = method.toLowerCase() as "get";
    assert.equal((await peer[name]("/x")).status, 204);
    assert.equal(fake.calls[0]?.method, method);
  });
}

test("whatever the peer's app answers is a response, a refusal's look included", async () => {
  const problem = { type: "about:blank", title: "Mine.", status: 403, code: "not_allowed" };
  const headers = {
    "content-type": "application/problem+json",
    "portal-refusal": "not_allowed",
    "portal-peer-refusal": "not_allowed",
  };
  const { peer } = bob(() => new Response(JSON.stringify(problem), { status: 403, headers }));
  const response = await peer.get("/");
  assert.deepEqual([response.status, await response.json()], [403, problem]);
});

const REFUSALS: [code: string, status: number, by: "portal" | "peer", kind: typeof Refused][] = [
  ["no_such_peer", 404, "portal", NoSuchPeer],
  ["not_allowed", 403, "peer", NotAllowed],
  ["token_unknown", 401, "portal", TokenRefused],
  ["rate_limited", 429, "peer", Busy],
  ["bad_target", 400, "portal", CallNotCarried],
  ["outcome_unknown", 502, "portal", OutcomeUnknown],
  ["of_a_later_version", 400, "peer", Refused],
];

for (const [code, status, by, kind] of REFUSALS) {
  test(`a refusal is thrown in the class of its code: ${code} of ${by}`, async () => {
    const { fake, peer } = bob();
    fake.refuseNext({ code, status, by, title: "Because.", retryAfter: 7 });
    await assert.rejects(peer.post("/"), (error: Refused) => {
      assert.equal(error.constructor, kind);
      assert.deepEqual(
        [error.code, error.status, error.by, error.title, error.retryAfter, error.name],
        [code, status, by, "Because.", 7, kind.name],
      );
      return error instanceof PortalError;
    });
  });
}

test("a refusal tells whether the call was perhaps carried out, and may be repeated", async () => {
  const { fake, peer } = bob();
  const facts = async (code: string, method: string): Promise<[boolean, boolean]> => {
    fake.refuseNext({ code, status: 502 });
    const error = (await peer.request(method, "/").catch((each: unknown) => each)) as Refused;
    return [error.perhapsCarriedOut, error.isRetriable];
  };
  assert.deepEqual(await facts("outcome_unknown", "POST"), [true, false]);
  assert.deepEqual(await facts("app_failed", "DELETE"), [true, false]);
  assert.deepEqual(await facts("app_failed", "GET"), [false, true]);
  assert.deepEqual(await facts("peer_unreachable", "POST"), [false, true]);
  assert.deepEqual(await facts("no_such_app", "POST"), [false, false]);
});

test("a refusal to HEAD is one, though it has no body", async () => {
  const { fake, peer } = bob();
  fake.refuseNext({ code: "not_allowed", status: 403, by: "peer" });
  await assert.rejects(peer.head("/"), (error: Refused) => error instanceof NotAllowed && error.title === "");
});

test("the title of a refusal keeps a line of a log one line", async () => {
  const { fake, peer } = bob();
  fake.refuseNext({ code: "not_allowed", status: 403, by: "peer", title: "a\r\nb\u001b[31m\u202e" });
  await assert.rejects(peer.get("/"), (error: Refused) => error.title === "a??b?[31m?");
});

test("JSON is read in one step, and another status than 2xx is an error", async () => {
  const { peer } = bob((request) => {
    if (request.url.endsWith("/no")) return new Response("no", { status: 500 });
    return Response.json({ accept: request.headers.get("accept") });
  });
  const { accept } = await peer.json<{ accept: string }>("/yes");
  assert.equal(accept, "application/json");
  await assert.rejects(peer.json("/no"), (error: UnexpectedStatus) => {
    return error instanceof UnexpectedStatus && error.status === 500;
  });
  assert.equal(expectOk(await peer.get("/yes")).status, 200);
});

test("a body streams in pieces, and one that breaks is an error", async () => {
  const { peer } = bob(() => {
    async function* pieces(): AsyncGenerator<Uint8Array> {
      yield Buffer.from("one");
      throw new Error("out of paper");
    }
    return new Response(ReadableStream.from(pieces()) as ReadableStream<Uint8Array>);
  });
  const got: string[] = [];
  await assert.rejects(async () => {
    for await (const piece of peer.stream("GET", "/")) got.push(Buffer.from(piece).toString());
  }, CallBrokenOff);
  assert.deepEqual(got, ["one"]);
});

const KEPT: [status: number, method: string, expected: string, body: string][] = [
  [301, "GET", "GET", ""],
  [301, "POST", "GET", ""],
  [302, "POST", "GET", ""],
  [302, "PUT", "PUT", "text"],
  [303, "PUT", "GET", ""],
  [303, "HEAD", "HEAD", ""],
  [307, "POST", "POST", "text"],
  [308, "DELETE", "DELETE", "text"],
];

for (const [status, method, expected, body] of KEPT) {
  test(`a redirect is followed at the peer: ${status} to ${method}`, async () => {
    const { fake, peer } = bob(redirecting);
    const init = method === "GET" || method === "HEAD" ? {} : { body: "text" };
    const response = await peer.request(method, `/${status}/x?to=y%3Fa=%252e`, init);
    assert.deepEqual([response.target, response.redirected], [`/${status}/y?a=%2e`, true]);
    assert.equal(fake.calls[1]?.method, expected);
    if (method === "HEAD") return;
    const told = await response.json<Told>();
    assert.deepEqual([told.target, told.body], [`/${status}/y?a=%2e`, body]);
    assert.equal("content-type" in told.headers, body !== "");
  });
}

test("a redirect in the path form is followed at the peer", async () => {
  const { fake, peer } = bob(redirecting);
  const to = encodeURIComponent(`/internal/call_peer/${peer.id}/y/`);
  assert.equal((await peer.get(`/307/x?to=${to}`)).target, "/y/");
  assert.equal(fake.calls[1]?.target, "/y/");
});

for (const to of ["http://evil.example/", "//evil.example/", "/internal/call_peer/b8rk3f/x"]) {
  test(`a redirect elsewhere is told and not followed: ${to}`, async () => {
    const { fake, peer } = bob(redirecting);
    await assert.rejects(peer.get(`/307/x?to=${encodeURIComponent(to)}`), (error: RedirectRefused) => {
      return error instanceof RedirectRefused && error.location === to;
    });
    assert.equal(fake.calls.length, 1);
    const response = await peer.get(`/307/x?to=${encodeURIComponent(to)}`, { redirect: "manual" });
    assert.deepEqual([response.status, response.headers.get("location")], [307, to]);
  });
}

test("redirects without end, unwanted ones, and ones that need a stream again are errors", async () => {
  const { fake, peer } = bob(({ url }) => new Response(null, { status: 307, headers: { location: url.slice(-1) } }));
  await assert.rejects(peer.get("/x"), RedirectRefused);
  assert.equal(fake.calls.length, 21);
  await assert.rejects(peer.get("/x", { redirect: "error" }), RedirectRefused);
  const body = ReadableStream.from([Buffer.from("a")]) as ReadableStream<Uint8Array>;
  await assert.rejects(peer.post("/x", { body }), RedirectRefused);
  assert.equal(fake.calls.length, 23);
});

test("a 304 and a redirect without a place are responses", async () => {
  const { peer } = bob(({ url }) => new Response(null, { status: Number(url.slice(-3)) }));
  assert.equal((await peer.get("/304")).status, 304);
  assert.equal((await peer.get("/302")).status, 302);
});

const NO_LIST = [
  ["no JSON", "<html>"],
  ["no list", "{}"],
  ["an entry without an ID", '[{"name": "Bob"}]'],
  ["nothing", "[null]"],
];

for (const [what, body = ""] of NO_LIST) {
  test(`a list of peers that is none is told as such: ${what}`, async (t) => {
    const answer = `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    const listener = await listen(afterHead(answer));
    t.after(() => listener.close());
    await assert.rejects(listener.portal.peers(), NotAPortal);
  });
}

test("an ID in the list that would be another path isn't taken", async (t) => {
  const body = '[{"id": "../../x", "name": "Bob"}]';
  const listener = await listen(afterHead(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`));
  t.after(() => listener.close());
  await assert.rejects(listener.portal.peers(), TypeError);
});

test("a fake that listens serves code that goes by the environment", async (t) => {
  const fake = new FakePortal({ name: "Ädä" });
  fake.addPeer("Bob", async (request, { target }) => {
    assert.deepEqual(caller(request), { type: "peer", id: fake.id, name: "Ädä" });
    return new Response(`${target} ${await request.text()}`);
  });
  const { PORTAL_CORE_URL: url = "", PORTAL_TOKEN: token } = await fake.listen();
  t.after(() => fake.close());
  const portal = new Portal({ url, token });
  t.after(() => portal.close());
  const [peer] = await portal.peers();
  assert.equal(await (await peer!.put("/a/../b", { body: "text" })).text(), "/a/../b text");
  await assert.rejects(new Portal({ url }).peers(), (error: Refused) => error.code === "token_required");
  await assert.rejects(new Portal({ url, token: "wrong" }).peers(), TokenRefused);
});

test("an app of a fake that throws is told as one that failed", async () => {
  const { peer } = bob(() => {
    throw new CallerUnclear("x");
  });
  await assert.rejects(peer.post("/"), (error: Refused) => error.code === "app_failed" && error.by === "peer");
});

test("a signal ends a call of a fake", async () => {
  const { peer } = bob(() => new Promise(() => {}));
  const controller = new AbortController();
  setTimeout(() => controller.abort("enough"), 20);
  await assert.rejects(peer.get("/", { signal: controller.signal }), (error) => error === "enough");
});
