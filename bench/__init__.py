"""The benchmark: what a request costs our proxy, against other proxies on the same work."""
