"""aiohttp: ``by_aiohttp.py FORM URL...`` asks for each, then posts to the last."""

import asyncio
import os
import sys

import aiohttp


async def main(form: str, *urls: str) -> None:
    fields = {"Portal-Token": os.environ["PORTAL_TOKEN"]} if form == "path" else {}
    async with aiohttp.ClientSession(headers=fields, trust_env=True) as session:
        for url in urls:
            async with session.get(url) as got:
                print(got.status, await got.text())
        async with session.post(urls[-1], data="Hi") as got:
            print(got.status, await got.text())


asyncio.run(main(*sys.argv[1:]))
