// Polka.
import polka from 'polka'
import { seen } from './seen.mjs'

const page = (name) => (req, res) => {
  const more = { path: req.path, original: req.originalUrl }
  res.setHeader('Content-Type', 'application/json')
  res.end(JSON.stringify(seen(name, req, more)))
}
polka()
  .all('/private/', page('private'))
  .all('/private/secret', page('private'))
  .all('/public/*', page('public'))
  .all('/*', page('other'))
  .listen(Number(process.argv[2]), '127.0.0.1')
