// Fastify, behind a proxy that it believes.
import Fastify from 'fastify'
import { seen } from './seen.mjs'

const app = Fastify({ trustProxy: true })
const page = (name) => async (request) => {
  const { method, url, host, hostname, protocol, ip } = request
  return seen(name, request.raw, { method, url, host, hostname, protocol, ip })
}
app.all('/private/', page('private'))
app.all('/private/secret', page('private'))
app.all('/public/*', page('public'))
app.all('/*', page('other'))
await app.listen({ port: Number(process.argv[2]), host: '127.0.0.1' })
