// Fetches each address with undici's EnvHttpProxyAgent, and prints what came of it, as JSON.
// node env.mjs TLS_PORT ADDRESS...: port 443 of any host is TLS_PORT of this machine.
import { EnvHttpProxyAgent, buildConnector, fetch } from "undici";

const [tlsPort, ...addresses] = process.argv.slice(2);
const connector = buildConnector({ rejectUnauthorized: false });

// What goes past the proxy connects here, and nothing else does.
function connect(options, callback) {
  const there = options.protocol === "https:" ? { hostname: "127.0.0.1", port: tlsPort } : {};
  connector({ ...options, ...there }, callback);
}

const dispatcher = new EnvHttpProxyAgent({ connect });
const found = {};
for (const address of addresses) {
  try {
    const response = await fetch(address, { dispatcher });
    found[address] = `${response.status} ${await response.text()}`;
  } catch (error) {
    found[address] = `${error.cause?.message ?? error.message}`;
  }
}
console.log(JSON.stringify(found));
await dispatcher.close();
