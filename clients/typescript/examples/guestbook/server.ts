import { createServer, type IncomingMessage } from "node:http";
import { text } from "node:stream/consumers";
import { caller, peers, PortalError } from "portal-peers";

const entries: string[] = [];

/** Writes the same entry into the guestbook of every peer; returns a line for each. */
async function writeToAll(entry: string): Promise<string[]> {
  const all = await peers();
  return Promise.all(
    all.map(async (peer) => {
      try {
        const response = await peer.post("/peer/entries", { json: { entry } });
        return `${peer.name}: ${response.status} ${await response.text()}`;
      } catch (error) {
        // A refusal, a Portal that is off: told by class and code, one peer at a time.
        if (error instanceof PortalError) return `${peer.name}: ${error.message}`;
        throw error;
      }
    }),
  );
}

async function answer(request: IncomingMessage): Promise<[status: number, body: string]> {
  const who = caller(request);
  switch (`${request.method} ${request.url}`) {
    case "GET /public/": // for everybody
      return [200, `${entries.length} entries\n${entries.join("\n")}\n`];
    case "POST /peer/entries": {
      // For peers alone, says app.json. The name is what *our* owner calls the peer.
      const { entry } = JSON.parse(await text(request)) as { entry: string };
      entries.push(`${who.name} wrote: ${entry}`);
      return [201, `Thank you, ${who.name}.`];
    }
    case "POST /write": // for the owner's own devices
      return [200, (await writeToAll(await text(request))).join("\n") + "\n"];
    default:
      return [404, "There is nothing here.\n"];
  }
}

const server = createServer((request, response) => {
  answer(request)
    .catch((error: unknown): [number, string] => [500, `${error}\n`])
    .then(([status, body]) => {
      response.writeHead(status, { "Content-Type": "text/plain; charset=utf-8" }).end(body);
    });
});
server.listen(Number(process.env["PORT"] ?? 8000), "127.0.0.1");
