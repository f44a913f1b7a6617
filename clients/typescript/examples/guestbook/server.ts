/** A guestbook: friends write into it, and everybody reads it. */

import { createServer, type IncomingMessage } from "node:http";
import { json, text } from "node:stream/consumers";
import { caller, peers, PortalError } from "portal-peers";

const entries: string[] = [];

/** Writes into the guestbook of every peer; returns a line for each. */
async function writeToAll(entry: string): Promise<string[]> {
  const told = [];
  for (const peer of await peers()) {
    try {
      const response = await peer.post("/peer/entries", { json: { text: entry } });
      told.push(`${peer.name}: ${response.status}`);
    } catch (error) {
      // Refused, or away: that is one peer's, not all of them.
      if (!(error instanceof PortalError)) throw error;
      told.push(`${peer.name}: ${error.message}`);
    }
  }
  return told;
}

async function answer(request: IncomingMessage): Promise<[status: number, body: string]> {
  switch (`${request.method} ${request.url}`) {
    case "GET /public/": // for everybody
      return [200, [`${entries.length} entries`, ...entries, ""].join("\n")];
    case "POST /peer/entries": {
      // From a peer: app.json lets nobody else in. The ID is proven; the name is our owner's word.
      const who = caller(request);
      const entry = (await json(request)) as { text: string };
      entries.push(`${who.name} wrote: ${entry.text}`);
      return [201, JSON.stringify({ thanks: who.name })];
    }
    case "POST /write": // app.json keeps this for the owner's own devices
      return [200, [...(await writeToAll(await text(request))), ""].join("\n")];
    default:
      return [404, "There is nothing here.\n"];
  }
}

const server = createServer((request, response) => {
  answer(request)
    .catch((error: unknown): [number, string] => {
      console.error(error);
      return [500, "Something went wrong here.\n"];
    })
    .then(([status, body]) => {
      response.writeHead(status, { "Content-Type": "text/plain; charset=utf-8" }).end(body);
    });
});
server.listen(Number(process.env["PORT"] ?? 8000), "127.0.0.1");
