"""A Portal that has one name alone, for tests of its portal.yaml."""

HOST = "portal.ada.example"
ONE_NAME = f"""\
id: new
name: Ada
domain: ada.example
public_url: https://{HOST}
app_hosts: false
"""
