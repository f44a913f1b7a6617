// One of Node's clients asks for each of the given URLs, one after the other: first GET, then POST.
// Usage: tunnels.mjs KIND PROXY URL...; prints a line of JSON for each response.
import http from "node:http";
import { text } from "node:stream/consumers";

import axios from "axios";
import hpagent from "hpagent";
import { HttpsProxyAgent } from "https-proxy-agent";
import nodeFetch from "node-fetch";
import tunnel from "tunnel";
import * as undici from "undici";

const [kind, proxy, ...urls] = process.argv.slice(2);
const sent = "sent ".repeat(20000);

const byFetch = (fetch, more) => async (method, url) => {
  const body = method === "POST" ? sent : undefined;
  const got = await fetch(url, { method, body, ...more });
  return { status: got.status, body: await got.text() };
};

const byHttp = (agent) => (method, url) =>
  new Promise((resolve, reject) => {
    const request = http.request(url, { method, agent }, async (got) => {
      resolve({ status: got.statusCode, body: await text(got) });
    });
    request.on("error", reject);
    request.end(method === "POST" ? sent : undefined);
  });

const byAxios = (agent) => async (method, url) => {
  const data = method === "POST" ? sent : undefined;
  const set = { httpAgent: agent, proxy: false, responseType: "text", validateStatus: () => true };
  const got = await axios({ method, url, data, ...set });
  return { status: got.status, body: got.data };
};

const inChunks = (dispatcher) => async (method, url) => {
  async function* pieces() {
    for (let at = 0; at < sent.length; at += 1000) yield sent.slice(at, at + 1000);
  }
  const body = method === "POST" ? pieces() : undefined;
  const got = await undici.request(url, { method, body, dispatcher });
  return { status: got.statusCode, body: await got.body.text() };
};

const { hostname, port, username, password } = new URL(proxy);
const kinds = {
  "undici ProxyAgent": () => byFetch(undici.fetch, { dispatcher: new undici.ProxyAgent(proxy) }),
  "undici ProxyAgent that always tunnels": () =>
    byFetch(undici.fetch, { dispatcher: new undici.ProxyAgent({ uri: proxy, proxyTunnel: true }) }),
  "undici ProxyAgent with Node's own fetch": () =>
    byFetch(fetch, { dispatcher: new undici.ProxyAgent(proxy) }),
  "undici EnvHttpProxyAgent": () =>
    byFetch(undici.fetch, { dispatcher: new undici.EnvHttpProxyAgent() }),
  "undici request": () => inChunks(new undici.ProxyAgent({ uri: proxy, proxyTunnel: true })),
  "https-proxy-agent": () => byHttp(new HttpsProxyAgent(proxy)),
  "https-proxy-agent that keeps": () => byHttp(new HttpsProxyAgent(proxy, { keepAlive: true })),
  axios: () => byAxios(new HttpsProxyAgent(proxy)),
  "node-fetch": () => byFetch(nodeFetch, { agent: new HttpsProxyAgent(proxy) }),
  hpagent: () => byHttp(new hpagent.HttpProxyAgent({ proxy, keepAlive: true })),
  tunnel: () =>
    byHttp(tunnel.httpOverHttp({ proxy: { host: hostname, port, proxyAuth: `${username}:${password}` } })),
};

const ask = kinds[kind]();
for (const url of urls) {
  for (const method of ["GET", "POST"]) {
    let got;
    try {
      got = await ask(method, url);
    } catch (error) {
      const told = [];
      for (let each = error; each; each = each.cause) told.push(String(each.message ?? each));
      got = { error: told.join(": ") };
    }
    console.log(JSON.stringify({ method, url, ...got }));
  }
}
process.exit(0);
