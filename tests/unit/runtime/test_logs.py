"""Log lines: where they go, what they look like, what they never hold."""

from __future__ import annotations

import io
import logging  # noqa: TID251 (its records are what this test is about)
from collections.abc import Iterator

import msgspec
import pytest
import structlog

from streambackup.runtime.logs import configure_logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    logging.basicConfig(handlers=[logging.NullHandler()], force=True)


def test_json_has_the_event_its_keys_and_the_time() -> None:
    stream = io.StringIO()
    configure_logs("info", "json", stream)
    structlog.get_logger().info("batch_committed", entries=3)
    line = msgspec.json.decode(stream.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "batch_committed", "entries": 3, "level": "info"}


def test_auto_is_json_where_nobody_looks() -> None:
    stream = io.StringIO()
    configure_logs("info", "auto", stream)
    structlog.get_logger().info("started")
    assert msgspec.json.decode(stream.getvalue())["event"] == "started"


def test_text_is_one_line_without_colours_off_a_terminal() -> None:
    stream = io.StringIO()
    configure_logs("info", "text", stream)
    structlog.get_logger().info("started", roles=2)
    assert "started" in stream.getvalue()
    assert "roles=2" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().count("\n") == 1


def test_less_than_the_level_is_not_written() -> None:
    stream = io.StringIO()
    configure_logs("warning", "json", stream)
    structlog.get_logger().info("noise")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_secrets_are_hidden_at_any_depth(log_format: str) -> None:
    stream = io.StringIO()
    configure_logs("info", log_format, stream)  # type: ignore[arg-type]
    structlog.get_logger().info("connected", SASL_Password="hunter2", s={"api_token": "hunter2"})
    assert "hunter2" not in stream.getvalue()
    assert "(hidden)" in stream.getvalue()


def test_records_of_libraries_join_ours_from_warning_up() -> None:
    stream = io.StringIO()
    configure_logs("debug", "json", stream)
    logging.getLogger("some.library").info("chatter")
    logging.getLogger("some.library").warning("broker %s is away", 3)
    line = msgspec.json.decode(stream.getvalue())
    assert (line["library"], line["text"]) == ("some.library", "broker 3 is away")
    assert line["level"] == "warning"


def test_a_library_that_repeats_itself_is_cut_short_and_the_rest_counted() -> None:
    stream = io.StringIO()
    configure_logs("info", "json", stream)
    logger = logging.getLogger("library")
    for number, at_s in enumerate([0.0] * 10 + [40.0, 40.0]):
        record = logger.makeRecord("library", logging.ERROR, "", 0, "away: %s", (number,), None)
        record.created = 1_000_000.0 + at_s
        logger.handle(record)
    logger.error("something else")
    lines = [msgspec.json.decode(line) for line in stream.getvalue().splitlines()]
    assert [(line["text"], line.get("left_out")) for line in lines] == [
        ("away: 0", None),
        ("away: 1", None),
        ("away: 2", None),
        ("away: 10", 7),
        ("away: 11", None),
        ("something else", None),
    ]


def test_libraries_are_silent_where_they_shall_be() -> None:
    stream = io.StringIO()
    configure_logs("info", "json", stream, libraries=False)
    logging.getLogger("library").error("away")
    structlog.get_logger().info("ours")
    assert msgspec.json.decode(stream.getvalue())["event"] == "ours"
