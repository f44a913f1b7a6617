/** The app's own Portal: who its peers are, and calls to them. */

import { payloadOf, jsonOf, type Body, type Payload } from "./body.js";
import { NotAPortal, RedirectRefused } from "./errors.js";
import { redirectTarget } from "./location.js";
import { checkId, checkMethod, fieldsOf, targetOf, type FieldsInit, type Query } from "./message.js";
import { Peer } from "./peer.js";
import { peerResponse, refuseRefused, type PeerResponse } from "./response.js";
import { addressOf, checkToken, currentToken, fromEnvironment, type Settings } from "./settings.js";
import { HttpTransport, type CoreResponse, type Transport } from "./transport.js";

/** What may be said with each call: what `fetch` takes, and a little more. */
export interface CallInit {
  headers?: FieldsInit;
  body?: Body | null;
  /** A value, sent as JSON in the place of a body. */
  json?: unknown;
  /** Names and values behind the path's "?". */
  query?: Query;
  /** Ends the call, with its response's body. */
  signal?: AbortSignal | null;
  /**
   * What becomes of a response that leads elsewhere. `follow`, the default, stays at the peer's app;
   * `manual` gives the response as it is.
   */
  redirect?: "follow" | "manual" | "error";
  /** Milliseconds in which nothing moves until the call is given up; 0: never. By default 120 s. */
  timeout?: number;
  /** Bodies stream anyway. */
  duplex?: "half";
}

/** What may be said when the Portal itself is asked. */
export type AskInit = Pick<CallInit, "signal" | "timeout">;

/** Who a Portal is. */
export interface PortalIdentity {
  id: string;
  name: string;
  domain: string;
  public_key_pem: string;
  [member: string]: unknown;
}

interface Listed {
  id: string;
  name: string;
  is_reachable: boolean;
}

/** Longer than the 105 s after which the proxy gives a peer up, so that its word is heard. */
const SILENCE = 120_000;
const MOST_REDIRECTS = 20;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const MOST_OF_A_LIST = 64 * 1024 * 1024;

/** One request, as it is sent and as a redirect may change it. */
interface Call {
  method: string;
  target: string;
  headers: Headers;
  payload: Payload | undefined;
  signal: AbortSignal | undefined;
  timeout: number;
}

/** The app's own Portal. */
export class Portal {
  readonly #settings: Settings;
  readonly #transport: Transport;

  /**
   * @param settings where it is; without them the environment says so
   * @param transport what carries requests in the place of HTTP, in tests
   * @throws {NotConfigured}
   */
  constructor(settings: Settings = fromEnvironment(), transport?: Transport) {
    checkToken(settings);
    this.#settings = settings;
    this.#transport = transport ?? new HttpTransport(addressOf(settings.url));
  }

  /** The peers that the app may know; with `name`, those whose name contains it, in any case. */
  async peers({ name, ...init }: AskInit & { name?: string } = {}): Promise<Peer[]> {
    const target = targetOf("/protected/peers", name === undefined ? {} : { name });
    const listed = await this.#ask(target, init);
    if (!Array.isArray(listed)) throw new NotAPortal("The list of peers isn't a list");
    return listed.map((entry) => this.#listed(entry));
  }

  /**
   * One peer, by its ID or six characters or more of its beginning.
   *
   * @throws {NoSuchPeer}
   */
  async peer(id: string, init: AskInit = {}): Promise<Peer> {
    checkId(id);
    return this.#listed(await this.#ask(`/protected/peers/${id}`, init));
  }

  /** What the Portal that the app runs on says of itself. */
  async whoareyou(init: AskInit = {}): Promise<PortalIdentity> {
    const told = (await this.#ask("/public/meta/whoareyou", init)) as PortalIdentity | null;
    if (typeof told?.id !== "string") throw new NotAPortal("The Portal doesn't say who it is");
    return told;
  }

  /**
   * Calls the same app at a peer of which only the ID is known. Other than `fetch` it sends the path
   * byte for byte.
   *
   * @throws {Refused} where a proxy refused it
   * @throws {PortalError} where it failed otherwise
   * @throws {TypeError} where it can't be sent as it is
   */
  async request(
    id: string,
    method: string,
    path: string,
    init: CallInit = {},
  ): Promise<PeerResponse> {
    checkId(id);
    let call = callOf(method, path, init);
    for (let redirects = 0; ; redirects++) {
      const response = await this.#send({
        ...call,
        target: `/internal/call_peer/${id}${call.target}`,
      });
      const location = response.headers.get("location");
      const isFinal = !REDIRECTS.has(response.status) || location === null;
      if (isFinal || init.redirect === "manual") {
        return peerResponse(response, call.target, redirects > 0);
      }
      await response.body?.cancel();
      if (init.redirect === "error") throw new RedirectRefused("The peer's app redirects", location);
      if (redirects === MOST_REDIRECTS) throw new RedirectRefused("Too many redirects", location);
      call = redirected(call, response.status, location, id);
    }
  }

  /** Ends the connections that nobody uses. A call may follow all the same. */
  close(): void {
    this.#transport.close();
  }

  async #ask(target: string, init: AskInit): Promise<unknown> {
    const headers = new Headers({ accept: "application/json" });
    const { signal, timeout } = limitsOf(init);
    const asked = { method: "GET", target, headers, payload: undefined, signal, timeout };
    const response = await this.#send(asked);
    const text = await textOf(response);
    if (response.status !== 200) throw new NotAPortal(`Something answers ${response.status} there`);
    try {
      return JSON.parse(text) as unknown;
    } catch (cause) {
      throw new NotAPortal("What answers there isn't JSON", { cause });
    }
  }

  async #send(call: Call): Promise<CoreResponse> {
    const headers = new Headers(call.headers);
    const token = await currentToken(this.#settings);
    if (token !== undefined) headers.set("portal-token", token);
    const response = await this.#transport.send({ ...call, headers });
    await refuseRefused(response, call.method);
    return response;
  }

  #listed(entry: unknown): Peer {
    const { id, name, is_reachable } = (entry ?? {}) as Partial<Listed>;
    if (typeof id !== "string" || typeof name !== "string") {
      throw new NotAPortal("An entry in the list of peers isn't one");
    }
    checkId(id);
    return new Peer(this, { id, name, isReachable: is_reachable === true });
  }
}

function callOf(method: string, path: string, init: CallInit): Call {
  checkMethod(method);
  const target = targetOf(path, init.query);
  const { headers, length } = fieldsOf(init.headers);
  const payload = payloadIn(init, length);
  const type = payload?.type;
  if (type !== undefined && !headers.has("content-type")) headers.set("content-type", type);
  return { method, target, headers, payload, ...limitsOf(init) };
}

function payloadIn({ body, json }: CallInit, length: number | undefined): Payload | undefined {
  const hasBody = body !== undefined && body !== null;
  if (json !== undefined) {
    if (hasBody) throw new TypeError("There are a body and json: leave one of them out");
    return jsonOf(json);
  }
  if (hasBody) return payloadOf(body, length);
  if (length) throw new TypeError("Content-Length tells of a body, and there is none");
  return undefined;
}

function limitsOf({ signal, timeout = SILENCE }: AskInit): Pick<Call, "signal" | "timeout"> {
  if (!Number.isFinite(timeout) || timeout < 0 || timeout > 2 ** 31 - 1) {
    throw new TypeError("timeout is a number of milliseconds; 0 means none");
  }
  return { signal: signal ?? undefined, timeout };
}

/** The call that a redirect asks for, as `fetch` makes it. */
function redirected(call: Call, status: number, location: string, id: string): Call {
  const target = redirectTarget(location, id, call.target);
  if (target === undefined) {
    throw new RedirectRefused("The peer's app redirects to somewhere else", location);
  }
  const { method, payload } = call;
  const isDropped =
    (status === 303 && method !== "GET" && method !== "HEAD") ||
    ((status === 301 || status === 302) && method === "POST");
  if (!isDropped) {
    if (payload && !payload.isReplayable) {
      throw new RedirectRefused("A redirect asks for a body that can't be sent again", location);
    }
    return { ...call, target };
  }
  const headers = new Headers(call.headers);
  for (const name of ["encoding", "language", "location", "type"]) {
    headers.delete(`content-${name}`);
  }
  return { ...call, method: "GET", target, headers, payload: undefined };
}

async function textOf(response: CoreResponse): Promise<string> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of response.body ?? []) {
    length += piece.byteLength;
    if (length > MOST_OF_A_LIST) throw new NotAPortal("What answers there doesn't end");
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString("utf8");
}

let shared: Portal | undefined;

/** The Portal that the environment names, the same each time. */
export function portal(): Portal {
  shared ??= new Portal();
  return shared;
}

/** The peers that the app may know, by the Portal that the environment names. */
export function peers(init?: AskInit & { name?: string }): Promise<Peer[]> {
  return portal().peers(init);
}

/** One peer, by its ID or a beginning of it. */
export function peer(id: string, init?: AskInit): Promise<Peer> {
  return portal().peer(id, init);
}

/** What the Portal says of itself. */
export function whoareyou(init?: AskInit): Promise<PortalIdentity> {
  return portal().whoareyou(init);
}
