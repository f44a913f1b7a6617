// A tus server that is told how its uploads are reached: by the fields that a proxy writes.
import { createServer } from 'node:http'
import { FileStore } from '@tus/file-store'
import { Server } from '@tus/server'

const [port, folder, told] = process.argv.slice(2)
const tus = new Server({
  path: '/files',
  datastore: new FileStore({ directory: folder }),
  respectForwardedHeaders: told === 'respect',
  relativeLocation: told === 'relative',
})
createServer(tus.handle.bind(tus)).listen(Number(port), '127.0.0.1')
