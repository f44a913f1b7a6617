/** A listener that answers with bytes, for tests of the client's own HTTP. */

import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { Peer, Portal } from "portal-peers";

const ID = "8271dd";
export const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** What a connection does with all that it got so far. */
export type Answering = (got: string, socket: Socket) => void;

export interface Listener {
  portal: Portal;
  port: number;
  /** What came on each connection. */
  received: string[];
  /** Which connections ended. */
  closed: Promise<void>[];
  close(): Promise<void>;
}

export async function listen(answering: Answering, token?: string): Promise<Listener> {
  const received: string[] = [];
  const closed: Promise<void>[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    const index = received.push("") - 1;
    sockets.add(socket);
    closed.push(new Promise((resolve) => socket.once("close", () => resolve())));
    socket.on("error", () => {});
    socket.setEncoding("latin1").on("data", (piece: string) => {
      received[index] += piece;
      answering(received[index] ?? "", socket);
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const portal = new Portal({ url: `http://127.0.0.1:${port}`, token });
  const close = async (): Promise<void> => {
    portal.close();
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  };
  return { portal, port, received, closed, close };
}

/** Answers once the head is there. */
export function afterHead(answer: string): Answering {
  return (got, socket) => {
    if (got.endsWith("\r\n\r\n")) socket.write(answer, "latin1");
  };
}

/** Answers once there is this at the end. */
export function after(end: string, answer = OK): Answering {
  return (got, socket) => {
    if (got.endsWith(end)) socket.write(answer, "latin1");
  };
}

/** A peer of a Portal's, of which nobody has heard. */
export function peerAt(portal: Portal): Peer {
  return new Peer(portal, { id: ID, name: "Bob", isReachable: true });
}
