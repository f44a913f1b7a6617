// Asks each address twice, by fetch and by http or https, as the environment has them do it; prints what came, as JSON.
// node ask.cjs TLS_PORT ADDRESS...: what goes straight to port 443 of any host ends at TLS_PORT of this machine.
const http = require("node:http");
const https = require("node:https");
const tls = require("node:tls");

const [tlsPort, ...addresses] = process.argv.slice(2);
const connect = tls.connect;
tls.connect = (options, ...rest) => {
  const isStraight = typeof options === "object" && !options.socket && Number(options.port) === 443;
  const there = { host: "127.0.0.1", port: Number(tlsPort), rejectUnauthorized: false };
  return connect(isStraight ? { ...options, ...there } : options, ...rest);
};

function byModule(address) {
  return new Promise((resolve, reject) => {
    const of = address.startsWith("https:") ? https : http;
    of.get(address, { rejectUnauthorized: false }, (response) => {
      let body = "";
      response.on("data", (piece) => (body += piece)).on("end", () => resolve(`${response.statusCode} ${body}`));
    }).on("error", reject);
  });
}

async function byFetch(address) {
  const response = await fetch(address);
  return `${response.status} ${await response.text()}`;
}

async function main() {
  const found = [];
  for (const address of addresses) {
    for (const ask of [byFetch, byModule]) {
      found.push(await ask(address).catch((error) => `${error.cause?.message ?? error.message}`));
    }
  }
  console.log(JSON.stringify(found));
  process.exit(0); // what stays open is nobody's business
}

main();
