/**
 * Carries a request to the app's own proxy, on Node's own HTTP client.
 *
 * Not on `fetch`, which rewrites paths before it sends them: `/internal/call_peer/ID/../OTHER/x`
 * would go to another peer than the one that is meant, `\` would be `/`, and a dot segment in a name
 * that somebody else chose would leave the peer's app. Here a target goes out byte for byte.
 */

import { Agent, request as httpRequest, type ClientRequest, type IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Payload } from "./body.js";
import { CallBrokenOff, CallTimedOut, NotAPortal, PortalUnreachable } from "./errors.js";
import type { Address } from "./settings.js";

/** A request to the proxy. */
export interface CoreRequest {
  method: string;
  /** As it goes out, beginning with "/". */
  target: string;
  headers: Headers;
  payload: Payload | undefined;
  signal: AbortSignal | undefined;
  /** Milliseconds in which nothing moves, after which it is given up; 0: never. */
  timeout: number;
}

/** What the proxy answered; the body as it comes. */
export interface CoreResponse {
  status: number;
  reason: string;
  headers: Headers;
  /** Null where the response has none. */
  body: ReadableStream<Uint8Array> | null;
}

/** Whatever carries requests to a proxy: the real one, or one for tests. */
export interface Transport {
  send(request: CoreRequest): Promise<CoreResponse>;
  /** Ends the connections that nobody uses. */
  close(): void;
}

const IDLE = 4_000;
const CONNECTING = 10_000;
/** The largest head that the proxy passes on, with room for the fields that it adds. */
const MOST_HEAD = 128 * 1024;
const BUFFERED = 64 * 1024;
const WITH_LENGTH = new Set(["PATCH", "POST", "PUT"]);
const WITHOUT_BODY = new Set([204, 205, 304]);

/** Carries requests over TCP, or over a socket in the file system. */
export class HttpTransport implements Transport {
  readonly #address: Address;
  // Requests run as long as they need; what is idle is closed long before the proxy closes it.
  readonly #agent = new Agent({ keepAlive: true, timeout: IDLE, scheduling: "lifo" });

  constructor(address: Address) {
    this.#address = address;
  }

  send(asked: CoreRequest): Promise<CoreResponse> {
    return new Promise((resolve, reject) => {
      if (asked.signal?.aborted) {
        reject(asked.signal.reason as Error);
        return;
      }
      new Exchange(this.#address, this.#agent, asked, resolve, reject);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** One request and its response. */
class Exchange {
  readonly #asked: CoreRequest;
  readonly #request: ClientRequest;
  readonly #onAbort = (): void => this.#fail(this.#asked.signal?.reason as Error);
  #reject: ((reason: Error) => void) | undefined;
  readonly #onSilence = (): void => this.#endIfSilent();
  #isConnected = false;
  #response: IncomingMessage | undefined;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;

  constructor(
    address: Address,
    agent: Agent,
    asked: CoreRequest,
    resolve: (response: CoreResponse) => void,
    reject: (reason: Error) => void,
  ) {
    this.#asked = asked;
    this.#reject = reject;
    this.#request = httpRequest({
      ...address,
      agent,
      method: asked.method,
      path: asked.target,
      headers: fieldsOf(asked),
      maxHeaderSize: MOST_HEAD,
      timeout: asked.timeout,
    });
    asked.signal?.addEventListener("abort", this.#onAbort, { once: true });
    this.#request
      .on("socket", (socket) => this.#begun(socket))
      .on("error", (error) => this.#fail(this.#failureOf(error)))
      .on("upgrade", (_, socket) => {
        socket.destroy();
        this.#fail(new NotAPortal("The response is an upgrade that nobody asked for"));
      })
      .on("response", (response) => {
        this.#response = response;
        try {
          resolve(this.#begin(response));
          this.#reject = undefined;
        } catch (error) {
          this.#fail(error as Error);
        }
      });
    void this.#sendBody();
  }

  #begun(socket: Socket): void {
    socket.on("timeout", this.#onSilence);
    if (!socket.connecting) {
      this.#isConnected = true;
      return;
    }
    const late = (): void => this.#fail(this.#failureOf(new Error("no connection in 10 s")));
    const timer = setTimeout(late, CONNECTING);
    socket.once("close", () => clearTimeout(timer)).once("connect", () => {
      clearTimeout(timer);
      this.#isConnected = true;
    });
  }

  async #sendBody(): Promise<void> {
    const { payload } = this.#asked;
    const request = this.#request;
    if (payload === undefined) {
      request.end();
      return;
    }
    // Whoever streams may wait for the response before the first piece.
    if (!payload.isReplayable) request.flushHeaders();
    let sent = 0;
    try {
      for await (const piece of payload.open()) {
        if (request.destroyed) return;
        sent += piece.byteLength;
        // What is beyond the length that was told would be read as the next request.
        if (payload.length !== undefined && sent > payload.length) break;
        if (!request.write(piece)) await drained(request);
      }
      if (request.destroyed) return;
      if (payload.length !== undefined && sent !== payload.length) {
        const got = sent > payload.length ? "more" : `${sent}`;
        throw new TypeError(`The body was to have ${payload.length} bytes, and has ${got}`);
      }
      request.end();
    } catch (error) {
      // Broken off, so that nobody takes the part that was sent for a whole.
      this.#fail(error as Error);
    }
  }

  #begin(response: IncomingMessage): CoreResponse {
    const { statusCode: status = 0, statusMessage: reason = "" } = response;
    const headers = new Headers();
    const raw = response.rawHeaders;
    for (let at = 0; at + 1 < raw.length; at += 2) headers.append(raw[at] ?? "", raw[at + 1] ?? "");
    if (status < 200 || status > 599) throw new NotAPortal(`The response has the status ${status}`);
    const isEmpty = this.#asked.method === "HEAD" || WITHOUT_BODY.has(status);
    if (!isEmpty && !headers.has("content-length") && !headers.has("transfer-encoding")) {
      // Its end couldn't be told from a connection that broke.
      throw new NotAPortal("The response doesn't tell where it ends");
    }
    response.on("end", () => this.#finish()).on("error", () => this.#fail(this.#broken()));
    response.on("close", () => {
      if (!response.complete) this.#fail(this.#broken());
    });
    if (isEmpty) {
      response.resume();
      return { status, reason, headers, body: null };
    }
    return { status, reason, headers, body: this.#stream(response) };
  }

  #stream(response: IncomingMessage): ReadableStream<Uint8Array> {
    response.pause();
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
          response.on("data", (piece: Buffer) => {
            controller.enqueue(new Uint8Array(piece));
            if ((controller.desiredSize ?? 0) <= 0) response.pause();
          });
        },
        pull: () => {
          // The time in which nobody read isn't the proxy's silence.
          response.socket?.setTimeout(this.#asked.timeout);
          response.resume();
        },
        cancel: () => {
          this.#controller = undefined;
          this.#fail(this.#broken());
        },
      },
      new ByteLengthQueuingStrategy({ highWaterMark: BUFFERED }),
    );
  }

  #endIfSilent(): void {
    const isWaitingForReader = this.#response?.isPaused() ?? false;
    if (isWaitingForReader) return;
    const { method, timeout } = this.#asked;
    this.#fail(new CallTimedOut(`Nothing moved for ${timeout / 1000} s`, method));
  }

  #failureOf(cause: Error): Error {
    if (this.#response) return this.#broken();
    const { code } = cause as NodeJS.ErrnoException;
    if (code?.startsWith("HPE_")) {
      return new NotAPortal(`What came back isn't HTTP (${code})`, { cause });
    }
    if (!this.#isConnected) {
      const text = `The Portal can't be reached (${code ?? cause.message}): see PORTAL_CORE_URL`;
      return new PortalUnreachable(text, { cause });
    }
    const text = `The connection to the Portal ended (${code ?? cause.message})`;
    return new CallBrokenOff(text, this.#asked.method, { cause });
  }

  #broken(): CallBrokenOff {
    const text = "The response broke off: what came of it is no response";
    return new CallBrokenOff(text, this.#asked.method);
  }

  #finish(): void {
    this.#letGo();
    this.#controller?.close();
    this.#controller = undefined;
    // A connection on which the rest of a body would follow carries no other request.
    if (!this.#request.writableEnded) this.#request.destroy();
  }

  /** What was listened to lives on: the signal may be for more calls, and so may the connection. */
  #letGo(): void {
    this.#asked.signal?.removeEventListener("abort", this.#onAbort);
    this.#request.socket?.off("timeout", this.#onSilence);
  }

  /** Ends both directions. Whoever waits is told, once. */
  #fail(reason: Error): void {
    this.#letGo();
    this.#reject?.(reason);
    this.#reject = undefined;
    this.#controller?.error(reason);
    this.#controller = undefined;
    this.#request.destroy();
  }
}

function drained(request: ClientRequest): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      request.off("drain", done).off("close", done);
      resolve();
    };
    request.on("drain", done).on("close", done);
  });
}

/** The fields as they go out. How the body ends is always told: else it would be a next request. */
function fieldsOf({ method, headers, payload }: CoreRequest): string[] {
  const fields = ["Host", "portal_core"];
  for (const [name, value] of headers) fields.push(name, value);
  if (payload === undefined) {
    if (WITH_LENGTH.has(method)) fields.push("Content-Length", "0");
  } else if (payload.length !== undefined) fields.push("Content-Length", `${payload.length}`);
  else fields.push("Transfer-Encoding", "chunked");
  fields.push("Connection", "keep-alive");
  return fields;
}
