"""The tests of the public listener, run once more with Bob's under other people's servers."""
