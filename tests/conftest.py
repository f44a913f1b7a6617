"""What every test needs: to be where SIGINT arrives."""

import signal

# What a shell starts in the background is deaf to SIGINT, and so is whatever that starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
