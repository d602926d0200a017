"""Header fields are read from whatever mail there is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambackup.sources.maildir.headers import (
    RECIPIENTS_MAX,
    VALUE_LENGTH_MAX,
    Header,
    parse_header,
)

FIELDS = [b"From", b"To", b"Cc", b"Subject", b"Date", b"Message-ID", b"X"]
PARTS = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            b"=?utf-8?B?",
            b"?=",
            b"=?x?q?=FF?=",
            b"<a@b>",
            b"(((",
            b'"',
            b"\r\n ",
            b",",
            b"\0",
            b"\xed\xa0\x80",
        ]
    ),
)


def test_an_ordinary_mail() -> None:
    header = parse_header(
        b"From: =?utf-8?q?Ann_M=C3=BCller?= <ann@example.org>\r\n"
        b"To: Bob <bob@example.org>, carl@example.org\r\n"
        b"Cc: dora@example.org\r\n"
        b"Subject: =?iso-8859-1?Q?Gr=FC=DFe?= aus\r\n =?utf-8?B?S8O2bG4=?=\r\n"
        b"Date: Fri, 1 Mar 2024 12:00:00 +0100\r\n"
        b"Message-ID: <1@example.org>\r\n"
        b"\r\nSubject: not this\r\n"
    )

    assert header == Header(
        sent_ms=1_709_290_800_000,
        sender="Ann Müller <ann@example.org>",
        recipients=["Bob <bob@example.org>", "carl@example.org", "dora@example.org"],
        subject="Grüße aus Köln",
        message_id="<1@example.org>",
    )


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        (b"caf\xe9", "café"),
        ("café 📬".encode(), "café 📬"),
        (b"=?nonsense?Q?caf=E9?=", "café"),
        (b"=?utf-8?B?!?=", "=?utf-8?B?!?="),
        (b"folded\r\n\tline", "folded line"),
        (b"a\0b", "a\0b"),
        (b"\xed\xa0\x80", "í\xa0\x80"),
        (b"", ""),
        (b"x" * 5_000, "x" * VALUE_LENGTH_MAX),
    ],
)
def test_a_subject_in_any_form_is_shown(subject: bytes, shown: str) -> None:
    assert parse_header(b"Subject: " + subject + b"\r\n\r\n").subject == shown


def test_what_is_not_there_is_none() -> None:
    assert parse_header(b"") == Header()
    assert parse_header(b"\r\nSubject: body\r\n") == Header()
    assert parse_header(b"no header at all, one line of " + b"x" * 300_000) == Header()


def test_addresses_that_are_none_are_shown_as_they_stand() -> None:
    header = parse_header(b"From: undisclosed\r\nTo: a b c: d; <\r\n\r\n")

    assert header.sender == "undisclosed"
    assert len(header.recipients) == 1


def test_recipients_are_bounded() -> None:
    people = ", ".join(f"p{n}@example.org" for n in range(500))

    assert len(parse_header(f"To: {people}\r\n\r\n".encode()).recipients) == RECIPIENTS_MAX


@pytest.mark.parametrize("date", [b"yesterday", b"", b"Fri, 1 Mar 999999 12:00:00", b"1 Jan 1900"])
def test_a_date_that_is_none_is_left_out(date: bytes) -> None:
    assert parse_header(b"Date: " + date + b"\r\n\r\n").sent_ms is None


@given(st.lists(st.tuples(st.sampled_from(FIELDS), st.lists(PARTS, max_size=4)), max_size=6))
def test_no_header_fails_and_all_that_is_shown_is_text(
    fields: list[tuple[bytes, list[bytes]]],
) -> None:
    data = b"".join(name + b": " + b"".join(parts) + b"\r\n" for name, parts in fields)

    header = parse_header(data)

    json.dumps([header.subject, header.sender, header.recipients, header.message_id]).encode()
    for text in (header.subject, header.sender, header.message_id, *header.recipients):
        assert text is None or len(text.encode("utf-8")) <= 4 * VALUE_LENGTH_MAX


@pytest.mark.parametrize("nested", [b"(" * 20_000, b"<" * 20_000, b'"' * 20_001, b"[" * 20_000])
def test_deep_nesting_is_only_text(nested: bytes) -> None:
    header = parse_header(b"From: " + nested + b"\r\nSubject: x\r\n\r\n")

    assert header.subject == "x"
