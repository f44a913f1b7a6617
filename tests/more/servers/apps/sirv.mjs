// sirv: files of a folder.
import { createServer } from 'node:http'
import sirv from 'sirv'

const files = sirv(process.argv[3], { dev: true })
createServer((req, res) => files(req, res, () => { res.statusCode = 404; res.end('no such page') }))
  .listen(Number(process.argv[2]), '127.0.0.1')
