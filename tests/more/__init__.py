"""Tests that need a browser, a container engine, other people's apps or a long time."""
