// Node with BentoCache: memory before Redis, and the origin behind both.
import http from 'node:http'
import { BentoCache, bentostore } from 'bentocache'
import { memoryDriver } from 'bentocache/drivers/memory'
import { redisDriver } from 'bentocache/drivers/redis'

const [port, redisPort, origin] = process.argv.slice(2)
const store = bentostore()
  .useL1Layer(memoryDriver({ maxSize: '64mb' }))
  .useL2Layer(redisDriver({ connection: { host: '127.0.0.1', port: Number(redisPort) } }))
const cache = new BentoCache({ default: 'items', stores: { items: store } })

http
  .createServer(async (request, response) => {
    const id = new URL(request.url, 'http://localhost').searchParams.get('id')
    try {
      const body = await cache.getOrSet({
        key: `item:${id}`,
        ttl: '1h',
        factory: async () => (await fetch(`${origin}${id}`)).text(),
      })
      response.writeHead(200, {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
      })
      response.end(body)
    } catch (error) {
      response.writeHead(502)
      response.end(String(error))
    }
  })
  .listen(Number(port), '127.0.0.1')
