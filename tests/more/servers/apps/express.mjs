// Express, behind a proxy that it believes.
import express from 'express'
import { seen } from './seen.mjs'

const app = express()
app.set('trust proxy', true)
const more = (req) => ({
  path: req.path, base: req.baseUrl, original: req.originalUrl, protocol: req.protocol,
  hostname: req.hostname, ip: req.ip,
})
app.all('/private/', (req, res) => res.json(seen('private', req, more(req))))
app.all('/private/secret', (req, res) => res.json(seen('private', req, more(req))))
app.all('/public/{*rest}', (req, res) => res.json(seen('public', req, more(req))))
app.all('/{*rest}', (req, res) => res.json(seen('other', req, more(req))))
app.listen(Number(process.argv[2]), '127.0.0.1')
