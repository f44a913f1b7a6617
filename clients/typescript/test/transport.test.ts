import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test, type TestContext } from "node:test";
import {
  CallBrokenOff,
  CallTimedOut,
  NotAPortal,
  Portal,
  PortalError,
  PortalUnreachable,
  type CallInit,
} from "portal-peers";
import { folderFor } from "./folder.js";
import { after, afterHead, listen, OK, peerAt, type Answering, type Listener } from "./listener.js";

const TOKEN = "Zm9yLXRlc3RzLWFsb25lLWFuZC1ub3RoaW5nLWVsc2U";
const NEVER: Answering = () => {};

async function listening(t: TestContext, answering: Answering, token?: string): Promise<Listener> {
  const listener = await listen(answering, token);
  t.after(() => listener.close());
  return listener;
}

function head(received: string | undefined): { line: string; fields: string[]; body: string } {
  const [top = "", ...rest] = (received ?? "").split("\r\n\r\n");
  const [line = "", ...fields] = top.split("\r\n");
  return { line, fields, body: rest.join("\r\n\r\n") };
}

test("a path goes out byte for byte, where fetch would ask another peer", async (t) => {
  const { portal, received } = await listening(t, afterHead(OK));
  const path = "/peer/../../b8rk3f/./x\\y//%2e%2E;a?q='|^{}&../..";
  assert.equal(await (await peerAt(portal).get(path)).text(), "ok");
  assert.equal(head(received[0]).line, `GET /internal/call_peer/8271dd${path} HTTP/1.1`);
  assert.ok(!new URL(`http://x/internal/call_peer/8271dd${path}`).pathname.includes("8271dd"));
});

test("only what is needed is said: Host is the Portal's name, and there is one token", async (t) => {
  const { portal, received } = await listening(t, afterHead(OK), TOKEN);
  await (await peerAt(portal).get("/", { headers: { "X-Own": "é" } })).text();
  assert.deepEqual(head(received[0]).fields, [
    "Host: portal_core",
    `portal-token: ${TOKEN}`,
    "x-own: é",
    "Connection: keep-alive",
  ].sort((a, b) => order(a) - order(b)));
});

function order(field: string): number {
  return ["Host", "portal-token", "x-own", "Connection"].indexOf(field.split(":")[0] ?? "");
}

const BODIES: [string, () => CallInit, fields: string[], body: string][] = [
  ["text", () => ({ body: "é" }), ["content-type: text/plain;charset=UTF-8", "Content-Length: 2"], "\xc3\xa9"],
  ["bytes", () => ({ body: new Uint8Array([104, 105]) }), ["Content-Length: 2"], "hi"],
  ["a buffer", () => ({ body: new Uint8Array([104, 105]).buffer }), ["Content-Length: 2"], "hi"],
  ["nothing", () => ({ body: "" }), ["content-type: text/plain;charset=UTF-8", "Content-Length: 0"], ""],
  [
    "a query",
    () => ({ body: new URLSearchParams({ a: "b c" }) }),
    ["content-type: application/x-www-form-urlencoded;charset=UTF-8", "Content-Length: 5"],
    "a=b+c",
  ],
  ["a blob", () => ({ body: new Blob(["hi"], { type: "a/b" }) }), ["content-type: a/b", "Content-Length: 2"], "hi"],
  ["JSON", () => ({ json: { a: [1] } }), ["content-type: application/json", "Content-Length: 9"], '{"a":[1]}'],
  [
    "JSON of a type of its own",
    () => ({ json: null, headers: { "Content-Type": "application/ld+json" } }),
    ["content-type: application/ld+json", "Content-Length: 4"],
    "null",
  ],
  ["a stream", () => ({ body: streamOf("a", "bc") }), ["Transfer-Encoding: chunked"], "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"],
  ["a Node stream", () => ({ body: Readable.from(["a"]) }), ["Transfer-Encoding: chunked"], "1\r\na\r\n0\r\n\r\n"],
  ["a stream of a known length", () => ({ body: streamOf("abc"), headers: { "content-length": "3" } }), ["Content-Length: 3"], "abc"],
];

function streamOf(...pieces: string[]): ReadableStream<Uint8Array> {
  return ReadableStream.from(pieces.map((piece) => Buffer.from(piece))) as ReadableStream<Uint8Array>;
}

for (const method of ["POST", "DELETE", "GET"]) {
  for (const [what, init, fields, body] of BODIES) {
    test(`the end of a body is told, whatever the method: ${method} with ${what}`, async (t) => {
      const { portal, received } = await listening(t, (got, socket) => {
        if (head(got).body === body && got.includes("\r\n\r\n")) socket.write(OK);
      });
      await (await peerAt(portal).request(method, "/", init())).text();
      const seen = head(received[0]);
      assert.deepEqual(seen.fields, ["Host: portal_core", ...fields, "Connection: keep-alive"]);
      assert.equal(seen.body, body);
    });
  }
}

test("a form goes out with its boundary", async (t) => {
  const form = new FormData();
  form.set("file", new Blob(["hi"]), "a.txt");
  const { portal, received } = await listening(t, after("0\r\n\r\n"));
  await (await peerAt(portal).post("/", { body: form })).text();
  const { fields, body } = head(received[0]);
  const type = fields.find((field) => field.startsWith("content-type: multipart/form-data; boundary="));
  assert.ok(type && body.includes(type.split("boundary=")[1] ?? "?") && body.includes("a.txt"));
});

test("a POST without a body says so", async (t) => {
  const { portal, received } = await listening(t, afterHead(OK));
  await (await peerAt(portal).post("/")).text();
  assert.ok(head(received[0]).fields.includes("Content-Length: 0"));
});

for (const [what, pieces] of [["more", ["ab", "GET /protected/peers HTTP/1.1\r\n\r\n"]], ["less", ["a"]]] as const) {
  test(`a stream with ${what} bytes than were told breaks off, and nothing of it is a request`, async (t) => {
    const { portal, received, closed } = await listening(t, NEVER);
    const init = { body: streamOf(...pieces), headers: { "content-length": "2" } };
    await assert.rejects(peerAt(portal).post("/", init), TypeError);
    await closed[0];
    assert.ok(!received.join("").includes("/protected/peers"));
  });
}

test("a body that fails breaks the call off, and its error is told", async (t) => {
  const { portal, received, closed } = await listening(t, NEVER);
  async function* failing(): AsyncGenerator<string> {
    yield "a part";
    throw new RangeError("out of paper");
  }
  await assert.rejects(peerAt(portal).post("/", { body: failing() }), /out of paper/);
  await closed[0];
  assert.ok(!(received[0] ?? "").includes("0\r\n\r\n"), "which would make the part a whole");
});

for (const wrong of [{ body: 5 as never }, { body: "x", json: 1 }, { json: () => {} }, { timeout: -1 }, { headers: { "content-length": "3" } }]) {
  test(`nothing is sent of what can't be: ${Object.keys(wrong)} ${typeof Object.values(wrong)[0]}`, async (t) => {
    const { portal, received } = await listening(t, NEVER);
    await assert.rejects(peerAt(portal).post("/", wrong), TypeError);
    assert.deepEqual(received, []);
  });
}

test("both bodies stream at once", async (t) => {
  const { portal } = await listening(t, (got, socket) => {
    const isHead = got.endsWith("\r\n\r\n") && !got.endsWith("\r\n0\r\n\r\n");
    if (isHead) socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    const said = /\r\n3\r\n(...)\r\n$/.exec(got);
    if (said) socket.write(`3\r\n${said[1]?.toUpperCase()}\r\n`);
    if (got.endsWith("\r\n0\r\n\r\n")) socket.write("0\r\n\r\n");
  });
  const asking = new TransformStream<Uint8Array, Uint8Array>();
  const writer = asking.writable.getWriter();
  const response = await peerAt(portal).post("/", { body: asking.readable });
  const reader = response.body!.getReader();
  for (const word of ["one", "two"]) {
    await writer.write(Buffer.from(word));
    assert.equal(Buffer.from((await reader.read()).value!).toString(), word.toUpperCase());
  }
  await writer.close();
  assert.equal((await reader.read()).done, true);
});

test("a response before the end of the request stops the request's body", async (t) => {
  let isAnswered = false;
  const { portal, closed } = await listening(t, (got, socket) => {
    if (isAnswered || !got.includes("abc")) return;
    isAnswered = true;
    socket.write(OK);
  });
  let stop: () => void = () => {};
  const stopped = new Promise<void>((resolve) => (stop = resolve));
  async function* endless(): AsyncGenerator<string> {
    try {
      for (;;) yield "abc";
    } finally {
      stop();
    }
  }
  const response = await peerAt(portal).post("/", { body: endless() });
  assert.equal(await response.text(), "ok");
  await closed[0];
  await stopped;
});

test("pieces arrive as they are sent, and a slow reader makes the sender wait", async (t) => {
  const piece = "x".repeat(65_536);
  let sent = 0;
  const { portal } = await listening(t, (_, socket) => {
    socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    const more = (): void => {
      while (socket.write(`10000\r\n${piece}\r\n`)) sent += 1;
      socket.once("drain", more);
    };
    more();
  });
  const before = process.memoryUsage().arrayBuffers;
  const response = await peerAt(portal).get("/");
  let last = -1;
  while (last !== sent) {
    last = sent;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.ok(process.memoryUsage().arrayBuffers - before < 32 * 2 ** 20);
  await response.body!.cancel();
});

test("leaving a stream ends the call", async (t) => {
  const { portal, closed } = await listening(t, afterHead("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"));
  for await (const piece of peerAt(portal).stream("GET", "/")) {
    assert.equal(Buffer.from(piece).toString(), "a");
    break;
  }
  await closed[0];
});

const BROKEN: [string, string][] = [
  ["a body shorter than it said", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart"],
  ["chunks without an end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n"],
  ["a chunk that is none", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\nzz\r\n"],
];

for (const [what, answer] of BROKEN) {
  for (const method of ["GET", "POST"]) {
    test(`a response that breaks off is an error, never a shorter one: ${what} to ${method}`, async (t) => {
      const { portal } = await listening(t, (got, socket) => {
        if (got.endsWith("\r\n\r\n")) socket.end(answer);
      });
      const response = await peerAt(portal).request(method, "/");
      await assert.rejects(response.text(), (error: PortalError) => {
        return error instanceof CallBrokenOff && error.perhapsCarriedOut === (method === "POST");
      });
    });
  }
}

const NO_PORTAL: [string, string][] = [
  ["no HTTP", "SSH-2.0-OpenSSH\r\n\r\n"],
  ["no end", "HTTP/1.1 200 OK\r\n\r\nuntil the connection ends"],
  ["an odd status", "HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n"],
  ["an upgrade", "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"],
  ["a mark without a code", "HTTP/1.1 400 Bad\r\nPortal-Refusal: !\r\nContent-Length: 0\r\n\r\n"],
];

for (const [what, answer] of NO_PORTAL) {
  test(`what isn't a Portal is told as such: ${what}`, async (t) => {
    const { portal, closed } = await listening(t, afterHead(answer));
    await assert.rejects(peerAt(portal).get("/"), NotAPortal);
    if (what !== "a mark without a code") await closed[0];
  });
}

test("a connection that ends without a response leaves it open what became of the call", async (t) => {
  const { portal } = await listening(t, (got, socket) => void (got.endsWith("\r\n\r\n") && socket.end()));
  const isBrokenOff = (perhaps: boolean) => (error: PortalError) => {
    return error instanceof CallBrokenOff && error.perhapsCarriedOut === perhaps && error.isRetriable !== perhaps;
  };
  await assert.rejects(peerAt(portal).get("/"), isBrokenOff(false));
  await assert.rejects(peerAt(portal).post("/"), isBrokenOff(true));
});

test("nobody there is told as such, and that nothing was sent", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  await assert.rejects(peerAt(new Portal({ url: `http://127.0.0.1:${port}` })).post("/"), (error: PortalError) => {
    return error instanceof PortalUnreachable && error.isRetriable && !error.perhapsCarriedOut;
  });
});

test("a socket in the file system does as well", async (t) => {
  const path = join(await folderFor(t), "portal");
  const server = createServer((socket) => {
    socket.once("data", () => socket.end(OK));
  }).listen(path);
  t.after(() => server.close());
  await once(server, "listening");
  const portal = new Portal({ url: `unix:${path}` });
  assert.equal(await (await peerAt(portal).get("/")).text(), "ok");
});

test("the token file is read anew for each call", async (t) => {
  const file = join(await folderFor(t), "token");
  const { port, received } = await listening(t, afterHead(OK));
  const portal = new Portal({ url: `http://127.0.0.1:${port}`, tokenFile: file });
  t.after(() => portal.close());
  for (const token of ["first", "second"]) {
    await writeFile(file, `${token}\n`);
    await (await peerAt(portal).get("/")).text();
    assert.ok(received.join("").endsWith(`portal-token: ${token}\r\nConnection: keep-alive\r\n\r\n`));
  }
});

test("silence ends the call, and a body that moves doesn't", async (t) => {
  const { portal } = await listening(t, (got, socket) => {
    if (!got.split("\r\n\r\n").at(-2)?.includes("/moves")) return;
    socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    let left = 8;
    const timer = setInterval(() => {
      socket.write(left > 0 ? "1\r\na\r\n" : "0\r\n\r\n");
      if (left-- === 0) clearInterval(timer);
    }, 250);
  });
  const init = { timeout: 1500 };
  assert.equal(await (await peerAt(portal).get("/moves", init)).text(), "aaaaaaaa");
  await assert.rejects(peerAt(portal).post("/", init), (error: PortalError) => {
    return error instanceof CallTimedOut && error.perhapsCarriedOut;
  });
});

test("silence in the middle of a response ends it", async (t) => {
  const { portal } = await listening(t, afterHead("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart"));
  const response = await peerAt(portal).get("/", { timeout: 300 });
  await assert.rejects(response.text(), CallTimedOut);
});

test("who doesn't read for a while loses nothing by it", async (t) => {
  const size = 4 * 2 ** 20;
  const { portal } = await listening(t, afterHead(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n${"x".repeat(size)}`));
  const response = await peerAt(portal).get("/", { timeout: 200 });
  await new Promise((resolve) => setTimeout(resolve, 800));
  assert.equal((await response.arrayBuffer()).byteLength, size);
});

test("silence behind a pause of the reader's ends the call as well", async (t) => {
  const { portal, closed } = await listening(t, (_, socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n${"x".repeat(500_000)}`);
  });
  const response = await portal.request("8271dd", "GET", "/", { timeout: 200 });
  await new Promise((resolve) => setTimeout(resolve, 800));
  await assert.rejects(response.arrayBuffer(), CallTimedOut);
  await closed[0];
});

test("without a timeout nothing ends a silent call", async (t) => {
  const { portal } = await listening(t, (got, socket) => {
    if (got.endsWith("\r\n\r\n")) setTimeout(() => socket.write(OK), 5_000);
  });
  assert.equal(await (await peerAt(portal).get("/", { timeout: 0 })).text(), "ok");
});

test("a signal ends a call before, while it waits, and in its body, with the signal's reason", async (t) => {
  const { portal, closed, received } = await listening(t, (got, socket) => {
    if (got.includes("/body")) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart");
  });
  const isMine = (error: unknown): boolean => error === "enough";
  await assert.rejects(peerAt(portal).get("/", { signal: AbortSignal.abort("enough") }), isMine);
  assert.deepEqual(received, []);
  const waiting = new AbortController();
  const called = peerAt(portal).get("/", { signal: waiting.signal });
  setTimeout(() => waiting.abort("enough"), 50);
  await assert.rejects(called, isMine);
  const reading = new AbortController();
  const response = await peerAt(portal).get("/body", { signal: reading.signal });
  const text = response.text();
  setTimeout(() => reading.abort("enough"), 50);
  await assert.rejects(text, isMine);
  await Promise.all(closed);
});

test("one connection carries several calls, one after the other", async (t) => {
  const { portal, received } = await listening(t, afterHead(OK));
  for (let left = 3; left > 0; left--) await (await peerAt(portal).get("/")).text();
  assert.equal(received.length, 1);
});

test("a head of 64 KiB comes through, with fields that are there more than once", async (t) => {
  const answer = `HTTP/1.1 200 OK\r\nX-Long: ${"x".repeat(65_000)}\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n`;
  const { portal } = await listening(t, afterHead(answer));
  const { headers } = await peerAt(portal).get("/");
  assert.equal(headers.get("x-long")?.length, 65_000);
  assert.deepEqual(headers.getSetCookie(), ["a=1", "b=2"]);
});

for (const [method, status] of [["HEAD", 200], ["GET", 204], ["GET", 304]] as const) {
  test(`a response without a body ends with its head: ${status} to ${method}`, async (t) => {
    const length = status === 204 ? "" : "Content-Length: 7\r\n";
    const { portal, received } = await listening(t, afterHead(`HTTP/1.1 ${status} X\r\n${length}ETag: "1"\r\n\r\n`));
    for (let left = 2; left > 0; left--) {
      const response = await peerAt(portal).request(method, "/");
      assert.deepEqual([response.status, response.body, response.headers.get("etag")], [status, null, '"1"']);
    }
    assert.equal(received.length, 1);
  });
}

test("no variable for proxies changes the way", async (t) => {
  const { portal, received } = await listening(t, afterHead(OK));
  process.env["NODE_USE_ENV_PROXY"] = "1";
  process.env["HTTP_PROXY"] = "http://127.0.0.1:9";
  t.after(() => {
    delete process.env["NODE_USE_ENV_PROXY"];
    delete process.env["HTTP_PROXY"];
  });
  await (await peerAt(portal).get("/")).text();
  assert.equal(received.length, 1);
});
