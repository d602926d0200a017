"""The systemd units of deploy/: systemd finds no fault with them, and what they start runs."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from streambackup.cli.run import WantedRole
from streambackup.service.settings import ShutdownSettings
from streambackup.service.settings_loading import load_settings
from tests.real_parts import SCRIPTS
from tests.support.backup import PROGRAM, Backup, clean_environment
from tests.support.running import Running

UNITS = SCRIPTS.parent / "deploy" / "systemd"
UNIT = UNITS / "streambackup@.service"
INSTALLED = "/opt/streambackup/bin/streambackup"
CONFIGURED = "/etc/streambackup/streambackup.toml"
EXPOSURE_MAX = 25  # of 100; a service without any restriction has 96
systemd = pytest.mark.tool("systemd-analyze")


def values(key: str) -> list[str]:
    lines = UNIT.read_text().splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units as they would be installed, with the program where it is here."""
    folder = tmp_path / "units"
    shutil.copytree(UNITS, folder)
    unit = folder / UNIT.name
    unit.write_text(UNIT.read_text().replace(INSTALLED, str(PROGRAM)))
    return folder


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = ["systemd-analyze", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@systemd
@pytest.mark.parametrize("role", WantedRole)
def test_systemd_finds_no_fault_with_any_instance(role: WantedRole, units: Path) -> None:
    done = analyze("verify", "--man=no", units / f"streambackup@{role}.service")

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@systemd
def test_the_service_is_kept_away_from_what_it_does_not_need(units: Path) -> None:
    threshold = f"--threshold={EXPOSURE_MAX}"
    done = analyze("security", "--offline=true", threshold, units / UNIT.name)

    assert done.returncode == 0, done.stdout


def test_it_may_finish_what_it_began() -> None:
    (seconds,) = values("TimeoutStopSec")

    assert float(seconds) > 2 * ShutdownSettings().drain_s
    assert (values("Restart"), values("UMask")) == (["on-failure"], ["0077"])


@pytest.mark.scenario
@pytest.mark.parametrize("role", WantedRole)
def test_what_is_started_runs_until_it_is_told_to_stop(role: WantedRole, tmp_path: Path) -> None:
    backup = Backup(tmp_path)
    backup.init()
    (line,) = values("ExecStart")
    config = backup.command("run")[-1]
    found = line.replace("%i", role).replace(INSTALLED, str(PROGRAM)).replace(CONFIGURED, config)

    command = shlex.split(found)
    with Running(command, clean_environment(tmp_path), tmp_path / "log") as running:
        running.wait_until(lambda: running.events("running"), "it ran")
        assert running.get("/healthz")
        running.stop()

    roles = ["account", "blob", "source"] if role is WantedRole.ALL else [role]
    assert running.events("running")[0]["roles"] == roles


def test_the_settings_beside_them_are_valid() -> None:
    found = load_settings(config=UNITS / "streambackup.toml", environment={})

    assert found.store.path == Path("/var/lib/streambackup")
    assert (found.bus.kind, found.bus.kafka.tls.enabled) == ("kafka", True)
    assert values("StateDirectory") == ["streambackup"]
