// One exchange of HTTP/1.1 on a connection of its own; fields as they stood, line by line.

import http from "node:http";
import { fail } from "./structured.mjs";

/** `pieces`: the body as it is sent, each one a chunk of the transfer coding; null: no body. */
export function exchange(port, method, path, headers, pieces = null) {
  return new Promise((resolve, reject) => {
    const where = { host: "127.0.0.1", port, method, path, headers, agent: false };
    const request = http.request(where, async (response) => {
      const { statusCode: status, rawHeaders: raw } = response;
      const fields = [];
      for (let i = 0; i < raw.length; i += 2) fields.push([raw[i].toLowerCase(), raw[i + 1]]);
      const body = [];
      try {
        for await (const piece of response) body.push(piece);
        resolve({ status, fields, body: Buffer.concat(body) });
      } catch (error) {
        reject(error); // the body broke off: this answer isn't whole
      } finally {
        request.destroy();
      }
    });
    request.on("error", reject);
    for (const piece of pieces ?? []) request.write(piece);
    request.end();
  });
}

/** The value of a field that must stand on exactly one line. */
export function one(fields, name) {
  const values = fields.filter(([key]) => key === name).map(([, value]) => value);
  return values.length === 1 ? values[0] : fail(`${values.length} lines of ${name}`);
}
