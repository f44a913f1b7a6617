"""docs/call.svg: it can be read by everybody, on white and on black."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "call.svg").read_text("utf-8")
SVG = "{http://www.w3.org/2000/svg}"


def test_it_says_in_words_what_it_shows() -> None:
    picture = ET.fromstring(TEXT)
    named = (picture.get("aria-labelledby") or "").split()
    words = [picture.find(f"{SVG}{kind}") for kind in ("title", "desc")]
    assert [word is not None and word.get("id") for word in words] == named
    assert all(word is not None and word.text for word in words)
    assert re.search(r"!\[[^\]]{40,}\]\(docs/call\.svg\)", (ROOT / "README.md").read_text("utf-8"))


def test_each_colour_has_another_one_where_it_is_dark() -> None:
    light, dark = (
        set(re.findall(r"^\.([\w-]+) \{", part, re.MULTILINE))
        for part in TEXT.split("@media (prefers-color-scheme: dark)")
    )
    assert light == dark
    used = {name for names in re.findall(r'class="([^"]+)"', TEXT) for name in names.split()}
    assert used == light
    outside = re.sub(r"<style>.*?</style>", "", TEXT, flags=re.DOTALL)
    assert not re.search(r'(?:fill|stroke)="', outside)
