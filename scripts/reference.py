"""The reference pages, written from the code that they describe."""

from __future__ import annotations

import io
import re
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
from cyclopts import App
from prometheus_client.metrics import MetricWrapperBase
from rich.console import Console

from streambackup import errors
from streambackup.cli.main import BROKEN_PIPE_EXIT_CODE, COMMANDS, build_app
from streambackup.domain.finding import MEANINGS
from streambackup.events.schema import schema_text
from streambackup.runtime.metrics import Metrics
from streambackup.runtime.redaction import Secret
from streambackup.service import endpoints
from streambackup.service.settings import Section, Settings
from streambackup.service.settings_loading import CONFIG_PATHS, CONFIG_VARIABLE, environment_name

DOCS = Path(__file__).resolve().parent.parent / "docs"
MADE_BY = "<!-- Written by scripts/reference; change the code that it describes instead. -->"
TYPES = {
    int: "whole number",
    float: "number",
    str: "text",
    bool: "`true`, `false`",
    Path: "path",
    Secret: "text",
}


def pages() -> dict[Path, str]:
    """Every page with its text, and the schema of events."""
    made = {"settings": settings_page(), "metrics": metrics_page(), "cli": cli_page()}
    found = {
        DOCS / f"{name}.md": "\n".join([MADE_BY, "", *lines]).rstrip() + "\n"
        for name, lines in made.items()
    }
    return found | {DOCS / "events.schema.json": schema_text()}


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """A table of Markdown, with an empty line behind it."""
    head = list(head)
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        cells = (cell.replace("|", r"\|") for cell in row)
        yield f"| {' | '.join(cells)} |"
    yield ""


def settings_page() -> Iterator[str]:
    yield from (
        "# Settings",
        "",
        "From one TOML file, the environment and flags; the later ones win. The file is the one "
        f"of `--config`, else of `{CONFIG_VARIABLE}`, else the first that exists of "
        f"{' and '.join(f'`{path}`' for path in CONFIG_PATHS)}.",
        "",
        "| where | how |",
        "| --- | --- |",
        "| file | `[worker]` and below it `segment_age_s = 30` |",
        f"| environment | `{environment_name('worker.segment_age_s')}=30` |",
        "| flag | `--set worker.segment_age_s=30` |",
        "",
        "An unknown key is refused, and the nearest one suggested. What decides which states are "
        "recorded (the moment, the ignored attributes) is fixed by `streambackup init` instead.",
        "",
    )
    yield from section_tables(Settings, "")


def section_tables(section: type[Section], prefix: str) -> Iterator[str]:
    """A heading and a table for each section below *section*."""
    for field in msgspec.structs.fields(section):
        kind, _ = plain(field.type)
        name = prefix + field.name
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from section_table(f"## `[{name}]`", kind, f"{name}.")
            yield from section_tables(kind, f"{name}.")
        elif typing.get_origin(kind) is list and issubclass(typing.get_args(kind)[0], Section):
            yield from section_table(f"## `[[{name}]]`", typing.get_args(kind)[0], "")


def section_table(heading: str, section: type[Section], prefix: str) -> Iterator[str]:
    rows = [setting_row(field, prefix) for field in msgspec.structs.fields(section)]
    yield from (heading, "", (section.__doc__ or "").strip(), "")
    yield from table(("key", "meaning", "value", "default"), (row for row in rows if row))


def setting_row(field: Any, prefix: str) -> tuple[str, ...]:
    """Nothing for a section, which has a table of its own."""
    kind, meta = plain(field.type)
    if meta is None:
        return ()
    meaning, _, default = (meta.description or "").partition(" Default: ")
    return (f"`{prefix}{field.name}`", meaning, values(kind, meta), default or default_of(field))


def plain(kind: Any) -> tuple[Any, msgspec.Meta | None]:
    """The type without its description, and the description."""
    if typing.get_origin(kind) is not typing.Annotated:
        return kind, None
    inner, meta = typing.get_args(kind)
    return inner, meta


def values(kind: Any, meta: msgspec.Meta) -> str:
    """What may be written."""
    if typing.get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in typing.get_args(kind))
    if typing.get_origin(kind) is list:
        return "list of tables"
    names = [TYPES[kind] for kind in typing.get_args(kind) or (kind,) if kind in TYPES]
    bounds = [f"from {meta.ge}"] if meta.ge is not None else []
    bounds += [f"to {meta.le}"] if meta.le is not None else []
    return " ".join([*names, *bounds])


def default_of(field: Any) -> str:
    if field.default in (msgspec.NODEFAULT, None):
        return "must be given" if field.required else ""
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    return f"`{field.default}`"


def metrics_page() -> Iterator[str]:
    yield from (
        "# Metrics",
        "",
        "In Prometheus' text format at `/metrics` of the address in `http.listen`. Labels are few "
        "and bounded; no account is ever one.",
        "",
    )
    yield from table(("metric", "kind", "labels", "meaning"), metric_rows(Metrics()))
    yield from (
        "## Other answers",
        "",
        "At the same address, for health checks and dashboards:",
        "",
    )
    served = re.findall(r"^GET (/\w+) +(.+)$", endpoints.__doc__ or "", re.MULTILINE)
    yield from table(
        ("path", "answer"),
        ((f"`{path}`", its.replace("``", "`")) for path, its in served if path != "/metrics"),
    )


def metric_rows(metrics: Metrics) -> Iterator[tuple[str, str, str, str]]:
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            name = family.name + ("_total" if family.type == "counter" else "")
            labels = ", ".join(f"`{label}`" for label in metric._labelnames)
            yield f"`{name}`", family.type, labels, family.documentation


ABOUT_COMMANDS = """\
## Answers

On a terminal a list is a table; elsewhere it is lines with tabs, the first of them a heading.
`--json` gives one document; a list is an array, printed as it grows and closed only at its true
end. Standard output holds the answer and nothing else; notes, progress and logs go to standard
error, and so does an error: one line that begins with `streambackup: `, and where there is a
cure, one more that names it. Control characters that came with a mail are written out (`a\\x00b`),
never sent to the terminal. An account, item or folder whose id holds one, which a command line may
not, is named just so: as a list prints it.

Where the bus cannot be asked, `status` shows what the store itself knows, `lag` and the `end` of
partitions as not known (`null`), and then has the exit code of what is wrong with the bus: 7, 8 or
21.

`replay --json` gives a line for each step, and its report as the last one: `doing` (`replaying`,
`surveying`, `filling`), `done` and `total`, and while it is replaying each partition's `begin`,
`read_to` and `end`.

## Times

| written | is |
| --- | --- |
| `2026-11-21T14:03:22.123Z`, `2026-11-21 15:03+01:00` | ISO 8601 with its zone |
| `2026-11-21`, `2026-11-21 14:03` | in the machine's zone, which is then named on standard error |
| `90s ago`, `2h ago`, `3d ago`, `1w ago` | before now |
| `now`, `today`, `yesterday` | now; the beginning of the day in the machine's zone |
| `1795269802123` | milliseconds since 1970-01-01 UTC, of 12 to 16 digits: from 1973 on |

## Who looked

Commands that show what is in a mailbox, and those that restore, write a line to `audit.jsonl` in
the backup path before they show or write anything, and another when they end: who (user id,
login, the user behind `sudo`), when, which command with which arguments, which accounts and
items, and what it came to. Where that file cannot be written nothing is shown; `store.audit_path`
moves it.
"""


def cli_page() -> Iterator[str]:
    app = build_app()
    app.help_formatter = "plain"
    yield from ("# Commands", "", "`streambackup NOUN VERB`; `--help` behind any of them.", "")
    yield from table(
        ("command", "does"),
        ((f"[`{words}`](#{anchor(words)})", does) for words, does in COMMANDS.items()),
    )
    yield from ("Every command takes:", "")
    common = help_sections(app, next(iter(COMMANDS)))["Common options"]
    yield from table(("option", "meaning"), common)
    yield ABOUT_COMMANDS
    for words in COMMANDS:
        yield from command_section(app, words)
    yield from ("## Findings of a check", "")
    yield from table(
        ("class", "kind", "meaning"),
        (
            (f"`{found}`", "fault" if found.is_fault else "note", meaning)
            for found, meaning in MEANINGS.items()
        ),
    )
    yield from ("## Exit codes", "")
    yield from table(("code", "meaning"), exit_codes())


def anchor(words: str) -> str:
    return f"streambackup-{words.replace(' ', '-')}"


def command_section(app: App, words: str) -> Iterator[str]:
    sections = help_sections(app, words)
    ((usage, _), *about) = sections.pop("")
    yield from (f"## streambackup {words}", "", f"`{usage}`", "")
    yield from (text for line, _ in about for text in (line, ""))
    rows = [row for name in ("Arguments", "Parameters") for row in sections.get(name, [])]
    if rows:
        yield from table(("argument or option", "meaning"), rows)


def help_sections(app: App, words: str) -> dict[str, list[tuple[str, str]]]:
    """What ``--help`` shows: each section's rows of option and meaning, the usage under ""."""
    output = io.StringIO()
    app.help_print(words.split(), console=Console(file=output, width=10_000, color_system=None))
    sections: dict[str, list[tuple[str, str]]] = {"": []}
    rows = sections[""]
    for line in output.getvalue().splitlines():
        if option := re.fullmatch(r"  (\S.*?): (.*)", line):
            rows.append((f"`{option[1]}`", option[2]))
        elif heading := re.fullmatch(r"([A-Z][\w ]+):", line):
            rows = sections.setdefault(heading[1], [])
        elif line.strip():
            rows.append((line.removeprefix("Usage: ").strip(), ""))
    return sections


def exit_codes() -> Iterator[tuple[str, str]]:
    """From the tree that errors.py begins with; of a code's meanings the widest, its first."""
    drawn = re.findall(r"^ +(\w+Error) +(\d+)(?:   (.+))?$", errors.__doc__ or "", re.MULTILINE)
    meanings = {int(code): meaning or "anything else" for _, code, meaning in reversed(drawn)}
    meanings |= {0: "done", BROKEN_PIPE_EXIT_CODE: "whoever read the output went away"}
    for code, meaning in sorted(meanings.items()):
        yield f"`{code}`", meaning


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
