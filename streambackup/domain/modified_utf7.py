"""Folder names as IMAP servers write them into a Maildir: modified UTF-7 (RFC 3501, 5.1.3)."""

from __future__ import annotations

import base64
import re

_TO_ENCODE = re.compile(r"&|[^\x20-\x7e]+")
_ENCODED = re.compile(r"&([A-Za-z0-9+,]*)-")

EMPTY_LEVEL = "/"
"""What a level of a folder's name without characters is called, as the second of ``.A..B``: every
folder needs a name, and no other level is a slash.
"""


def encode_modified_utf7(text: str) -> str:
    """*text* in printable ASCII. Raises ValueError where it holds half a surrogate pair."""
    return _TO_ENCODE.sub(_encode_run, text)


def decode_modified_utf7(text: str) -> str:
    """The name that ``encode_modified_utf7`` made *text* of.

    Raises:
        ValueError: it is not the one form in which modified UTF-7 writes a name.
    """
    decoded = _ENCODED.sub(_decode_run, text)
    if encode_modified_utf7(decoded) != text:
        raise ValueError(f"{text!r} is not modified UTF-7")
    return decoded


def _encode_run(run: re.Match[str]) -> str:
    if run[0] == "&":
        return "&-"
    data = base64.b64encode(run[0].encode("utf-16-be"), altchars=b"+,")
    return f"&{data.decode('ascii').rstrip('=')}-"


def _decode_run(run: re.Match[str]) -> str:
    if not run[1]:
        return "&"
    padding = "=" * (-len(run[1]) % 4)
    return base64.b64decode(run[1] + padding, altchars=b"+,").decode("utf-16-be")
