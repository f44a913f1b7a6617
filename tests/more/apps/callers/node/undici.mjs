// undici: undici.mjs AGENT FORM URL... asks for each, then posts to the last.
import * as undici from "undici";

const [agent, form, ...urls] = process.argv.slice(2);
const headers = form === "path" ? { "Portal-Token": process.env.PORTAL_TOKEN } : {};
const proxyTunnel = form === "CONNECT";
const dispatchers = {
  ProxyAgent: () => new undici.ProxyAgent({ uri: process.env.HTTP_PROXY, proxyTunnel }),
  EnvHttpProxyAgent: () => new undici.EnvHttpProxyAgent({ proxyTunnel }),
};
const through = form === "proxy" || form === "CONNECT";
const dispatcher = through ? dispatchers[agent]() : undefined;

async function ask(url, more) {
  const got = await undici.fetch(url, { headers, dispatcher, ...more });
  console.log(got.status, await got.text());
}

for (const url of urls) await ask(url);
await ask(urls.at(-1), { method: "POST", body: "Hi" });
process.exit(0);
