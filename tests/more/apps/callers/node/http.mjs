// Node's own http: http.mjs FORM URL... asks for each, then posts to the last.
import http from "node:http";
import { text } from "node:stream/consumers";

import { HttpsProxyAgent } from "https-proxy-agent";

const [form, ...urls] = process.argv.slice(2);

// With another client's agent it tunnels; by itself it can name the whole URL to a proxy.
function way(url) {
  if (form === "path") return { headers: { "Portal-Token": process.env.PORTAL_TOKEN } };
  if (form === "CONNECT") return { agent: new HttpsProxyAgent(process.env.HTTP_PROXY) };
  if (form !== "proxy") return {};
  const { hostname, port, username, password } = new URL(process.env.HTTP_PROXY);
  const shown = `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
  return {
    hostname,
    port,
    path: url,
    headers: { Host: new URL(url).host, "Proxy-Authorization": shown },
  };
}

function ask(url, method = "GET", body = undefined) {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { ...way(url), method }, async (got) => {
      const said = await text(got);
      const { location } = got.headers; // it follows none by itself
      if (location) resolve(ask(new URL(location, url).href));
      else resolve(console.log(got.statusCode, said));
    });
    request.on("error", reject).end(body);
  });
}

for (const url of urls) await ask(url);
await ask(urls.at(-1), "POST", "Hi");
process.exit(0);
