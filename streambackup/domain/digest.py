"""The name of content: base64 of its SHA-256, with ``/`` written as ``,`` (44 characters)."""

from __future__ import annotations

import base64
import hashlib
import re

DIGEST_PATTERN = r"^[A-Za-z0-9+,]{43}=$"
_valid = re.compile(DIGEST_PATTERN).fullmatch


def digest_name(sha256: bytes) -> str:
    """The name for a raw SHA-256 value."""
    return base64.b64encode(sha256).decode("ascii").replace("/", ",")


def digest_of(content: bytes | memoryview) -> str:
    """The name of *content*."""
    return digest_name(hashlib.sha256(content).digest())


def is_digest(text: str) -> bool:
    return _valid(text) is not None
