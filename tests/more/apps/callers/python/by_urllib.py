"""urllib: ``by_urllib.py FORM URL...`` asks for each, then posts to the last."""

import os
import sys
from urllib.request import Request, urlopen

form, *urls = sys.argv[1:]
fields = {"Portal-Token": os.environ["PORTAL_TOKEN"]} if form == "path" else {}
for request in (*(Request(url, None, fields) for url in urls), Request(urls[-1], b"Hi", fields)):
    with urlopen(request) as got:
        print(got.status, got.read().decode())
