"""How many zeros hide the length of a message.

Padmé: a padded length has as many bits of its own as a floating point number whose mantissa is no
longer than its exponent, so that what leaks of the length grows with the logarithm of its
logarithm, and the padding is below one part in log2 of it. Below 1 KiB all messages look alike.
Source: Nikitin et al., Reducing Metadata Leakage from Encrypted Files and Communication with PURBs.
"""

SMALLEST = 1024
"""At 1024 the mantissa has 4 bits and the padding is at most 6 percent."""


def padding(length: int) -> int:
    """Return how many zeros go behind a message of ``length`` bytes."""
    return max(SMALLEST, _padme(length)) - length


def _padme(length: int) -> int:
    exponent = max(length.bit_length() - 1, 0)
    mantissa = exponent.bit_length()
    step = 1 << (exponent - mantissa) if exponent else 1
    return -(-length // step) * step
