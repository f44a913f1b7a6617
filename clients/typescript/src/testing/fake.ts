/** A Portal that isn't there: it answers as a proxy would, and the peers' apps are functions. */

import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { CallBrokenOff } from "../errors.js";
import { Portal } from "../portal.js";
import { Peer } from "../peer.js";
import type { RefusedBy } from "../refusals.js";
import type { Environment } from "../settings.js";
import type { CoreRequest, CoreResponse, Transport } from "../transport.js";

/** One call, as the peer's app got it. */
export interface FakeCall {
  peer: FakePeer;
  method: string;
  /** Byte for byte; a `Request` has a URL, which may read otherwise. */
  target: string;
  headers: Headers;
}

/** The app of a peer: a handler as `fetch` has them (Hono's `app.fetch` is one). */
export type PeerApp = (request: Request, call: FakeCall) => Response | Promise<Response>;

/** A peer that isn't there. */
export interface FakePeer {
  id: string;
  name: string;
  isReachable: boolean;
  app: PeerApp;
}

/** A refusal, in the place of a response. */
export interface FakeRefusal {
  code: string;
  status: number;
  by?: RefusedBy;
  title?: string;
  retryAfter?: number;
}

const LETTERS = "abcdefghjklnpqrstvwxyz0123456789";
const TOKEN = "a-token-of-a-portal-that-is-not-there";
const FIELDS_OF_THE_PROXY = ["portal-refusal", "portal-peer-refusal", "portal-key", "portal-to"];
const CALL = /^\/internal\/call_peer\/([^/?]*)(\/?[^?]*)(\?.*)?$/;

/** Answers what an app asks its Portal, without a network or, where `listen` was called, over one. */
export class FakePortal {
  readonly id: string;
  readonly name: string;
  /** All calls that reached a peer's app, in their order. */
  readonly calls: FakeCall[] = [];
  readonly #peers: FakePeer[] = [];
  readonly #refusals: FakeRefusal[] = [];
  #server: Server | undefined;

  constructor({ name = "Ada" }: { name?: string } = {}) {
    this.name = name;
    this.id = idOf(name);
  }

  /** Adds a peer that the app may know, and what its app answers: by default 404. */
  addPeer(name: string, app: PeerApp = notFound, { isReachable = true } = {}): FakePeer {
    const peer = { id: idOf(name), name, isReachable, app };
    this.#peers.push(peer);
    return peer;
  }

  /** Refuses the next call. */
  refuseNext(refusal: FakeRefusal): void {
    this.#refusals.push(refusal);
  }

  /** A `Portal` that asks this one, without a network. */
  portal(): Portal {
    const transport: Transport = { send: (request) => this.#carry(request), close: () => {} };
    return new Portal({ url: "http://portal_core", token: TOKEN }, transport);
  }

  /** One of its peers, to be called without a network. */
  peer(peer: FakePeer): Peer {
    const { id, name, isReachable } = peer;
    return new Peer(this.portal(), { id, name, isReachable });
  }

  /**
   * Listens on this machine, for code that finds its Portal by the environment.
   *
   * @returns the environment's variables
   */
  async listen(): Promise<Environment> {
    const server = createServer((request, response) => void this.#serve(request, response));
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject).listen(0, "127.0.0.1", resolve);
    });
    const { port } = server.address() as AddressInfo;
    return { PORTAL_CORE_URL: `http://127.0.0.1:${port}`, PORTAL_TOKEN: TOKEN };
  }

  async close(): Promise<void> {
    const server = this.#server;
    if (!server) return;
    this.#server = undefined;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }

  async #carry(request: CoreRequest): Promise<CoreResponse> {
    const { method, target, headers, payload, signal } = request;
    const response = await unless(signal, this.#answer(method, target, headers, payload?.open()));
    const isEmpty = method === "HEAD";
    return {
      status: response.status,
      reason: response.statusText,
      headers: response.headers,
      body: isEmpty ? null : response.body && whole(response.body, request),
    };
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const { method = "GET", url = "/" } = request;
      const headers = new Headers();
      for (const [name, values] of Object.entries(request.headersDistinct)) {
        for (const value of values ?? []) headers.append(name, value);
      }
      const hasBody = headers.has("content-length") || headers.has("transfer-encoding");
      const answer = await this.#answer(method, url, headers, hasBody ? request : undefined);
      response.writeHead(answer.status, [...answer.headers].flat());
      for await (const piece of answer.body ?? []) response.write(piece);
      response.end();
    } catch {
      response.destroy();
    }
  }

  async #answer(
    method: string,
    target: string,
    headers: Headers,
    body: AsyncIterable<Uint8Array> | undefined,
  ): Promise<Response> {
    if (target === "/public/meta/whoareyou") return Response.json(this.#identity());
    if (headers.get("portal-token") !== TOKEN) {
      const code = headers.has("portal-token") ? "token_unknown" : "token_required";
      return refused({ code, status: 401 });
    }
    const call = CALL.exec(target);
    if (call) {
      const peer = this.#find(call[1] ?? "");
      if (!peer) return refused({ code: "no_such_peer", status: 404 });
      const path = call[2] || "/";
      return this.#call(peer, method, path + (call[3] ?? ""), headers, body);
    }
    const { pathname, searchParams } = new URL(target, "http://portal_core");
    const told = ({ id, name, isReachable }: FakePeer): object => {
      return { id, name, is_reachable: isReachable };
    };
    if (pathname === "/protected/peers") {
      const wanted = (searchParams.get("name") ?? "").toLowerCase();
      const found = this.#peers.filter((peer) => peer.name.toLowerCase().includes(wanted));
      return Response.json(found.map(told));
    }
    const id = /^\/protected\/peers\/([^/]+)$/.exec(pathname)?.[1];
    if (id === undefined) return refused({ code: "not_found", status: 404 });
    const peer = this.#find(id);
    return peer ? Response.json(told(peer)) : refused({ code: "no_such_peer", status: 404 });
  }

  async #call(
    peer: FakePeer,
    method: string,
    target: string,
    given: Headers,
    body: AsyncIterable<Uint8Array> | undefined,
  ): Promise<Response> {
    const refusal = this.#refusals.shift();
    if (refusal) return refused(refusal);
    const headers = new Headers(given);
    for (const name of ["connection", "host", "portal-token"]) headers.delete(name);
    for (const name of [...headers.keys()]) if (name.startsWith("x-ptl-")) headers.delete(name);
    headers.set("x-ptl-client-type", "peer");
    headers.set("x-ptl-client-id", this.id);
    headers.set("x-ptl-client-name", encodeURIComponent(this.name));
    const call = { peer, method, target, headers };
    this.calls.push(call);
    const url = `http://app.${peer.id.slice(0, 6)}.portal.example${target}`;
    const init = body ? { method, headers, body: body as never, duplex: "half" as const } : { method, headers };
    let response: Response;
    try {
      response = await peer.app(new Request(url, init), call);
    } catch {
      return refused({ code: "app_failed", status: 502, by: "peer" });
    }
    const told = new Headers(response.headers);
    for (const name of FIELDS_OF_THE_PROXY) told.delete(name);
    const { status, statusText } = response;
    return new Response(response.body, { status, statusText, headers: told });
  }

  #find(id: string): FakePeer | undefined {
    const fitting = this.#peers.filter((peer) => id.length >= 6 && peer.id.startsWith(id));
    return fitting.length === 1 ? fitting[0] : undefined;
  }

  #identity(): object {
    return { id: this.id, name: this.name, domain: "portal.example", public_key_pem: "" };
  }
}

/** An ID of the right form, the same for the same name. */
function idOf(name: string): string {
  const bits = [...createHash("sha512").update(name).digest()]
    .map((byte) => byte.toString(2).padStart(8, "0"))
    .join("")
    .padEnd(515, "0");
  const groups = bits.match(/.{5}/g) ?? [];
  return groups.map((group) => LETTERS.charAt(parseInt(group, 2))).join("");
}

function notFound(): Response {
  return new Response("Not found", { status: 404 });
}

function refused({ code, status, by = "portal", title, retryAfter }: FakeRefusal): Response {
  const headers = new Headers({
    "content-type": "application/problem+json",
    [by === "portal" ? "portal-refusal" : "portal-peer-refusal"]: code,
  });
  if (retryAfter !== undefined) headers.set("retry-after", String(retryAfter));
  const problem = { type: "about:blank", title: title ?? "Refused by a test.", status, code };
  return new Response(JSON.stringify(problem), { status, headers });
}

/** What comes, or the reason of the signal where that is earlier. */
function unless<T>(signal: AbortSignal | undefined, coming: Promise<T>): Promise<T> {
  if (!signal) return coming;
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason as Error);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    void coming.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

/** A body that breaks as one does that comes over a network. */
function whole(body: ReadableStream<Uint8Array>, { method, signal }: CoreRequest): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await unless(signal, reader.read());
        if (done) controller.close();
        else controller.enqueue(value);
      } catch (cause) {
        const reason = signal?.aborted ? signal.reason : undefined;
        controller.error(reason ?? new CallBrokenOff("The response broke off", method, { cause }));
      }
    },
    cancel: (reason) => reader.cancel(reason),
  });
}
