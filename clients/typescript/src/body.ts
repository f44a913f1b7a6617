/** The body of a call: what an author gives, as bytes that can be sent. */

/** What may be sent: what `fetch` takes, and whatever yields pieces, such as a Node stream. */
export type Body =
  | string
  | ArrayBuffer
  | ArrayBufferView
  | Blob
  | FormData
  | URLSearchParams
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array | string>;

/** A body as it is sent. */
export interface Payload {
  /** In bytes, where it is known before it is sent. */
  length: number | undefined;
  /** The media type that it says of itself. */
  type: string | undefined;
  /** Whether it can be sent a second time, as some redirects ask for. */
  isReplayable: boolean;
  /** Its pieces, from the beginning. */
  open(): AsyncIterable<Uint8Array>;
}

/**
 * @param length where a stream is known to have so many bytes
 * @throws {TypeError} where it can't be a body, or has another length
 */
export function payloadOf(body: Body, length?: number): Payload {
  const payload = read(body);
  if (length === undefined) return payload;
  if (payload.length !== undefined && payload.length !== length) {
    throw new TypeError(`The body has ${payload.length} bytes, and Content-Length says ${length}`);
  }
  return { ...payload, length };
}

function read(body: Body): Payload {
  if (typeof body === "string") return ofBytes(Buffer.from(body), "text/plain;charset=UTF-8");
  if (body instanceof URLSearchParams) {
    const type = "application/x-www-form-urlencoded;charset=UTF-8";
    return ofBytes(Buffer.from(body.toString()), type);
  }
  if (body instanceof ArrayBuffer) return ofBytes(new Uint8Array(body));
  if (ArrayBuffer.isView(body)) {
    return ofBytes(new Uint8Array(body.buffer, body.byteOffset, body.byteLength));
  }
  if (body instanceof Blob) {
    const open = (): AsyncIterable<Uint8Array> => body.stream();
    return { length: body.size, type: body.type || undefined, isReplayable: true, open };
  }
  if (body instanceof FormData) {
    const encoded = new Response(body);
    const type = encoded.headers.get("content-type") ?? undefined;
    return { ...ofStream(encoded.body ?? []), type };
  }
  if (typeof body === "object" && body !== null && Symbol.asyncIterator in body) {
    return ofStream(body);
  }
  throw new TypeError("The body is neither text, bytes, a form nor a stream; for values: json");
}

/** A value as JSON. */
export function jsonOf(value: unknown): Payload {
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined) throw new TypeError("json: this value can't be written as JSON");
  return ofBytes(Buffer.from(text), "application/json");
}

function ofBytes(bytes: Uint8Array, type?: string): Payload {
  async function* open(): AsyncGenerator<Uint8Array> {
    if (bytes.byteLength > 0) yield bytes;
  }
  return { length: bytes.byteLength, type, isReplayable: true, open };
}

function ofStream(source: AsyncIterable<Uint8Array | string> | Iterable<never>): Payload {
  let isOpened = false;
  async function* open(): AsyncGenerator<Uint8Array> {
    if (isOpened) throw new TypeError("The body was sent already, and can't be read again");
    isOpened = true;
    for await (const piece of source) {
      if (typeof piece === "string") yield Buffer.from(piece);
      else if ((piece as unknown) instanceof Uint8Array) yield piece;
      else throw new TypeError("The body's pieces are neither bytes nor text");
    }
  }
  return { length: undefined, type: undefined, isReplayable: false, open };
}
