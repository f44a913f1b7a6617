/** What came back of a call: the response of the peer's app, or the refusal that it is instead. */

import { NotAPortal, UnexpectedStatus } from "./errors.js";
import { refusal, type RefusedBy } from "./refusals.js";
import type { CoreResponse } from "./transport.js";

const MARKS: readonly (readonly [string, RefusedBy])[] = [
  ["portal-refusal", "portal"],
  ["portal-peer-refusal", "peer"],
];
/** A code, and parameters behind it. */
const MARK = /^([a-z_]+)(?:;|$)/;
const MOST_OF_A_PROBLEM = 16 * 1024;

/** The response of a peer's app: what `fetch` gives, and a little more. */
export interface PeerResponse extends Response {
  /** What was asked of the app last, behind the redirects that were followed. */
  readonly target: string;
  json<T = unknown>(): Promise<T>;
}

/** What came back, as `fetch` would give it. */
export function peerResponse(
  { status, headers, reason, body }: CoreResponse,
  target: string,
  redirected: boolean,
): PeerResponse {
  const response = new Response(body, { status, headers, statusText: reason });
  return Object.defineProperties(response, {
    target: { value: target, enumerable: true },
    redirected: { value: redirected },
  }) as PeerResponse;
}

/** @throws {UnexpectedStatus} where the peer's app didn't answer with 2xx */
export function expectOk<R extends Response>(response: R): R {
  if (response.ok) return response;
  throw new UnexpectedStatus(response);
}

/**
 * Who refused, is told by fields that neither a peer nor an app can write. Without them the response
 * is the app's, even where it looks like a refusal.
 *
 * @throws {Refused} where it is a refusal
 */
export async function refuseRefused(response: CoreResponse, method: string): Promise<void> {
  for (const [name, by] of MARKS) {
    const mark = response.headers.get(name);
    if (mark === null) continue;
    const code = MARK.exec(mark)?.[1];
    if (code === undefined) throw new NotAPortal(`The field ${name} tells no code`);
    const title = titleIn(await beginningOf(response.body));
    const { status, headers } = response;
    const after = headers.get("retry-after") ?? "";
    const retryAfter = /^[0-9]{1,9}$/.test(after) ? Number(after) : undefined;
    const requestId = headers.get("x-request-id") ?? undefined;
    throw refusal({ code, status, by, title, method, retryAfter, requestId });
  }
}

/** The beginning of a body that nobody else reads. What is wrong with the rest doesn't matter. */
async function beginningOf(body: ReadableStream<Uint8Array> | null): Promise<string> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const piece of body ?? []) {
      pieces.push(piece);
      length += piece.byteLength;
      if (length > MOST_OF_A_PROBLEM) break;
    }
  } catch {
    return "";
  }
  return Buffer.concat(pieces).toString("utf8");
}

function titleIn(problem: string): string {
  try {
    const title = (JSON.parse(problem) as { title?: unknown } | null)?.title;
    // A peer's text: a line of a log shall stay a line.
    return typeof title === "string" ? title.replace(/[^\x20-\x7e]/g, "?").slice(0, 200) : "";
  } catch {
    return "";
  }
}
