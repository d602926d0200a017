"""File names: whatever the text, safe; and different for different texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambackup.domain.entry import ItemType
from streambackup.targets.names import item_name, safe_name, twin_name
from streambackup.targets.port import FolderPath
from tests.contract.target_contract import restored

# Any code point, half surrogate pairs too, and often what file systems reserve.
hostile = st.text(st.characters(), max_size=200) | st.text(
    st.sampled_from("./\\%~:- aA\0\n\ud800É📬"), max_size=60
)


def is_safe(name: str) -> bool:
    return (
        0 < len(name.encode()) <= 200
        and name.isprintable()
        and not set(name) & set('/\\:*?"<>|')
        and name[0] not in ".- "
        and name[-1] not in ". "
    )


@given(hostile)
def test_every_text_has_a_safe_name(text: str) -> None:
    assert is_safe(safe_name(text))
    assert is_safe(twin_name(text))


@given(st.lists(hostile, unique=True, max_size=30))
def test_different_texts_have_different_names(texts: list[str]) -> None:
    names = [safe_name(text) for text in texts] + [twin_name(text) for text in texts]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "text", ["Work", "Été 2026", "📬 box", "anna@example.org", "a_b-c.d", "日本"]
)
def test_ordinary_names_stay(text: str) -> None:
    assert safe_name(text) == text


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("..", "%2E%2E"),
        ("a/b", "a%2Fb"),
        ("nul", "%6Eul"),
        ("Con.txt", "%43on.txt"),
        ("", "%"),
        ("100%", "100%25"),
        ("end.", "end%2E"),
        ("x" * 300, "x" * 103 + "~0d4e2ca9e9cbced7"),
    ],
)
def test_other_names_are_percent_encoded_or_cut(text: str, name: str) -> None:
    assert safe_name(text) == name


@given(hostile, st.sampled_from([ItemType.MESSAGE, ItemType.DOCUMENT, ItemType.TASK]))
def test_every_item_has_a_safe_name_with_its_key(text: str, type: ItemType) -> None:
    state = {"folder": "f", "subject": text, "name": text, "title": text, "received_ms": 2**62}
    item = restored(type=type, state=state, folder=FolderPath())
    first, second = item_name(item, ".json"), item_name(item, ".json", 2)
    assert is_safe(first)
    assert item.key[:12] in first
    assert first != second
