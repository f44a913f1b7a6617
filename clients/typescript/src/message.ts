/** A call's head, checked before anything is sent: method, path, fields. */

/** Whatever `fetch` takes as fields. */
export type FieldsInit = ConstructorParameters<typeof Headers>[0];

/** Names and values for a query: `undefined` leaves a name out, a list repeats it. */
export type Query =
  | URLSearchParams
  | Record<string, QueryValue | readonly QueryValue[] | undefined>;
type QueryValue = string | number | boolean;

const METHOD = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/;
const PATH = /^\/[\x21-\x7e]*$/;
const SAFE = new Set(["GET", "HEAD", "OPTIONS", "PROPFIND", "REPORT", "TRACE"]);
const ID = /^[a-z0-9]{6,103}$/;

/** Fields of the connection to the proxy, and the token, which no caller's headers may replace. */
const OURS = new Set([
  "connection",
  "expect",
  "host",
  "http2-settings",
  "keep-alive",
  "portal-token",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Whether a method changes nothing, as the proxy sees it. */
export function isSafe(method: string): boolean {
  return SAFE.has(method);
}

/** @throws {TypeError} */
export function checkMethod(method: string): void {
  if (!METHOD.test(method)) throw new TypeError("The method isn't an HTTP method");
  // A tunnel would end in the proxy, and Node's own client takes this one apart from all others.
  if (method.toUpperCase() === "CONNECT") throw new TypeError("CONNECT isn't a call to a peer");
}

/**
 * Six or more characters of a Portal ID. Anything else in its place would be another path, and a
 * "/" in it another peer's.
 *
 * @throws {TypeError}
 */
export function checkId(id: string): void {
  if (!ID.test(id)) {
    throw new TypeError("Not a Portal ID: expected 103 characters, or 6 or more of its beginning");
  }
}

/**
 * The path as it goes out, byte for byte, with the query behind it.
 *
 * @throws {TypeError}
 */
export function targetOf(path: string, query?: Query): string {
  if (!path.startsWith("/")) throw new TypeError('The path begins with "/", as in "/peer/entries"');
  if (path.includes("#")) throw new TypeError('A "#" isn\'t sent: in a path, write "%23"');
  if (!PATH.test(path)) {
    const what = "blanks, control characters and letters beyond ASCII are escaped in a path";
    throw new TypeError(`${what}: use encodeURIComponent for each part`);
  }
  const more = query === undefined ? "" : queryOf(query);
  if (!more) return path;
  return path + (path.includes("?") ? "&" : "?") + more;
}

function queryOf(query: Query): string {
  if (query instanceof URLSearchParams) return query.toString();
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined) pairs.append(name, String(one));
    }
  }
  return pairs.toString();
}

/** An author's fields, and the length that they tell of the body. */
export interface Fields {
  headers: Headers;
  length: number | undefined;
}

/** @throws {TypeError} */
export function fieldsOf(init: FieldsInit): Fields {
  const headers = new Headers(init);
  for (const name of headers.keys()) {
    if (OURS.has(name)) throw new TypeError(`The field "${name}" is set by the Portal's client`);
  }
  const told = headers.get("content-length");
  headers.delete("content-length");
  if (told === null) return { headers, length: undefined };
  const length = Number(told);
  if (!/^[0-9]+$/.test(told) || !Number.isSafeInteger(length)) {
    throw new TypeError("Content-Length isn't a number of bytes");
  }
  return { headers, length };
}
