"""What the quickstart says of an item."""

from __future__ import annotations

import pytest

from quickstart import describe


@pytest.mark.parametrize(
    ("folder", "deleted_ms", "line"),
    [
        ("", None, "folder 'Sent'"),
        ("", 1, "folder 'Sent' was deleted"),
        ("Work", None, "folder 'Sent' is in Work"),
        ("Work", 1, "folder 'Sent' was deleted from Work"),
    ],
)
def test_one_line_tells_what_became_of_an_item(
    folder: str, deleted_ms: int | None, line: str
) -> None:
    item: dict[str, object] = {"type": "folder", "name": "Sent"}
    assert describe(item | {"folder": folder, "deleted_ms": deleted_ms}) == line
