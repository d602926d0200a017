import email
import re
import zlib
from email import policy
from email.message import EmailMessage
from random import Random

import pytest

from tests.corpus.messages import encoded_word, message
from tests.corpus.words import FOREIGN, phrase, prose

SENT_S = 1_700_000_000


def parsed(content: bytes) -> EmailMessage:
    mail = email.message_from_bytes(content, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


@pytest.fixture(scope="module")
def mails() -> list[bytes]:
    return [message(f"test/{n}", 600 * (1 + n % 100), SENT_S) for n in range(300)]


@pytest.fixture(scope="module")
def parts(mails: list[bytes]) -> list[EmailMessage]:
    """Every part of every mail, the mails themselves and those inside others included."""
    return [part for content in mails for part in parsed(content).walk()]


def test_no_two_mails_are_equal(mails: list[bytes]) -> None:
    ids = {content.partition(b"Message-ID: ")[2].partition(b"\n")[0] for content in mails}
    assert len(set(mails)) == len(ids) == len(mails)


def test_every_mail_is_well_formed(mails: list[bytes], parts: list[EmailMessage]) -> None:
    assert [part.defects for part in parts if part.defects] == []
    for mail in (part for part in parts if part["Message-ID"]):
        assert all(mail[name] for name in ("From", "To", "Subject", "Date", "MIME-Version"))
        assert all(mail[name].defects == () for name in ("From", "To", "Subject", "Date"))
    assert max(len(line) for content in mails for line in content.splitlines()) <= 998


def test_every_text_decodes_in_its_charset(parts: list[EmailMessage]) -> None:
    bodies = [part for part in parts if part.get_content_type() in ("text/plain", "text/html")]
    assert {part.get_content_charset() for part in bodies} == set(FOREIGN)
    assert not any("\N{REPLACEMENT CHARACTER}" in part.get_content() for part in bodies)


def test_all_shapes_occur(parts: list[EmailMessage]) -> None:
    assert {part.get_content_type() for part in parts} >= {
        "text/plain",
        "text/html",
        "multipart/alternative",
        "multipart/mixed",
        "message/rfc822",
        "application/pdf",
        "text/csv",
    }


def test_some_mails_have_crlf_throughout_and_the_others_none(mails: list[bytes]) -> None:
    with_crlf = [content for content in mails if b"\r\n" in content]
    assert 0.1 < len(with_crlf) / len(mails) < 0.3
    assert not any(re.search(rb"[^\r]\n|\r[^\n]", content) for content in with_crlf)


@pytest.mark.parametrize("size", [3_000, 12_000, 70_000, 1_000_000])
def test_a_mail_has_about_the_size_asked_for(size: int) -> None:
    sizes = [len(message(f"size/{n}", size, SENT_S)) for n in range(12)]
    assert sum(sizes) / len(sizes) == pytest.approx(size, rel=0.1)


def test_prose_compresses_like_english_and_a_corpus_hardly() -> None:
    text = prose(Random(1), 200_000).encode()
    assert 0.25 < len(zlib.compress(text, 1)) / len(text) < 0.55
    large = b"".join(message(f"large/{n}", 300_000, SENT_S) for n in range(12))
    assert 0.55 < len(zlib.compress(large, 1)) / len(large) < 0.85


@pytest.mark.parametrize("charset", sorted(FOREIGN))
def test_encoded_words_are_short_enough_and_decode(charset: str) -> None:
    random = Random(3)
    for _ in range(100):
        text = phrase(random, 3, charset)
        word = encoded_word(random, text)
        assert word == text or all(len(line.strip()) <= 75 for line in word.split("\n"))
        assert parsed(f"Subject: {word}\n\n".encode("ascii"))["Subject"] == text


@pytest.mark.parametrize("charset", sorted(FOREIGN))
def test_prose_fits_its_charset(charset: str) -> None:
    text = prose(Random(4), 5_000, charset)
    assert text.encode(charset).decode(charset) == text
    assert text.isascii() == (charset == "us-ascii")
