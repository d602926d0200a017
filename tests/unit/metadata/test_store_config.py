"""``streambackup.json``: a newer format is refused by name, whatever else is in the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from streambackup.errors import StoreError
from streambackup.metadata.store_config import STORE_FILE, read_store_config


@pytest.mark.parametrize(
    ("said", "asked_for"),
    [
        (b'{"format":2,"release":"7.3.0","store":["laid out","anew"]}', "7.3.0 or newer"),
        (b'{"format":9}', "a newer release"),
    ],
)
def test_a_store_of_a_newer_format_is_refused_with_the_release_it_needs(
    tmp_path: Path, said: bytes, asked_for: str
) -> None:
    (tmp_path / STORE_FILE).write_bytes(said)

    with pytest.raises(StoreError, match="has format") as refused:
        read_store_config(tmp_path)
    assert refused.value.hint is not None
    assert asked_for in refused.value.hint
    assert (tmp_path / STORE_FILE).read_bytes() == said


def test_a_member_of_the_next_release_is_ignored(tmp_path: Path) -> None:
    (tmp_path / STORE_FILE).write_bytes(b'{"store":"5","created_ms":1,"added":{}}')

    assert read_store_config(tmp_path).store == "5"
