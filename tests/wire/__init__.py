"""The proxy as others meet it: real processes, real sockets, raw bytes."""
