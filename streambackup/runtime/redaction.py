"""Which values are never written down, in logs or in the audit log."""

from __future__ import annotations

SECRET_WORDS = ("password", "passwd", "secret", "token", "credential", "authorization", "cookie")
HIDDEN = "(hidden)"


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
