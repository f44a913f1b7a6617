import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fromEnvironment, NotConfigured, Portal, type Environment, type Settings } from "portal-peers";
import { folderFor } from "./folder.js";

const TOKEN = "Zm9yLXRlc3RzLWFsb25lLWFuZC1ub3RoaW5nLWVsc2U";
const PROXY = `http://guestbook:${TOKEN}@127.0.0.1:8081`;
const CORE = "http://127.0.0.1:8081";

const READ: [string, Environment, Settings][] = [
  ["nothing: an entrance", {}, { url: "http://portal_core" }],
  ["a token alone", { PORTAL_TOKEN: TOKEN }, { url: "http://portal_core", token: TOKEN }],
  ["URL and token", { PORTAL_CORE_URL: CORE, PORTAL_TOKEN: TOKEN }, { url: CORE, token: TOKEN }],
  ["a URL alone", { PORTAL_CORE_URL: "http://portal_core" }, { url: "http://portal_core" }],
  ["a socket", { PORTAL_CORE_URL: "unix:/run/portal" }, { url: "unix:/run/portal" }],
  ["the URL goes before a proxy", { PORTAL_CORE_URL: CORE, HTTP_PROXY: "http://a:b@c" }, { url: CORE }],
  ["a proxy", { HTTP_PROXY: PROXY }, { url: CORE, token: TOKEN }],
  ["a proxy with a slash", { HTTP_PROXY: `${PROXY}/` }, { url: CORE, token: TOKEN }],
  ["a proxy without a scheme", { http_proxy: PROXY.slice(7) }, { url: CORE, token: TOKEN }],
  ["small letters first", { http_proxy: PROXY, HTTP_PROXY: "http://a:b@c" }, { url: CORE, token: TOKEN }],
  ["the same token twice", { HTTP_PROXY: PROXY, PORTAL_TOKEN: TOKEN }, { url: CORE, token: TOKEN }],
  ["an escaped token", { HTTP_PROXY: "http://a:b%40c@h:1" }, { url: "http://h:1", token: "b@c" }],
  ["somebody else's proxy", { HTTP_PROXY: "http://10.0.0.1:3128" }, { url: "http://portal_core" }],
  ["a proxy of another kind", { HTTP_PROXY: "socks5://a:b@c" }, { url: "http://portal_core" }],
  ["a field of a CGI client", { REQUEST_METHOD: "GET", HTTP_PROXY: PROXY }, { url: "http://portal_core" }],
  ["empty variables", { PORTAL_CORE_URL: "", PORTAL_TOKEN: "", HTTP_PROXY: "" }, { url: "http://portal_core" }],
];

for (const [what, environment, expected] of READ) {
  test(`the environment is read: ${what}`, () => {
    const { url, token, tokenFile } = fromEnvironment(environment);
    assert.deepEqual({ url, token, tokenFile }, { token: undefined, tokenFile: undefined, ...expected });
  });
}

const REFUSED: [string, Environment][] = [
  ["https", { PORTAL_CORE_URL: "https://127.0.0.1:8081" }],
  ["no URL", { PORTAL_CORE_URL: "127.0.0.1:8081" }],
  ["a path", { PORTAL_CORE_URL: `${CORE}/internal` }],
  ["a query", { PORTAL_CORE_URL: `${CORE}/?x` }],
  ["a token in the URL", { PORTAL_CORE_URL: PROXY }],
  ["a relative socket", { PORTAL_CORE_URL: "unix:run/portal" }],
  ["a line end in the token", { PORTAL_CORE_URL: CORE, PORTAL_TOKEN: `${TOKEN}\r\nx: y` }],
  ["a token and a file", { PORTAL_CORE_URL: CORE, PORTAL_TOKEN: TOKEN, PORTAL_TOKEN_FILE: "/x" }],
  ["two tokens", { HTTP_PROXY: PROXY, PORTAL_TOKEN: "another" }],
  ["a proxy and a token file", { HTTP_PROXY: PROXY, PORTAL_TOKEN_FILE: "/x" }],
  ["a badly escaped token", { HTTP_PROXY: "http://a:b%zz@c" }],
];

for (const [what, environment] of REFUSED) {
  test(`the environment is refused, and no token is shown: ${what}`, () => {
    assert.throws(
      () => fromEnvironment(environment),
      (error: Error) => error instanceof NotConfigured && !error.message.includes(TOKEN),
    );
  });
}

test("a portal with a bad address isn't made", () => {
  assert.throws(() => new Portal({ url: "ftp://portal_core" }), NotConfigured);
});

test("a token file that isn't there is an error with its name, and nothing is sent", async () => {
  const portal = new Portal({ url: "http://127.0.0.1:9", tokenFile: "/nowhere/token" });
  await assert.rejects(portal.peers(), (error: Error) => {
    return error instanceof NotConfigured && error.message.includes("/nowhere/token");
  });
});

test("what is in a token file and is none isn't shown", async (t) => {
  const file = join(await folderFor(t), "token");
  await writeFile(file, `${TOKEN}\n${TOKEN}`);
  const portal = new Portal({ url: "http://127.0.0.1:9", tokenFile: file });
  await assert.rejects(portal.peers(), (error: Error) => {
    return error instanceof NotConfigured && !error.message.includes(TOKEN);
  });
});
