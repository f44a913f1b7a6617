// axios: axios.mjs FORM URL... asks for each, then posts to the last.
import axios from "axios";
import { HttpsProxyAgent } from "https-proxy-agent";

const [form, ...urls] = process.argv.slice(2);
const headers = form === "path" ? { "Portal-Token": process.env.PORTAL_TOKEN } : {};
const tunnel = form === "CONNECT";
const agent = tunnel ? { httpAgent: new HttpsProxyAgent(process.env.HTTP_PROXY), proxy: false } : {};
const client = axios.create({ headers, ...agent, responseType: "text" });

const show = (got) => console.log(got.status, got.data);
for (const url of urls) show(await client.get(url));
show(await client.post(urls.at(-1), "Hi"));
process.exit(0);
