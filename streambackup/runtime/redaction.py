"""Which values are never written down, in logs or in the audit log."""

from __future__ import annotations

from typing import NoReturn

SECRET_WORDS = ("password", "passwd", "secret", "token", "credential", "authorization", "cookie")
HIDDEN = "(hidden)"


class Secret:
    """A text that shows itself only to whoever asks for it by name."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret does not leave its process")


def is_secret(name: str) -> bool:
    """Whether a value of this name must not be written down."""
    lowered = name.lower()
    return any(word in lowered for word in SECRET_WORDS)


def without_secrets(name: str, value: object) -> object:
    """*value*, or what stands for it, secrets inside it at any depth included."""
    if is_secret(name):
        return HIDDEN
    if isinstance(value, dict):
        return {key: without_secrets(str(key), inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_secrets(name, inner) for inner in value]
    return value
