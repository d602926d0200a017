"""Settings from a TOML file, the environment and flags, the later ones winning.

Whatever is wrong is one line that names the place and the key.
"""

from __future__ import annotations

import os
import re
import tomllib
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from streambackup.domain.liveness import LOOKS
from streambackup.domain.words import did_you_mean
from streambackup.errors import UsageError
from streambackup.runtime.redaction import Secret
from streambackup.service.settings import Section, Settings

ENVIRONMENT_PREFIX = "STREAMBACKUP_"
CONFIG_VARIABLE = "STREAMBACKUP_CONFIG"
CONFIG_PATHS = (Path("/etc/streambackup/streambackup.toml"), Path("streambackup.toml"))
_SEE = "docs/settings.md lists every key."


class Assigned(NamedTuple):
    """One value for one key (``worker.segment_bytes``), and where it was found, for messages.

    ``is_text`` values come from places that know no types; ``private`` ones from where others do
    not see them.
    """

    key: str
    value: Any
    origin: str
    is_text: bool
    private: bool = False


def load_settings(
    *,
    config: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Iterable[str] = (),
) -> Settings:
    """The settings in effect. *flags* are ``section.key=value``.

    Without *config* the file named by STREAMBACKUP_CONFIG is read, else the first of CONFIG_PATHS
    that exists, else none.

    Raises:
        UsageError: an unknown key, a value of the wrong type or out of range, an unreadable file,
            times that contradict each other.
    """
    environment = os.environ if environment is None else environment
    tree: dict[str, Any] = {}
    for assigned in _all_assigned(config, environment, flags):
        section: type[Section] = Settings
        place = tree
        *parents, name = assigned.key.split(".")
        for parent in parents:
            section = _field_type(section, parent, assigned)
            place = place.setdefault(parent, {})
        place[name] = _convert(assigned, _field_type(section, name, assigned))
    settings = msgspec.convert(tree, Settings, dec_hook=_decode)
    _check_group_times(settings)
    return settings


def _check_group_times(settings: Settings) -> None:
    """Raises UsageError where the times of consumer groups contradict each other."""
    kafka = settings.bus.kafka
    if kafka.heartbeat_interval_ms * 3 > kafka.session_timeout_ms:
        raise UsageError(
            f"bus.kafka.heartbeat_interval_ms {kafka.heartbeat_interval_ms} is more than a third "
            f"of bus.kafka.session_timeout_ms {kafka.session_timeout_ms}",
            hint="With one heartbeat lost a worker would count as dead.",
        )
    if settings.worker.revoke_limit_s * 1000 >= kafka.rebalance_timeout_ms:
        raise UsageError(
            f"bus.kafka.rebalance_timeout_ms {kafka.rebalance_timeout_ms} is not above "
            f"worker.revoke_limit_s {settings.worker.revoke_limit_s:g}",
            hint="The group would give partitions to others before they are given back.",
        )
    limit_ms = settings.worker.stuck_limit_s * 1000
    if kafka.rebalance_timeout_ms >= limit_ms:
        raise UsageError(
            f"worker.stuck_limit_s {settings.worker.stuck_limit_s:g} is not above "
            f"bus.kafka.rebalance_timeout_ms {kafka.rebalance_timeout_ms}",
            hint="A worker that waits for its group would count as stuck.",
        )
    if settings.worker.fetch_wait_ms * LOOKS >= limit_ms:
        raise UsageError(
            f"worker.fetch_wait_ms {settings.worker.fetch_wait_ms} is not below a {LOOKS}th of "
            f"worker.stuck_limit_s {settings.worker.stuck_limit_s:g}",
            hint="A worker that waits for records would count as stuck.",
        )


def setting_keys(section: type[Section] = Settings, prefix: str = "") -> Iterator[str]:
    """Every key there is, in the order of the documentation."""
    for field in msgspec.structs.fields(section):
        inner = _without_meta(field.type)
        if _is_section(inner):
            yield from setting_keys(inner, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def environment_name(key: str) -> str:
    """The variable that sets *key*."""
    return ENVIRONMENT_PREFIX + key.upper().replace(".", "__")


def _all_assigned(
    config: Path | None, environment: Mapping[str, str], flags: Iterable[str]
) -> Iterator[Assigned]:
    path = config or _config_from(environment)
    if path is not None:
        yield from _from_table(_read_toml(path), str(path), Settings, "")
    yield from _from_environment(environment)
    for flag in flags:
        key, equals, value = flag.partition("=")
        if not equals:
            raise UsageError(
                f"--set {flag}: a key and a value are needed",
                hint="Write it like --set worker.segment_age_s=30.",
            )
        yield Assigned(key.strip(), value, "--set", True)


def _config_from(environment: Mapping[str, str]) -> Path | None:
    named = environment.get(CONFIG_VARIABLE)
    if named:
        return Path(named)
    return next((path for path in CONFIG_PATHS if path.is_file()), None)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}", hint="--config names the settings file."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from error


def _from_table(
    table: dict[str, Any], origin: str, section: type[Section], prefix: str
) -> Iterator[Assigned]:
    """The leaves of *table*, as far as it names sections; the rest is judged by the caller."""
    types_by_name = {f.name: _without_meta(f.type) for f in msgspec.structs.fields(section)}
    for name, value in table.items():
        inner = types_by_name.get(name)
        if isinstance(value, dict) and inner is not None and _is_section(inner):
            yield from _from_table(value, origin, inner, f"{prefix}{name}.")
        else:
            yield Assigned(prefix + name, value, origin, False)


def _from_environment(environment: Mapping[str, str]) -> Iterator[Assigned]:
    near_misses = {environment_name(key).replace("__", "_"): key for key in setting_keys()}
    for name in sorted(environment):
        if not name.startswith(ENVIRONMENT_PREFIX) or name == CONFIG_VARIABLE:
            continue
        if "__" in name:
            key = name.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".")
            yield Assigned(key, environment[name], f"environment variable {name}", True, True)
        elif name in near_misses:
            raise UsageError(
                f"environment variable {name} is not a setting",
                hint=f"Two underscores part a section from a key: "
                f"{environment_name(near_misses[name])}.",
            )


def _field_type(section: Any, name: str, assigned: Assigned) -> Any:
    if _is_section(section):
        for field in msgspec.structs.fields(section):
            if field.name == name:
                return field.type
    known = list(setting_keys())
    sections = {key.rpartition(".")[0] for key in known}
    raise UsageError(
        f"{assigned.origin}: there is no setting {assigned.key!r}",
        hint=_nearest(assigned.key, [*known, *sections]),
    )


def _nearest(name: str, known: Iterable[str]) -> str:
    question = did_you_mean(name, known)
    return f"{question} {_SEE}" if question else _SEE


def _convert(assigned: Assigned, wanted: Any) -> Any:
    """The value, checked against its type, in the form that the whole tree is made from."""
    value = assigned.value
    if _is_section(_without_meta(wanted)):
        raise UsageError(f"{assigned.origin}: {assigned.key} is a section, not a value", hint=_SEE)
    _expect_private(assigned, wanted)
    try:
        if assigned.is_text and typing.get_origin(_without_meta(wanted)) is list:
            value = msgspec.json.decode(value)
        return msgspec.convert(value, wanted, strict=not assigned.is_text, dec_hook=_decode)
    except msgspec.MsgspecError as error:
        reason = _reason(str(error))
        raise UsageError(
            f"{assigned.origin}: {assigned.key}: {reason}", hint=_cure(reason, wanted)
        ) from error


def _reason(message: str) -> str:
    """What msgspec said, in the words of the settings file."""
    place = re.search(r" - at `\$(?:\[(\d+)\])?\.?(.*?)`$", message)
    if place is None:
        return message
    entry = f"entry {int(place[1]) + 1}" if place[1] else ""
    where = " ".join(part for part in (entry, place[2]) if part)
    reason = message[: place.start()]
    return f"{where}: {reason}" if where else reason


def _cure(reason: str, wanted: Any) -> str:
    """What could have been written instead, where the type tells."""
    bare = _without_meta(wanted)
    if typing.get_origin(bare) is typing.Literal:
        return f"Choose one of {', '.join(typing.get_args(bare))}."
    unknown = re.search(r"unknown field `(.*?)`", reason)
    if unknown and typing.get_origin(bare) is list:
        return _nearest(unknown[1], setting_keys(typing.get_args(bare)[0]))
    return _SEE


def _expect_private(assigned: Assigned, wanted: Any) -> None:
    """A secret stands neither on a command line nor in a file that holds other settings."""
    if Secret in typing.get_args(_without_meta(wanted)) and not assigned.private:
        raise UsageError(
            f"{assigned.origin}: {assigned.key} is a secret, and others could read it there",
            hint=f"Name a file: {assigned.key}_file; or set {environment_name(assigned.key)}.",
        )


def _decode(kind: type, value: Any) -> Any:
    """The types that TOML and msgspec do not know."""
    if kind is Secret:
        return value if isinstance(value, Secret) else Secret(value)
    assert kind is Path, f"no setting has the type {kind}"
    return value if isinstance(value, Path) else _path(value)


def _path(value: Any) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"Expected a path, got `{value!r}`")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"Expected UTF-8, got `{value!r}`") from error
    return Path(value).expanduser().absolute()


def _without_meta(kind: Any) -> Any:
    return typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)
