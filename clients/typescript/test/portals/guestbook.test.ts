import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { after, before, test } from "node:test";
import { portals, type Portals, type RunningPortal } from "portal-peers/testing";

const SERVER = fileURLToPath(new URL("../../examples/guestbook/server.js", import.meta.url));
const MANIFEST = new URL("../../../examples/guestbook/app.json", import.meta.url);

let running: Portals;
const apps: ChildProcess[] = [];

/** Runs the app as its owner would: the environment says where its Portal is. */
async function start({ appPort, environment }: RunningPortal): Promise<void> {
  const { PATH } = process.env;
  const env = { PATH, ...environment, PORT: String(appPort) };
  const app = spawn(process.execPath, [SERVER], { env, stdio: ["ignore", "inherit", "inherit"] });
  apps.push(app);
  for (;;) {
    const socket = connect(appPort, "127.0.0.1");
    const [isThere] = await Promise.race([
      once(socket, "connect").then(() => [true]),
      once(socket, "error").then(() => [false]),
    ]).catch(() => [false]);
    socket.destroy();
    if (isThere) return;
    assert.equal(app.exitCode, null);
    await sleep(20);
  }
}

before(async () => {
  running = await portals({ app: "guestbook", manifest: JSON.parse(await readFile(MANIFEST, "utf8")) });
  await Promise.all(running.map(start));
});

after(async () => {
  for (const app of apps) app.kill();
  await running?.close();
});

test("an entry that Ada's owner writes stands in Bob's guestbook, by Ada", async () => {
  const [ada, bob] = running;
  // As the proxy passes on what a device of the owner's asks for.
  const headers = { "X-Ptl-Client-Type": "terminal", "X-Ptl-Client-Id": "abc123" };
  const written = await fetch(`http://127.0.0.1:${ada.appPort}/write`, { method: "POST", headers, body: "Hello!" });
  assert.equal(await written.text(), "Bob: 201\n");
  assert.deepEqual(await bob.visit("/public/"), { status: 200, text: "1 entries\nAda wrote: Hello!\n" });
  assert.deepEqual(await ada.visit("/public/"), { status: 200, text: "0 entries\n" });
});

test("a stranger sees what is public, and nothing else", async () => {
  for (const path of ["/write", "/peer/entries", "/"]) {
    assert.equal((await running[0].visit(path)).status, 401, path);
  }
});

test("where a peer's Portal is off, a line says so", async () => {
  const [ada, bob] = running;
  await bob.stop();
  const written = await fetch(`http://127.0.0.1:${ada.appPort}/write`, { method: "POST", body: "Hello!" });
  assert.match(await written.text(), /^Bob: The Portal refused the call: .* \((outcome_unknown|peer_unreachable), 502\)\n$/);
});
