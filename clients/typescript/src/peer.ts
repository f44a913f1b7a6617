/** A peer: the same app on somebody else's Portal. */

import type { CallInit, Portal } from "./portal.js";
import { expectOk, type PeerResponse } from "./response.js";

/** What is known of a peer. */
export interface PeerFacts {
  id: string;
  name: string;
  isReachable: boolean;
}

/** A peer, and calls to it. Each gives what `fetch` would give, or throws a `PortalError`. */
export class Peer {
  /** By this your data is kept: it never changes, and nobody else has it. */
  readonly id: string;
  /** What the owner calls the peer. It may change. */
  readonly name: string;
  /** Whether it proved lately who it is: a hint for people. Only a call is a test. */
  readonly isReachable: boolean;
  readonly #portal: Portal;

  constructor(portal: Portal, { id, name, isReachable }: PeerFacts) {
    this.#portal = portal;
    this.id = id;
    this.name = name;
    this.isReachable = isReachable;
  }

  request(method: string, path: string, init?: CallInit): Promise<PeerResponse> {
    return this.#portal.request(this.id, method, path, init);
  }

  get(path: string, init?: CallInit): Promise<PeerResponse> {
    return this.request("GET", path, init);
  }

  head(path: string, init?: CallInit): Promise<PeerResponse> {
    return this.request("HEAD", path, init);
  }

  options(path: string, init?: CallInit): Promise<PeerResponse> {
    return this.request("OPTIONS", path, init);
  }

  post(path: string, init?: CallInit): Promise<PeerResponse> {
    return this.request("POST", path, init);
  }

  put(path: string, init?: CallInit): Promise<PeerResponse> {
    return this.request("PUT", path, init);
  }

  patch(path: string, init?: CallInit): Promise<PeerResponse> {
    return this.request("PATCH", path, init);
  }

  delete(path: string, init?: CallInit): Promise<PeerResponse> {
    return this.request("DELETE", path, init);
  }

  /**
   * What the peer's app answers to a GET, read as JSON.
   *
   * @throws {UnexpectedStatus} where its status isn't 2xx
   */
  async json<T = unknown>(path: string, init: CallInit = {}): Promise<T> {
    const headers = new Headers(init.headers);
    if (!headers.has("accept")) headers.set("accept", "application/json");
    return expectOk(await this.get(path, { ...init, headers })).json<T>();
  }

  /**
   * The pieces of a response's body, as they come. Whoever leaves the loop ends the call.
   *
   * @throws {UnexpectedStatus} where the status isn't 2xx
   * @throws {CallBrokenOff} where it breaks off: then the pieces are no response
   */
  async *stream(method: string, path: string, init?: CallInit): AsyncGenerator<Uint8Array, void> {
    const response = expectOk(await this.request(method, path, init));
    if (response.body) yield* response.body;
  }
}
