"""What every command takes: where the settings come from, and how the answer looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter, Token

from streambackup.service.settings import Settings

_GROUP = Group("Common options", sort_key=100)


def given_path(kind: type, tokens: Sequence[Token]) -> Path:
    """The path on the command line; an empty one, an unset variable perhaps, is none."""
    if not tokens[0].value:
        raise ValueError("a path is needed; '.' is the current directory")
    return Path(tokens[0].value)


def given_paths(kind: type, tokens: Sequence[Token]) -> list[Path]:
    """The same of an option that may be repeated."""
    return [given_path(kind, [token]) for token in tokens]


@Parameter(name="*", group=_GROUP)
@dataclass(frozen=True)
class Common:
    """The options that all commands share."""

    json: Annotated[bool, Parameter(help="Answer in JSON, one document.")] = False
    path: Annotated[
        Path | None,
        Parameter(help="Backup path; the same as --set store.path=PATH.", converter=given_path),
    ] = None
    config: Annotated[
        Path | None, Parameter(help="Settings file (TOML).", converter=given_path)
    ] = None
    set: Annotated[
        list[str],
        Parameter(help="Override a setting: --set worker.segment_age_s=30."),
    ] = field(default_factory=list)
    debug: Annotated[bool, Parameter(help="Show where an unexpected error came from.")] = False

    def settings(self) -> Settings:
        """The settings in effect for this command. Raises UsageError."""
        from streambackup.service.settings_loading import load_settings

        flags = list(self.set)
        if self.path is not None:
            flags.append(f"store.path={self.path}")
        return load_settings(config=self.config, flags=flags)

    def start_logs(self, settings: Settings, *, service: bool = False) -> None:
        """Send logs to standard error, as the settings say, or as JSON where that was asked for;
        answers have standard output alone.

        What libraries say, and what goes as it should, is for the log of a *service*: another
        command reports what came of it, in one line. Debugging shows it all the same.
        """
        from streambackup.runtime.logs import configure_logs

        level = settings.log.level
        libraries = service or level == "debug"
        log_format = "json" if self.json else settings.log.format
        told = "warning" if level == "info" and not service else level
        configure_logs(told, log_format, libraries=libraries)


NOTHING_SAID = Common()
