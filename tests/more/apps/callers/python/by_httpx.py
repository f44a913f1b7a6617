"""httpx: ``by_httpx.py FORM URL...`` asks for each, then posts to the last."""

import os
import sys

import httpx

form, *urls = sys.argv[1:]
fields = {"Portal-Token": os.environ["PORTAL_TOKEN"]} if form == "path" else {}
with httpx.Client(headers=fields, follow_redirects=True) as client:
    for got in (*map(client.get, urls), client.post(urls[-1], content="Hi")):
        print(got.status_code, got.text)
