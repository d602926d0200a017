"""What the names in a Maildir++ tree say. Names are bytes; texts made of them are valid UTF-8."""

from __future__ import annotations

import re
from collections.abc import Sequence

from streambackup.domain.mail_flags import MAILDIR_LETTERS
from streambackup.domain.modified_utf7 import EMPTY_LEVEL, decode_modified_utf7

ROOT = b""
"""Directory of INBOX, relative to the tree."""

_NOT_UTF8 = re.compile("[\udc80-\udcff]")


def text_of(name: bytes) -> str:
    """*name* as it is where it is UTF-8; any other byte is a slash, which no name has, and its two
    hex digits. Different names have different texts.
    """
    return _NOT_UTF8.sub(_slashed, name.decode("utf-8", "surrogateescape"))


def _slashed(found: re.Match[str]) -> str:
    (byte,) = found[0].encode("utf-8", "surrogateescape")
    return f"/{byte:02X}"


def base_of(name: bytes) -> bytes:
    """The part of a message's file name that stays when flags change and folders do."""
    return name.partition(b":")[0]


def letters_of(name: bytes) -> str:
    """The flag letters behind ``:2,``."""
    info = name.partition(b":")[2]
    return info[2:].decode("ascii", "ignore") if info.startswith(b"2,") else ""


def flags_of(letters: str) -> list[str]:
    """The words for those of *letters* that Maildir defines."""
    return [word for word, letter in MAILDIR_LETTERS.items() if letter in letters]


def tags_of(letters: str, keywords: Sequence[str]) -> list[str]:
    """What Dovecot's lower-case letters stand for: *keywords* are those of ``a``, ``b``, ...

    A letter without a keyword has no meaning outside the folder, so it gives no tag.
    """
    numbers = sorted({ord(letter) - ord("a") for letter in letters if "a" <= letter <= "z"})
    return [keywords[n] for n in numbers if n < len(keywords) and keywords[n]]


def parse_keywords(data: bytes) -> list[str]:
    """Dovecot's ``dovecot-keywords``: lines of a number and a keyword. What is no such line has no
    meaning; a number without a keyword gives "".
    """
    found: dict[int, str] = {}
    for line in data.splitlines():
        number, _, keyword = line.partition(b" ")
        if number.isdigit() and len(number) <= 2 and int(number) < 26 and keyword:
            found[int(number)] = text_of(keyword)
    return [found.get(number, "") for number in range(max(found, default=-1) + 1)]


def is_folder_name(name: bytes) -> bool:
    """True of ``.Sent`` and the like; not of ``..DOVECOT-TRASHED``, which is on its way out."""
    return name.startswith(b".") and not name.startswith(b"..") and len(name) > 1


def parent_of(directory: bytes) -> bytes | None:
    """The directory of the folder above, which need not exist; None at the top."""
    return directory.rpartition(b".")[0] or None


def folder_name(directory: bytes) -> str:
    """The last level of a folder's name, decoded where it is modified UTF-7; never empty."""
    if directory == ROOT:
        return "INBOX"
    level = text_of(directory.rpartition(b".")[2])
    try:
        return decode_modified_utf7(level) or EMPTY_LEVEL
    except ValueError:
        return level
