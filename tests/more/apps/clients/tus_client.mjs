// Uploads a file in pieces, each a request of its own, and prints where it is.
import { Agent } from 'node:http'
import { DefaultHttpStack, Upload } from 'tus-js-client'

const [endpoint, size] = process.argv.slice(2)
// Node finds no names below localhost.
const lookup = (_, options, found) => found(null, [{ address: '127.0.0.1', family: 4 }])
const upload = new Upload(Buffer.alloc(Number(size), 'x'), {
  endpoint,
  httpStack: new DefaultHttpStack({ agent: new Agent({ lookup }) }),
  chunkSize: 100_000,
  retryDelays: null,
  metadata: { filename: 'hello.txt' },
  onError: (error) => { console.error(String(error)); process.exit(1) },
  onSuccess: () => console.log(JSON.stringify({ url: upload.url })),
})
upload.start()
