"""requests: ``by_requests.py FORM URL...`` asks for each, then posts to the last."""

import os
import sys

import requests

form, *urls = sys.argv[1:]
session = requests.Session()
if form == "path":
    session.headers["Portal-Token"] = os.environ["PORTAL_TOKEN"]
for got in (*map(session.get, urls), session.post(urls[-1], data="Hi")):
    print(got.status_code, got.text)
