"""FastAPI."""

from typing import Any

from fastapi import FastAPI, Request

app = FastAPI()


def seen(request: Request, page: str) -> dict[str, Any]:
    facts = {"page": page, "method": request.method, "url": str(request.url)}
    scope = {key: str(request.scope.get(key)) for key in ("path", "root_path", "scheme", "server")}
    return {**facts, **scope, "from": request.client and request.client.host}


@app.get("/private/secret")
async def private(request: Request) -> dict[str, Any]:
    return seen(request, "private")


@app.get("/public/{rest:path}")
async def public(request: Request, rest: str) -> dict[str, Any]:
    del rest
    return seen(request, "public")


@app.get("/{rest:path}")
async def other(request: Request, rest: str) -> dict[str, Any]:
    del rest
    return seen(request, "other")
