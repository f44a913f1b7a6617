"""The files in docs/setup as they are: real web servers, tunnels and platforms before a Portal."""
