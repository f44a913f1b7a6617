/** Who called: what the proxy says of each request that reaches the app. */

import { CallerUnclear } from "./errors.js";

/** A request as Express, Fastify, `node:http`, Hono (`c.req.raw`) and `fetch` handlers have it. */
export interface WithHeaders {
  headers: Headers | Readonly<Record<string, string | readonly string[] | undefined>>;
}

/** A peer's app. `id` is its Portal's ID, proven. */
export interface PeerCaller {
  type: "peer";
  id: string;
  /** What the owner calls the peer. It may change: keep data by `id`. */
  name: string;
}

/** A browser or program of the owner's own. */
export interface TerminalCaller {
  type: "terminal";
  id: string;
  name: string;
}

/** Anybody. */
export interface AnonymousCaller {
  type: "anonymous";
  id: "";
  name: "";
}

/** Who called. */
export type Caller = PeerCaller | TerminalCaller | AnonymousCaller;

/** An ID as the proxy writes it, or as a test does. A blank or a comma would be two of them. */
const ID = /^[\x21-\x2b\x2d-\x7e]+$/;
const NAME = /^[\x20-\x7e]*$/;

/**
 * Who called, by the fields that the proxy sets. They are true only where nobody but the proxy
 * reaches the app. Without them a request is anybody's.
 *
 * @throws {CallerUnclear} where they contradict themselves
 */
export function caller(request: WithHeaders): Caller {
  const type = field(request, "x-ptl-client-type");
  const id = field(request, "x-ptl-client-id") ?? "";
  const name = field(request, "x-ptl-client-name") ?? "";
  if (type === undefined && id === "" && name === "") return { type: "anonymous", id: "", name: "" };
  if (type === "anonymous" && id === "" && name === "") return { type, id, name };
  if ((type === "peer" || type === "terminal") && ID.test(id) && NAME.test(name)) {
    return { type, id, name: decoded(name) };
  }
  throw new CallerUnclear("The fields X-Ptl-Client-* of this request don't say who called");
}

function field({ headers }: WithHeaders, name: string): string | undefined {
  if (typeof headers.get === "function") return (headers as Headers).get(name) ?? undefined;
  const values: string[] = [];
  for (const [key, value] of Object.entries(headers as Record<string, string | string[]>)) {
    if (key.toLowerCase() === name && value !== undefined) values.push(...[value].flat());
  }
  if (values.length > 1) throw new CallerUnclear(`The field ${name} is there more than once`);
  return values[0];
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    throw new CallerUnclear("The field X-Ptl-Client-Name isn't well encoded");
  }
}
