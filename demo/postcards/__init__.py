"""A postcard box: an app for a personal server. Standard library alone; knows nothing of keys."""
