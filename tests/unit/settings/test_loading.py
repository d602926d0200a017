"""Settings from file, environment and flags: what wins, and what each mistake gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from streambackup.errors import UsageError
from streambackup.service.settings import Settings
from streambackup.service.settings_loading import (
    environment_name,
    load_settings,
    setting_keys,
)


def load(
    tmp_path: Path,
    toml: str = "",
    environment: Mapping[str, str] | None = None,
    flags: Sequence[str] = (),
) -> Settings:
    config = tmp_path / "streambackup.toml"
    config.write_text(toml)
    return load_settings(config=config, environment=environment or {}, flags=flags)


def refusal(tmp_path: Path, toml: str = "", **more: object) -> UsageError:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, toml, **more)  # type: ignore[arg-type]
    assert "\n" not in caught.value.message
    return caught.value


def test_nothing_set_gives_the_documented_defaults(tmp_path: Path) -> None:
    assert load(tmp_path) == Settings()


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        "[worker]\nsegment_age_s = 1\nfetch_wait_ms = 1\nbatch_records_max = 1\n",
        {"STREAMBACKUP_WORKER__SEGMENT_AGE_S": "2", "STREAMBACKUP_WORKER__FETCH_WAIT_MS": "2"},
        ["worker.segment_age_s=3"],
    )
    found = settings.worker
    assert (found.segment_age_s, found.fetch_wait_ms, found.batch_records_max) == (3, 2, 1)


@pytest.mark.parametrize(
    ("flag", "named"),
    [
        ("bus.kafka.session_timeout_ms=8000", "heartbeat_interval_ms 3000 is more than a third"),
        ("worker.revoke_limit_s=30", "rebalance_timeout_ms 30000 is not above"),
        ("worker.stuck_limit_s=30", "stuck_limit_s 30 is not above"),
        ("worker.fetch_wait_ms=10000", "fetch_wait_ms 10000 is not below a 6th"),
    ],
)
def test_times_of_a_group_that_contradict_each_other_are_refused(
    tmp_path: Path, flag: str, named: str
) -> None:
    assert named in refusal(tmp_path, flags=[flag]).message


def test_the_environment_reaches_nested_sections_and_lists(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        environment={
            "STREAMBACKUP_BUS__KAFKA__CLIENT_ID": "here",
            "STREAMBACKUP_SOURCES__MAILDIR": '[{"path": "/mail/a", "account": "a"}]',
            "STREAMBACKUP_HTTP__ALLOW_REMOTE": "true",
        },
    )
    assert settings.bus.kafka.client_id == "here"
    assert [(Path("/mail/a"), "a")] == [(m.path, m.account) for m in settings.sources.maildir]
    assert settings.http.allow_remote is True


def test_a_variable_names_the_file(tmp_path: Path) -> None:
    config = tmp_path / "other.toml"
    config.write_text("[log]\nlevel = 'debug'\n")
    settings = load_settings(environment={"STREAMBACKUP_CONFIG": str(config)})
    assert settings.log.level == "debug"


def test_a_path_begins_at_home_where_it_says_so(tmp_path: Path) -> None:
    settings = load(tmp_path, "[store]\npath = '~/mail'\n")
    assert settings.store.path == Path.home() / "mail"


@pytest.mark.parametrize(
    ("toml", "key", "hint"),
    [
        ("[worker]\nsegment_age = 3", "worker.segment_age", "'worker.segment_age_s'"),
        ("[wrker]\nsegment_age_s = 3", "wrker", "'worker'"),
        ("[bus.kafka]\nboot_servers = 'a:1'", "bus.kafka.boot_servers", "bootstrap_servers"),
        ("bus = 3", "bus is a section", "settings.md"),
        ("[bus]\nkind = 'kafak'", "bus.kind", "embedded, kafka"),
        ("[worker]\nsegment_age_s = '3'", "worker.segment_age_s", "settings.md"),
        ("[worker]\nsegment_age_s = 0", "worker.segment_age_s", "settings.md"),
        ("[worker.segment_age_s]\nx = 1", "worker.segment_age_s", "settings.md"),
        ("[store]\npath = ''", "store.path", "settings.md"),
        ("[[sources.maildir]]\npath = '/m'\nacount = 'a'", "entry 1", "'account'"),
        ("[[sources.maildir]]\npath = '/m'\naccount = 1", "entry 1 account", "settings.md"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_with_file_and_key(
    tmp_path: Path, toml: str, key: str, hint: str
) -> None:
    error = refusal(tmp_path, toml)
    assert error.message.startswith(str(tmp_path / "streambackup.toml"))
    assert key in error.message
    assert error.hint is not None
    assert hint in error.hint
    assert error.exit_code == 2


def test_a_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    assert "streambackup.toml is not TOML" in refusal(tmp_path, "[worker").message


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        load_settings(config=tmp_path / "nowhere.toml", environment={})


def test_a_mistake_in_the_environment_names_the_variable(tmp_path: Path) -> None:
    error = refusal(tmp_path, environment={"STREAMBACKUP_WORKER__SEGMENT_AGE_S": "soon"})
    assert "STREAMBACKUP_WORKER__SEGMENT_AGE_S" in error.message


def test_one_underscore_too_few_is_noticed(tmp_path: Path) -> None:
    error = refusal(tmp_path, environment={"STREAMBACKUP_STORE_PATH": "/x"})
    assert error.hint is not None
    assert "STREAMBACKUP_STORE__PATH" in error.hint


def test_variables_of_other_purposes_are_left_alone(tmp_path: Path) -> None:
    assert load(tmp_path, environment={"STREAMBACKUP_TEST_BROKER": "x"}) == Settings()


@pytest.mark.parametrize("flag", ["worker.segment_age_s", "worker.segment_age=1", "worker=1"])
def test_a_mistake_in_a_flag_names_the_flag(tmp_path: Path, flag: str) -> None:
    assert refusal(tmp_path, flags=[flag]).message.startswith("--set")


def test_every_key_can_be_set_by_its_variable() -> None:
    """A default, written as text, comes back as itself through the environment."""
    defaults = msgspec.to_builtins(Settings(), enc_hook=str)
    environment = {}
    for key in setting_keys():
        value = defaults
        for part in key.split("."):
            value = value[part]
        if value is not None:
            encoded = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            environment[environment_name(key)] = encoded
    assert load_settings(environment=environment) == Settings()
