// Koa, behind a proxy that it believes.
import Koa from 'koa'
import { seen } from './seen.mjs'

const app = new Koa({ proxy: true })
app.use((ctx) => {
  const { path, href, protocol, hostname, ip } = ctx.request
  const page = path.startsWith('/private/') ? 'private' : 'other'
  ctx.body = seen(page, ctx.req, { path, href, protocol, hostname, ip })
})
app.listen(Number(process.argv[2]), '127.0.0.1')
