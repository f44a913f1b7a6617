// Asks each address by undici's EnvHttpProxyAgent, and prints what came of it, as JSON.
// node env.mjs PACKAGE TLS_PORT ADDRESS...: port 443 of any host is TLS_PORT of this machine.
// With "composed:" before PACKAGE what is https passes by the agent, as the authors' page shows it.
import { createRequire } from "node:module";

const [words, tlsPort, ...addresses] = process.argv.slice(2);
const name = words.replace("composed:", "");
const require = createRequire(import.meta.url);
// Its parts, since the whole of version 8 doesn't load in every Node that is tested with.
const Agent = require(`${name}/lib/dispatcher/agent.js`);
const EnvHttpProxyAgent = require(`${name}/lib/dispatcher/env-http-proxy-agent.js`);
const buildConnector = require(`${name}/lib/core/connect.js`);
const api = require(`${name}/lib/api/index.js`);
Object.assign(require(`${name}/lib/dispatcher/dispatcher.js`).prototype, api);

const connector = buildConnector({ rejectUnauthorized: false });

// What goes past the proxy connects here, and nothing else does.
function connect(options, callback) {
  const there = options.protocol === "https:" ? { hostname: "127.0.0.1", port: tlsPort } : {};
  connector({ ...options, ...there }, callback);
}

const direct = new Agent({ connect });
const calls = new EnvHttpProxyAgent({ connect });
const composed = calls.compose((dispatch) => (options, handler) =>
  `${options.origin}`.startsWith("https:") ? direct.dispatch(options, handler) : dispatch(options, handler),
);

const dispatcher = words === name ? calls : composed;
const found = {};
for (const address of addresses) {
  const { origin, pathname } = new URL(address);
  try {
    const { statusCode, body } = await api.request.call(dispatcher, { origin, path: pathname, method: "GET" });
    found[address] = `${statusCode} ${await body.text()}`;
  } catch (error) {
    found[address] = `${error.cause?.message ?? error.message}`;
  }
}
console.log(JSON.stringify(found));
await calls.close();
await direct.close();
