"""A guestbook: friends write into it, and everybody reads it."""

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse

from portal_peers import AsyncPortal, PortalError, caller

app = FastAPI()
entries: list[str] = []


@app.get("/public/", response_class=PlainTextResponse)
def read() -> str:
    """Show it to everybody."""
    return "\n".join([f"{len(entries)} entries", *entries, ""])


@app.post("/peer/entries", status_code=201)
async def receive(request: Request) -> dict[str, str]:
    """Take an entry from a peer: app.json lets nobody else in."""
    who = caller(request)  # who.id is proven; who.name is what our owner calls the peer
    entry = (await request.json())["text"]
    entries.append(f"{who.name} wrote: {entry}")
    return {"thanks": who.name}


@app.post("/write", response_class=PlainTextResponse)
async def write(request: Request) -> str:
    """Write into the guestbook of every peer: app.json keeps this for the owner's own devices."""
    entry = (await request.body()).decode()
    told = []
    async with AsyncPortal() as portal:
        for peer in await portal.peers():
            try:
                response = await peer.post("/peer/entries", json={"text": entry})
                told.append(f"{peer.name}: {response.status_code}")
            except PortalError as error:  # refused, or away: that is one peer's, not all of them
                told.append(f"{peer.name}: {error}")
    return "\n".join([*told, ""])
