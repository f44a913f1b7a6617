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
  const written = await ada.visitAsOwner("/write", { method: "POST", body: "Hello!" });
  assert.deepEqual(written, { status: 200, text: "Bob: 201\n" });
  assert.deepEqual(await bob.visit("/public/"), { status: 200, text: "1 entries\nAda wrote: Hello!\n" });
  assert.deepEqual(await ada.visit("/public/"), { status: 200, text: "0 entries\n" });
});

test("a stranger sees what is public, and nothing else", async () => {
  for (const path of ["/write", "/peer/entries", "/"]) {
    assert.equal((await running[0].visit(path)).status, 401, path);
  }
});

test("who isn't allowed, or is off, is told in a line, and comes back", async () => {
  const [ada, bob] = running;
  const write = async (): Promise<string> =>
    (await ada.visitAsOwner("/write", { method: "POST", body: "Hello!" })).text;
  await bob.allow();
  assert.match(await write(), /^Bob: .* \(not_allowed, 403\)\n$/);
  await bob.allow(ada);
  assert.equal(await write(), "Bob: 201\n");
  await bob.stop();
  assert.match(await write(), /^Bob: The Portal refused .* \((outcome_unknown|peer_unreachable), 502\)\n$/);
  await bob.start();
  assert.equal(await write(), "Bob: 201\n");
});

test("a mistake in an app's file is told with its place", async () => {
  const manifest = { v: "3.2", paths: { peer: { access: "peer" } } };
  await assert.rejects(portals({ app: "guestbook", manifest }), /paths\.peer: expected a path prefix/);
});
