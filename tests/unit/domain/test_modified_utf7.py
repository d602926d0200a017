"""Modified UTF-7: every name comes back, and only one form of it is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambackup.domain.modified_utf7 import decode_modified_utf7, encode_modified_utf7

EXAMPLES = {
    "Entwürfe": "Entw&APw-rfe",
    "Gelöschte Objekte": "Gel&APY-schte Objekte",
    "Tom & Jerry": "Tom &- Jerry",
    "台北": "&U,BTFw-",
    "日本語": "&ZeVnLIqe-",
    "📬": "&2D3c7A-",
    "été été": "&AOk-t&AOk- &AOk-t&AOk-",
    "a\tb": "a&AAk-b",
}


@pytest.mark.parametrize(("name", "encoded"), EXAMPLES.items())
def test_names_are_written_as_mail_servers_write_them(name: str, encoded: str) -> None:
    assert encode_modified_utf7(name) == encoded
    assert decode_modified_utf7(encoded) == name


@given(st.text())
def test_every_name_comes_back_from_printable_ascii(name: str) -> None:
    encoded = encode_modified_utf7(name)
    assert all(" " <= character <= "~" for character in encoded)
    assert decode_modified_utf7(encoded) == name


@pytest.mark.parametrize(
    "text",
    ["&", "a&b", "&AGE-", "&APw", "&A-", "&2D0-", "ü", "&APw-&APw-", "a\nb", "&====-"],
    ids=repr,
)
def test_any_other_form_is_refused(text: str) -> None:
    """Among them printable ASCII in base64, an unended run, half a pair and two runs in a row."""
    with pytest.raises(ValueError):
        decode_modified_utf7(text)
