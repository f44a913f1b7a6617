// Node's own fetch: fetch.mjs FORM URL... asks for each, then posts to the last.
const [form, ...urls] = process.argv.slice(2);
const headers = form === "path" ? { "Portal-Token": process.env.PORTAL_TOKEN } : {};

async function ask(url, more) {
  const got = await fetch(url, { headers, ...more });
  console.log(got.status, await got.text());
}

for (const url of urls) await ask(url);
await ask(urls.at(-1), { method: "POST", body: "Hi" });
