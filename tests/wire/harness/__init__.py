"""What the wire tests are made with: Portals as processes, an app that records, raw sockets."""
