/** Where the app's own proxy is, and by which token it knows the app. */

import { readFile } from "node:fs/promises";
import { NotConfigured } from "./errors.js";

/** Where to connect: a host and port, or a socket in the file system. */
export type Address = { host: string; port: number } | { socketPath: string };

/** What a `Portal` is made from. */
export interface Settings {
  /** `http://host:port`, or `unix:/path`: the proxy's listener for apps, or the app's entrance. */
  url: string;
  /** The app's token. At an entrance of the app's own there is none. */
  token?: string | undefined;
  /** A file with the token, read anew for each call, since it can change. */
  tokenFile?: string | undefined;
}

/** The environment's variables. */
export type Environment = Readonly<Record<string, string | undefined>>;

const ENTRANCE = "http://portal_core";
const TOKEN = /^[!-~]{1,512}$/;

/**
 * What the environment says: `PORTAL_CORE_URL` with `PORTAL_TOKEN` (or `PORTAL_TOKEN_FILE`), else
 * `HTTP_PROXY` with a name and a token in it, else `http://portal_core`.
 *
 * @throws {NotConfigured}
 */
export function fromEnvironment(environment: Environment = process.env): Settings {
  const { url, token, tokenFile } = {
    url: environment["PORTAL_CORE_URL"],
    token: environment["PORTAL_TOKEN"] || undefined,
    tokenFile: environment["PORTAL_TOKEN_FILE"] || undefined,
  };
  if (url) return checked({ url, token, tokenFile }, "PORTAL_CORE_URL");
  const proxy = fromProxy(environment);
  if (proxy) {
    if (tokenFile || (token && token !== proxy.token)) {
      throw new NotConfigured(
        "PORTAL_TOKEN isn't the token in HTTP_PROXY, which may be somebody else's proxy. " +
          "Set PORTAL_CORE_URL to the Portal's address",
      );
    }
    return checked(proxy, "HTTP_PROXY");
  }
  return checked({ url: ENTRANCE, token, tokenFile }, "PORTAL_TOKEN");
}

/** A proxy without a name and a token in its URL isn't a Portal's. */
function fromProxy(environment: Environment): { url: string; token: string } | undefined {
  // A CGI program gets its client's field "Proxy" as HTTP_PROXY, and only that spelling.
  const upper = environment["REQUEST_METHOD"] ? undefined : environment["HTTP_PROXY"];
  const text = environment["http_proxy"] || upper;
  if (!text) return undefined;
  const url = text.includes("://") ? text : `http://${text}`;
  if (!URL.canParse(url)) return undefined;
  const { protocol, password, host } = new URL(url);
  if (protocol !== "http:" || !password) return undefined;
  return { url: `http://${host}`, token: decoded(password) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new NotConfigured("HTTP_PROXY: the token isn't well encoded");
  }
}

function checked(settings: Settings, place: string): Settings {
  addressOf(settings.url, place);
  checkToken(settings, place);
  return settings;
}

/** @throws {NotConfigured} */
export function checkToken({ token, tokenFile }: Settings, place = "token"): void {
  if (token !== undefined && tokenFile !== undefined) {
    throw new NotConfigured("There are a token and a token file: leave one of them out");
  }
  // What is wrong with it isn't quoted: it would stand in a log.
  if (token !== undefined && !TOKEN.test(token)) {
    throw new NotConfigured(`${place}: that isn't a token, which is visible ASCII on one line`);
  }
}

/**
 * Where a URL leads.
 *
 * @throws {NotConfigured}
 */
export function addressOf(url: string, place = "url"): Address {
  const socketPath = /^unix:(?:\/\/)?(\/.+)$/.exec(url)?.[1];
  if (socketPath) return { socketPath };
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (!parsed || parsed.protocol !== "http:") {
    throw new NotConfigured(`${place}: expected http://HOST:PORT or unix:/PATH`);
  }
  if (parsed.username || parsed.password) {
    throw new NotConfigured(`${place}: the token doesn't belong in it: set PORTAL_TOKEN`);
  }
  if (parsed.pathname !== "/" || parsed.search || parsed.hash) {
    throw new NotConfigured(`${place}: expected http://HOST:PORT, with nothing behind it`);
  }
  const host = parsed.hostname.replace(/^\[(.*)\]$/, "$1");
  return { host, port: Number(parsed.port || 80) };
}

/**
 * The token as it is now; `undefined` at an entrance.
 *
 * @throws {NotConfigured}
 */
export async function currentToken(settings: Settings): Promise<string | undefined> {
  if (settings.tokenFile === undefined) return settings.token;
  let token: string;
  try {
    token = (await readFile(settings.tokenFile, "latin1")).trimEnd();
  } catch (cause) {
    throw new NotConfigured(`The token file ${settings.tokenFile} can't be read`, { cause });
  }
  checkToken({ url: "", token }, settings.tokenFile);
  return token;
}
