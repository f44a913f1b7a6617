"""aiohttp."""

import sys

from aiohttp import web


def page(name: str) -> "web.RouteDef":
    async def seen(request: web.Request) -> web.Response:
        body = (await request.read()).decode("latin-1")
        facts = {"page": name, "method": request.method, "path": request.path, "body": body}
        more = {"url": str(request.url), "host": request.host, "from": request.remote}
        return web.json_response({**facts, **more})

    patterns = {"private": "/private/secret", "public": "/public/{rest:.*}", "other": "/{rest:.*}"}
    return web.route("*", patterns[name], seen)


if __name__ == "__main__":
    app = web.Application()
    app.add_routes([page("private"), page("public"), page("other")])
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
