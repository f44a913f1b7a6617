"""Tornado, which believes the proxy's fields (``xheaders``)."""

import asyncio
import sys

from tornado.web import Application, RequestHandler


class Seen(RequestHandler):  # type: ignore[misc]
    def initialize(self, page: str) -> None:
        self.page = page

    def get(self) -> None:
        asked = self.request
        facts = {"page": self.page, "method": asked.method, "path": asked.path, "uri": asked.uri}
        more = {"url": asked.full_url(), "host": asked.host, "from": asked.remote_ip}
        self.write({**facts, **more, "body": asked.body.decode("latin-1")})

    post = get
    delete = get


async def main(port: int) -> None:
    pages = (("/private/secret", "private"), ("/public/.*", "public"), (".*", "other"))
    app = Application([(pattern, Seen, {"page": page}) for pattern, page in pages])
    app.listen(port, "127.0.0.1", xheaders=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
