"""An epoch in text: one spelling for each, and no other is read."""

import pytest

from proxy.core.epoch import EPOCH_BYTES, Epoch, read_epoch

VALUE = bytes(range(EPOCH_BYTES))


def test_what_is_written_is_read() -> None:
    assert read_epoch(Epoch(VALUE, 0).text) == VALUE


@pytest.mark.parametrize(
    "text",
    [
        None, 7, b"AAECAwQFBgcICQoLDA0ODw==", "", "AAECAwQFBgcICQoLDA0ODw",
        "AAECAwQFBgcICQoLDA0ODx==", "AAECAwQFBgcICQoLDA0ODw==\n", "AAECAwQFBgcICQoLDA0O",
        "AAECAwQFBgcICQoLDA0ODxAR", "AAECAwQFBgcICQoLDA0O\xf6w==", "!AECAwQFBgcICQoLDA0ODw==",
    ],
)  # fmt: skip
def test_any_other_text_is_none(text: object) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        read_epoch(text)
