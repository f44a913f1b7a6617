import assert from "node:assert/strict";
import { createServer, request as ask, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import express from "express";
import { Hono } from "hono";
import { CallerUnclear, caller, type WithHeaders } from "portal-peers";

const ID = "8271dd".padEnd(103, "a");
const PEER = { "X-Ptl-Client-Type": "peer", "X-Ptl-Client-Id": ID, "X-Ptl-Client-Name": "Bj%C3%B6rn 100%25" };
const BJORN = { type: "peer", id: ID, name: "Björn 100%" };
const NOBODY = { type: "anonymous", id: "", name: "" };

async function asked(listener: RequestListener, headers: string[]): Promise<{ status: number; said: unknown }> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  try {
    return await new Promise((resolve, reject) => {
      const made = ask({ port, host: "127.0.0.1", headers: ["Host", "x", ...headers], agent: false });
      made.on("error", reject).end();
      made.on("response", (response) => {
        void text(response).then((said) => {
          resolve({ status: response.statusCode ?? 0, said: said && JSON.parse(said) });
        }, reject);
      });
    });
  } finally {
    server.close();
  }
}

const plain: RequestListener = (request, response) => {
  try {
    response.end(JSON.stringify(caller(request)));
  } catch (error) {
    response.writeHead(500).end(JSON.stringify((error as Error).name));
  }
};

test("plain node:http tells who called", async () => {
  assert.deepEqual((await asked(plain, Object.entries(PEER).flat())).said, BJORN);
});

test("Express tells who called", async () => {
  const app = express().get("/", (request, response) => void response.json(caller(request)));
  assert.deepEqual((await asked(app, Object.entries(PEER).flat())).said, BJORN);
});

test("a Request tells who called, and so does Hono's", async () => {
  const request = new Request("http://x/", { headers: PEER });
  assert.deepEqual(caller(request), BJORN);
  const app = new Hono().get("/", (c) => c.json(caller(c.req.raw)));
  assert.deepEqual(await (await app.fetch(request)).json(), BJORN);
});

test("an object with headers in any letters does", () => {
  assert.deepEqual(caller({ headers: PEER }), BJORN);
});

test("a device of the owner's is told apart from a peer", () => {
  const headers = { "x-ptl-client-type": "terminal", "x-ptl-client-id": "abc123", "x-ptl-client-name": "Phone" };
  assert.deepEqual(caller({ headers }), { type: "terminal", id: "abc123", name: "Phone" });
});

test("a request of nobody is anonymous, with the proxy's fields and without", () => {
  const headers = { "x-ptl-client-type": "anonymous", "x-ptl-client-id": "", "x-ptl-client-name": "" };
  assert.deepEqual(caller({ headers }), NOBODY);
  assert.deepEqual(caller({ headers: {} }), NOBODY);
});

const CONTRADICTIONS: [string, WithHeaders["headers"]][] = [
  ["no type", { "x-ptl-client-id": ID }],
  ["an ID of nobody", { "x-ptl-client-type": "anonymous", "x-ptl-client-id": ID }],
  ["a peer without an ID", { "x-ptl-client-type": "peer", "x-ptl-client-name": "Bob" }],
  ["an unknown type", { "x-ptl-client-type": "owner", "x-ptl-client-id": ID }],
  ["two IDs in one field", { "x-ptl-client-type": "peer", "x-ptl-client-id": `${ID}, ${ID}` }],
  ["two IDs in a list", { "x-ptl-client-type": "peer", "x-ptl-client-id": [ID, ID] }],
  ["two spellings", { "x-ptl-client-type": "peer", "X-Ptl-Client-Type": "terminal", "x-ptl-client-id": ID }],
  ["a name that isn't encoded", { ...PEER, "X-Ptl-Client-Name": "Bj%C3%rn" }],
  ["a name with a line end", { ...PEER, "X-Ptl-Client-Name": "Bob\nx" }],
];

for (const [what, headers] of CONTRADICTIONS) {
  test(`fields that contradict themselves are an error: ${what}`, () => {
    assert.throws(() => caller({ headers }), CallerUnclear);
  });
}

test("a field that is there twice on the wire is an error", async () => {
  const twice = ["X-Ptl-Client-Type", "peer", "X-Ptl-Client-Id", ID, "X-Ptl-Client-Id", "b8rk3f"];
  assert.deepEqual(await asked(plain, twice), { status: 500, said: "CallerUnclear" });
});
