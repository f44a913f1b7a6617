/** Real Portals around an app under test: each a `portal-proxy serve` in a temporary folder. */

import { execFile, spawn, type ChildProcess } from "node:child_process";
import { request as httpRequest } from "node:http";
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { connect, createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { Portal } from "../portal.js";

/** What is to run. */
export interface PortalsInit {
  /** The app's name: letters, digits and hyphens. */
  app: string;
  /** Its app.json. */
  manifest: unknown;
  /** The Portals' owners, two or more; all of them know each other. */
  names?: readonly [string, string, ...string[]];
  /** How the proxy's command is called. */
  command?: readonly string[];
}

/** What is asked from outside. */
export interface Visit {
  method?: string;
  headers?: Readonly<Record<string, string>>;
  body?: string;
}

/** What came of it. */
export interface Visited {
  status: number;
  text: string;
}

/** One Portal that runs. */
export interface RunningPortal {
  readonly name: string;
  readonly id: string;
  /** Where the app is to listen, on 127.0.0.1. The test starts it. */
  readonly appPort: number;
  /** What the app's process needs, to call. */
  readonly environment: Readonly<Record<string, string>>;
  /** The Portal as the app on it asks and calls. */
  readonly portal: Portal;
  /** The app's own host, as strangers and browsers see it. */
  readonly host: string;
  /** The port at which the world reaches the Portal, on 127.0.0.1. */
  readonly publicPort: number;
  /** Asks the app from outside, as a stranger does. */
  visit(path: string, init?: Visit): Promise<Visited>;
  /** The same as one of the owner's devices, which is paired the first time. */
  visitAsOwner(path: string, init?: Visit): Promise<Visited>;
  /** Says which of the Portals the app may know, or "all" or "none". */
  allow(...peers: (RunningPortal | "all" | "none")[]): Promise<void>;
  /** Ends it, as when its machine is off. */
  stop(): Promise<void>;
  /** Brings it back. */
  start(): Promise<void>;
  /** What the proxy said so far. */
  log(): Promise<string>;
}

/** Portals that run, in the order of their names. */
export type Portals = [RunningPortal, RunningPortal, ...RunningPortal[]] & {
  /** Ends them, and removes what they wrote. */
  close(): Promise<void>;
};

const DOMAIN = "portal.localhost";
const PATIENCE = 120_000;
const TRIES = 3;
const run = promisify(execFile);

/**
 * Starts Portals that know each other. The command `portal-proxy` must be on the path, or be named by
 * the environment's `PORTAL_PROXY`.
 */
export async function portals(init: PortalsInit): Promise<Portals> {
  for (let left = TRIES - 1; ; left--) {
    try {
      return await start(init);
    } catch (error) {
      // Somebody else may have taken a port that was free when it was chosen.
      if (left === 0 || !(error instanceof EndedAtStart)) throw error;
    }
  }
}

class EndedAtStart extends Error {}

async function start({ app, manifest, names = ["Ada", "Bob"], command }: PortalsInit): Promise<Portals> {
  const folder = await mkdtemp(join(tmpdir(), "portals-"));
  const words = command ?? [process.env["PORTAL_PROXY"] ?? "portal-proxy"];
  const made: OwnPortal[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(made.map((each) => each.stop()));
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const ports = await freePorts(names.length * 4);
    names.forEach((name, index) => {
      const [apps, owner, world, own] = ports.slice(index * 4) as [number, number, number, number];
      made.push(new OwnPortal(words, join(folder, String(index)), app, name, { apps, owner, world, own }));
    });
    const cards = await Promise.all(made.map((each) => each.make(manifest)));
    await Promise.all(made.map((each, index) => each.meet(cards.filter((_, at) => at !== index))));
    await Promise.all(made.map((each) => each.start()));
  } catch (error) {
    await close();
    throw error;
  }
  return Object.assign([...made] as [OwnPortal, OwnPortal, ...OwnPortal[]], { close });
}

interface Ports {
  apps: number;
  owner: number;
  world: number;
  own: number;
}

class OwnPortal implements RunningPortal {
  id = "";
  host = "";
  environment: Readonly<Record<string, string>> = {};
  readonly name: string;
  readonly #command: readonly string[];
  readonly #folder: string;
  readonly #app: string;
  readonly #ports: Ports;
  #process: ChildProcess | undefined;
  #portal: Portal | undefined;
  #cookie: Promise<string> | undefined;

  constructor(command: readonly string[], folder: string, app: string, name: string, ports: Ports) {
    this.name = name;
    this.#command = command;
    this.#folder = folder;
    this.#app = app;
    this.#ports = ports;
  }

  get appPort(): number {
    return this.#ports.own;
  }

  get publicPort(): number {
    return this.#ports.world;
  }

  get portal(): Portal {
    if (!this.#portal) throw new Error(`${this.name}'s Portal doesn't run`);
    return this.#portal;
  }

  /** Writes its files; returns its card and where it is. */
  async make(manifest: unknown): Promise<{ card: string; connect: string }> {
    const { world, own } = this.#ports;
    const folder = join(this.#folder, "config", "apps", this.#app);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "app.json"), JSON.stringify(manifest));
    await writeFile(join(folder, "proxy.yaml"), `upstream: http://127.0.0.1:${own}\n`);
    const url = `http://{short_id}.${DOMAIN}:${world}`;
    await this.#run("init", "--name", this.name, "--domain", DOMAIN, "--public-url", url);
    const card = (await this.#run("card")).trim();
    const id = /^portal:([a-z0-9]{103})\?\S+$/.exec(card)?.[1];
    if (id === undefined) throw new Error(`portal-proxy card printed none: ${card}`);
    this.id = id;
    this.host = `${this.#app}.${id.slice(0, 6)}.${DOMAIN}:${world}`;
    return { card, connect: `127.0.0.1:${world}` };
  }

  /** Lets it know the others. */
  async meet(others: readonly { card: string; connect: string }[]): Promise<void> {
    const coming = this.#run("apps", "token", this.#app);
    const adding = async (): Promise<void> => {
      for (const { card, connect } of others) {
        await this.#run("peers", "add", card, "--connect", connect);
      }
      await this.#run("apps", "allow", this.#app, "all");
    };
    const [token] = await Promise.all([coming.then((printed) => printed.trim()), adding()]);
    const host = `127.0.0.1:${this.#ports.apps}`;
    const proxy = `http://${this.#app}:${token}@${host}`;
    // Not localhost: to many clients that is every host below it, and the peers' are.
    const direct = "127.0.0.1,::1,*:443";
    this.environment = {
      PORTAL_CORE_URL: `http://${host}`,
      PORTAL_TOKEN: token,
      HTTP_PROXY: proxy,
      http_proxy: proxy,
      NO_PROXY: direct,
      no_proxy: direct,
    };
    this.#portal = new Portal({ url: `http://${host}`, token });
  }

  /** Starts it, and waits until it takes connections. */
  async start(): Promise<void> {
    const [program = "", ...words] = [...this.#command, ...this.#config(), "serve"];
    const log = await open(this.#logFile, "a");
    const process = spawn(program, words, {
      env: this.#variables(),
      stdio: ["ignore", log.fd, log.fd],
    });
    this.#process = process;
    let hasEnded = false;
    process.once("exit", () => (hasEnded = true)).once("error", () => (hasEnded = true));
    await log.close();
    const until = Date.now() + PATIENCE;
    for (const port of [this.#ports.world, this.#ports.apps]) {
      while (!(await takesConnections(port))) {
        if (hasEnded) throw new EndedAtStart(`portal-proxy serve ended: ${await this.log()}`);
        if (Date.now() > until) throw new Error(`portal-proxy serve doesn't listen: ${await this.log()}`);
        await sleep(20);
      }
    }
    await this.#expectTheApp();
  }

  /** Fails where the proxy finds the app's files wrong: it says so before it listens. */
  async #expectTheApp(): Promise<void> {
    const said = (await this.log()).split("\n").filter((line) => line.includes("an app is wrong"));
    if (said.length > 0) throw new Error(`${this.name}'s Portal serves no ${this.#app}:\n${said.join("\n")}`);
  }

  async stop(): Promise<void> {
    this.#portal?.close();
    const process = this.#process;
    if (!process || process.exitCode !== null || process.signalCode !== null) return;
    const ended = new Promise((resolve) => process.once("exit", resolve));
    process.kill("SIGTERM");
    await ended;
  }

  async visit(path: string, init: Visit = {}): Promise<Visited> {
    const { status, text } = await this.#ask(this.host, path, init);
    return { status, text };
  }

  async visitAsOwner(path: string, init: Visit = {}): Promise<Visited> {
    this.#cookie ??= this.#pair();
    const headers = { ...init.headers, cookie: await this.#cookie };
    return this.visit(path, { ...init, headers });
  }

  async allow(...peers: (RunningPortal | "all" | "none")[]): Promise<void> {
    const words = peers.map((each) => (typeof each === "string" ? each : each.id));
    await this.#run("apps", "allow", this.#app, ...(words.length > 0 ? words : ["none"]));
    if (words.includes("all")) return;
    const wanted = words.filter((each) => each !== "none").sort().join();
    const until = Date.now() + PATIENCE;
    while ((await this.portal.peers()).map(({ id }) => id).sort().join() !== wanted) {
      if (Date.now() > until) throw new Error(`${this.name}'s Portal doesn't follow who is allowed`);
      await sleep(50);
    }
  }

  /** Becomes one of the owner's devices, as a browser does; returns its cookie. */
  async #pair(): Promise<string> {
    const { code } = JSON.parse(await this.#run("terminals", "pair", "--json")) as { code: string };
    const host = this.host.slice(this.#app.length + 1);
    const { status, text, cookie } = await this.#ask(host, "/core/public/pair", {
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded", origin: `http://${host}` },
      body: new URLSearchParams({ code, name: "Test", to: `http://${this.host}/` }).toString(),
    });
    if (status !== 303) throw new Error(`${this.name}'s Portal pairs no device: ${status} ${text}`);
    return cookie;
  }

  #ask(host: string, path: string, init: Visit): Promise<Visited & { cookie: string }> {
    const { method = "GET", body } = init;
    return new Promise((resolve, reject) => {
      const headers = { ...init.headers, host };
      const asked = { host: "127.0.0.1", port: this.publicPort, path, method, headers };
      const request = httpRequest(asked, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
        const cookie = (response.headers["set-cookie"] ?? []).map((each) => each.split(";")[0]).join("; ");
        response.on("end", () => resolve({ status: response.statusCode ?? 0, text, cookie }));
        response.on("error", reject);
      });
      request.on("error", reject).end(body);
    });
  }

  log(): Promise<string> {
    return readFile(this.#logFile, "utf8").catch(() => "");
  }

  get #logFile(): string {
    return join(this.#folder, "log");
  }

  async #run(...words: string[]): Promise<string> {
    const [program = "", ...first] = this.#command;
    const all = [...first, ...this.#config(), ...words];
    try {
      return (await run(program, all, { env: this.#variables() })).stdout;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      throw new Error(`There is no command ${program}: set PORTAL_PROXY to where it is`);
    }
  }

  #config(): string[] {
    return ["--config", join(this.#folder, "config")];
  }

  /** Nothing of another Portal, and no proxy, whatever the test itself was started with. */
  #variables(): NodeJS.ProcessEnv {
    const kept = Object.entries(process.env).filter(
      ([name]) => !name.startsWith("PORTAL_") && !/_proxy$/i.test(name),
    );
    const { apps, owner, world } = this.#ports;
    return {
      ...Object.fromEntries(kept),
      PORTAL_LISTEN_PUBLIC: `127.0.0.1:${world}`,
      PORTAL_LISTEN_APPS: `127.0.0.1:${apps}`,
      PORTAL_LISTEN_OWNER: `127.0.0.1:${owner}`,
    };
  }
}

function takesConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const tell = (does: boolean): void => {
      socket.destroy();
      resolve(does);
    };
    socket.once("connect", () => tell(true)).once("error", () => tell(false));
  });
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve, reject) => {
          server.once("error", reject);
          server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
        }),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
