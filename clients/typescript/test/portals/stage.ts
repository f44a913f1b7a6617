/** Apps on real Portals, for the tests here. */

import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { RunningPortal } from "portal-peers/testing";

/** Everything but what the page is: peers, strangers, the owner. */
export const MANIFEST = {
  v: "3.2",
  paths: { "": { access: "private" }, "/public/": { access: "public" }, "/peer/": { access: "peer" } },
};

/** Starts an app where its Portal looks for it. */
export async function startApp(portal: RunningPortal, app: RequestListener): Promise<Server> {
  const server = createServer(app).listen(portal.appPort, "127.0.0.1");
  await once(server, "listening");
  return server;
}

export function stopApp(server: Server | undefined): void {
  server?.closeAllConnections();
  server?.close();
}
