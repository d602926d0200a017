"""What names in a Maildir++ tree say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambackup.domain.modified_utf7 import EMPTY_LEVEL, encode_modified_utf7
from streambackup.sources.maildir.names import (
    ROOT,
    base_of,
    flags_of,
    folder_name,
    is_folder_name,
    letters_of,
    parent_of,
    parse_keywords,
    tags_of,
    text_of,
)


@given(st.binary(), st.binary())
def test_texts_of_names_are_valid_and_one_to_one(first: bytes, second: bytes) -> None:
    text_of(first).encode("utf-8")
    assert (text_of(first) == text_of(second)) == (first == second)


def test_ordinary_names_are_their_own_text() -> None:
    assert text_of("1700.M1P2.host,S=3 Ü📬".encode()) == "1700.M1P2.host,S=3 Ü📬"
    assert text_of(b"50% M%C3%BCnchen %FF %25") == "50% M%C3%BCnchen %FF %25"
    assert text_of(b"caf\xe9 50%\xff") == "caf/E9 50%/FF"


@pytest.mark.parametrize(
    ("name", "base", "letters"),
    [
        (b"17.host", b"17.host", ""),
        (b"17.host:2,", b"17.host", ""),
        (b"17.host:2,FS", b"17.host", "FS"),
        (b"17.host:2,Sab", b"17.host", "Sab"),
        (b"17.host:1,experimental", b"17.host", ""),
        (b"17.host:2,S\xff", b"17.host", "S"),
        (b":2,S", b"", "S"),
    ],
)
def test_a_file_name_is_a_base_and_letters(name: bytes, base: bytes, letters: str) -> None:
    assert base_of(name) == base
    assert letters_of(name) == letters


def test_letters_are_flags_or_keywords() -> None:
    assert flags_of("DFPRST") == ["draft", "flagged", "forwarded", "answered", "seen", "deleted"]
    assert flags_of("aXS") == ["seen"]
    assert tags_of("caSz", ["work", "", "later"]) == ["work", "later"]


def test_keywords_are_read_as_dovecot_writes_them() -> None:
    assert parse_keywords(b"0 $Forwarded\n2 Privat\xc3\xa9\n") == ["$Forwarded", "", "Privaté"]
    assert parse_keywords(b"x\n99 far\n1\n\n-1 a\n") == []


def test_what_a_folder_is_called() -> None:
    assert is_folder_name(b".Sent")
    assert not any(map(is_folder_name, (b"cur", b".", b"..", b"..DOVECOT-TRASHED")))
    assert folder_name(ROOT) == "INBOX"
    assert folder_name(b".Archive.Entw&APw-rfe") == "Entwürfe"
    assert parent_of(b".Archive.2023") == b".Archive"
    assert parent_of(b".Archive") is None
    assert parent_of(ROOT) is None


def test_a_folder_s_name_that_does_not_decode_is_kept() -> None:
    assert folder_name(b".a&b") == "a&b"
    assert folder_name(b"." + "Ünï".encode()) == "Ünï"
    assert folder_name(b".\xff") == "/FF"


FOLDERS = (
    st.binary(min_size=1)
    .map(lambda name: b"." + name.translate(None, b"/\0"))
    .filter(is_folder_name)
)


def test_an_empty_level_of_a_folder_s_name_has_a_name() -> None:
    assert folder_name(b".dot.") == EMPTY_LEVEL
    assert folder_name(parent_of(b".A..B") or b"") == EMPTY_LEVEL


@given(FOLDERS)
def test_no_level_is_without_a_name_and_only_an_empty_one_is_called_so(directory: bytes) -> None:
    level = directory.rpartition(b".")[2]
    assert folder_name(directory)
    assert (folder_name(directory) == EMPTY_LEVEL) == (level == b"")


@given(st.text(st.characters(exclude_characters="./\0", exclude_categories=["Cs"]), min_size=1))
def test_every_name_that_servers_encode_is_decoded(name: str) -> None:
    encoded = f".{encode_modified_utf7(name)}".encode()

    assert folder_name(encoded) == name
