// Node's own server with a router that reads the target as browsers do.
import { createServer } from 'node:http'
import { seen } from './seen.mjs'

createServer(async (req, res) => {
  const url = new URL(req.url, 'http://base')
  const page = url.pathname.startsWith('/private/') ? 'private' : 'other'
  let body = ''
  for await (const piece of req) body += piece
  res.setHeader('Content-Type', 'application/json')
  res.end(JSON.stringify(seen(page, req, { path: url.pathname, named: url.host, body })))
}).listen(Number(process.argv[2]), '127.0.0.1')
