"""The usual recipe: cache-aside with redis.asyncio, here under Starlette and uvicorn."""

import sys
import urllib.request

import redis.asyncio
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

port, redis_port, origin = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
store = redis.asyncio.Redis(host="127.0.0.1", port=redis_port)


def load(number):
    with urllib.request.urlopen(origin + number) as answer:
        return answer.read()


async def item(request):
    number = request.query_params["id"]
    key = f"python:{number}"
    body = await store.get(key)
    if body is None:
        body = await run_in_threadpool(load, number)
        await store.set(key, body, ex=3600)
    return Response(body, media_type="application/json")


app = Starlette(routes=[Route("/item", item)])
uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="warning")
