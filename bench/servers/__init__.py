"""Programs of the benchmark: the app behind the hops, other people's proxies, ways in, engines."""
