"""HKDF against the test cases of RFC 5869, Appendix A, that use SHA-256, and Python's HMAC."""

import hmac

import pytest

from proxy.core.sealing.kdf import expand, extract

_CASES = {
    "basic": (
        b"\x0b" * 22,
        bytes(range(13)),
        bytes(range(0xF0, 0xFA)),
        "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    "long": (
        bytes(range(80)),
        bytes(range(0x60, 0xB0)),
        bytes(range(0xB0, 0x100)),
        "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
        (
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
            "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
            "cc30c58179ec3e87c14c01d5c1f3434f1d87"
        ),
    ),
    "neither salt nor info": (
        b"\x0b" * 22,
        b"",
        b"",
        "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
}


@pytest.mark.parametrize("name", _CASES)
def test_hkdf_is_that_of_the_rfc(name: str) -> None:
    material, salt, info, key, output = _CASES[name]
    assert extract(salt, material).hex() == key
    assert expand(bytes.fromhex(key), info, len(output) // 2).hex() == output


@pytest.mark.parametrize("length", [0, 1, 32, 63, 64, 65, 128, 300])
@pytest.mark.parametrize("size", [0, 1, 55, 56, 64, 1000])
def test_extracting_is_pythons_hmac_for_every_length_of_key(length: int, size: int) -> None:
    key, message = bytes(255 - n % 256 for n in range(length)), b"m" * size
    assert extract(key, message) == hmac.digest(key, message, "sha256")
