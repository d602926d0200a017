"""The account worker over a disk that fails in every way a disk can."""

from __future__ import annotations

from pathlib import Path

import pytest

from streambackup.coherency.check import check_store
from streambackup.domain.entry import Entry, ItemType
from streambackup.errors import NoSpaceError, StoreError
from streambackup.journal.cover import find_cover
from streambackup.journal.mark import farthest_mark
from streambackup.metadata.account_log import account_directory, log_files
from streambackup.reading.fingerprint import fingerprint
from streambackup.realtime.account_worker import SegmentSettings
from streambackup.testing.events import ACCOUNT, TIME_MS, put
from streambackup.testing.lossy_disk import PowerCutError
from tests.support.account_service import AccountService, some_mail

SMALL = SegmentSettings(segment_bytes=600, segment_age_ms=10**9, segment_retention_ms=0)
"""Sealed and filed after every few records, and retired as soon as may be."""


NEVER_FILED = SegmentSettings()
"""Of a worker that is killed before its segment is old enough: the journal is all there is."""


async def service_at(root: Path, segments: SegmentSettings = SMALL) -> AccountService:
    service = AccountService(root, segments=segments)
    await service.create()
    service.publish(*some_mail())
    return service


@pytest.fixture
async def undisturbed(tmp_path: Path) -> AccountService:
    """A worker that nothing happened to."""
    service = await service_at(tmp_path / "undisturbed")
    assert await service.work() is None
    return service


def offsets_read(service: AccountService) -> list[int]:
    """What readers find, whoever it belongs to."""
    reader = service.reader()
    return sorted(
        member.offset
        for account in reader.accounts()
        for element in reader.stream(account, [])
        if isinstance(element, Entry)
        for member in element.members
    )


@pytest.mark.row("F032", part="from publication to durable")
async def test_a_metric_tells_how_long_transactions_waited_to_be_durable(tmp_path: Path) -> None:
    """Ten batches of three records, of which the last waited for two seconds and a half."""
    service = AccountService(tmp_path, batch_records_max=3)
    await service.create()
    puts = [put(f"m{number}", number, time_ms=TIME_MS) for number in range(1, 31)]
    service.publish(*puts[:27])
    await service.work()
    service.publish(*puts[27:])
    service.clock.advance(ms=2_500)
    await service.work()
    samples = {
        (
            sample.name.removeprefix("streambackup_durable_delay_seconds_"),
            sample.labels.get("le"),
        ): sample.value
        for sample in next(iter(service.metrics.durable_delay.collect())).samples
    }
    assert (samples["count", None], samples["sum", None]) == (10, 2.5)
    assert (samples["bucket", "0.01"], samples["bucket", "2.5"]) == (9, 10)


@pytest.mark.row("F021", part="one write per item of a burst")
async def test_a_burst_of_equal_notices_is_one_line_per_item(tmp_path: Path) -> None:
    """That three messages were read, said a hundred times each within a moment."""
    service = AccountService(tmp_path, batch_records_max=1_000)
    await service.create()
    burst = [
        put(f"m{number % 3}", number, time_ms=TIME_MS, flags=["seen"]) for number in range(1, 301)
    ]
    service.publish(*burst)
    assert await service.work() is None
    logs = [file for _, file in log_files(account_directory(tmp_path, ACCOUNT))]
    assert sum(file.read_bytes().count(b"\n") for file in logs) == 3
    history = service.reader().history(ACCOUNT)
    states = {item: found.states for item, found in history.items.items()}
    assert {item: len(found[0].transactions) for item, found in states.items()} == dict.fromkeys(
        ("m0", "m1", "m2"), 100
    )


async def test_everything_is_journalled_filed_and_acknowledged(undisturbed: AccountService) -> None:
    path = undisturbed.path()
    records = len(some_mail())

    assert offsets_read(undisturbed) == list(range(records))
    assert farthest_mark(path).filed_to == records
    assert find_cover(path, farthest_mark(path).cover).end == records
    assert await undisturbed.is_caught_up()
    report = check_store(undisturbed.root)
    assert report.findings == ()


@pytest.mark.row("F017")
@pytest.mark.parametrize("power", [True, False], ids=["power cut", "killed"])
async def test_killed_at_any_step_it_leaves_all_of_a_batch_or_nothing(
    tmp_path: Path, undisturbed: AccountService, power: bool
) -> None:
    """After a restart the store is that of a worker that nothing happened to."""
    steps = undisturbed.disk.steps
    assert steps > 60
    for step in range(1, steps + 1):
        service = await service_at(tmp_path / str(step))
        service.disk.dies_at = step
        error = await service.work()
        if power:
            service.disk.crash(step)
        else:
            service.disk.revive()
        found = offsets_read(service)
        acknowledged = (await service.bus.acknowledged("workers")).get(service.partition(), 0)

        assert isinstance(error, PowerCutError)
        assert found == list(range(len(found)))
        assert len(found) >= acknowledged
        assert check_store(service.root).faults == []

        assert await service.work() is None
        assert fingerprint(service.reader()) == fingerprint(undisturbed.reader())
        assert offsets_read(service) == offsets_read(undisturbed)
        assert check_store(service.root).faults == []


@pytest.mark.parametrize("segments", [SMALL, NEVER_FILED], ids=["filed", "journalled"])
@pytest.mark.parametrize("kind", ["full_at_write", "full_at_sync"])
async def test_without_space_it_waits_and_goes_on_by_itself(
    tmp_path: Path, undisturbed: AccountService, kind: str, segments: SegmentSettings
) -> None:
    """Wherever the disk is full: nothing lost, no error, and no file with every attempt."""
    operations = undisturbed.disk.writes if kind == "full_at_write" else undisturbed.disk.syncs
    assert operations > 15
    for number in range(1, operations + 1):
        service = await service_at(tmp_path / str(number), segments)
        setattr(service.disk, kind, number)
        looks = 0

        def make_space_later(service: AccountService = service) -> bool:
            nonlocal looks
            looks += 1
            service.clock.advance(ms=500)
            if looks == 20:
                service.disk.make_space()
            return looks < 20

        assert await service.work(make_space_later, drain=segments is SMALL) is None
        files = service.path().segments()
        service.disk.crash(number)
        assert fingerprint(service.reader()) == fingerprint(undisturbed.reader())
        assert await service.work() is None

        assert fingerprint(service.reader()) == fingerprint(undisturbed.reader())
        assert check_store(service.root).faults == []
        assert farthest_mark(service.path()).filed_to == len(some_mail())
        assert len(files) <= 12


@pytest.mark.parametrize("segments", [SMALL, NEVER_FILED], ids=["filed", "journalled"])
async def test_a_failing_sync_ends_it_and_the_next_one_goes_on(
    tmp_path: Path, undisturbed: AccountService, segments: SegmentSettings
) -> None:
    """Whatever failed to reach the disk is not called durable by trying again."""
    drain = segments is SMALL
    for number in range(1, undisturbed.disk.syncs + 1):
        service = await service_at(tmp_path / str(number), segments)
        service.disk.fails_at_sync = number
        error = await service.work(drain=drain)
        if service.disk.syncs < number:
            break
        acknowledged = (await service.bus.acknowledged("workers")).get(service.partition(), 0)

        assert isinstance(error, StoreError)
        assert not isinstance(error, NoSpaceError)
        assert len(offsets_read(service)) >= acknowledged
        service.files = drain
        assert await service.work(drain=drain) is None
        service.disk.crash(number)
        service.files = True
        assert fingerprint(service.reader()) == fingerprint(undisturbed.reader())
        assert await service.work() is None
        assert fingerprint(service.reader()) == fingerprint(undisturbed.reader())
    assert number > 8


@pytest.mark.row("F012", part="recorded")
async def test_an_accounts_own_data_has_a_history(tmp_path: Path) -> None:
    """Preference and password changed: both show, and the earlier ones as of before."""
    service = AccountService(tmp_path / "store")
    await service.create()
    for number, (password, theme) in enumerate([("h1", "light"), ("h1", "dark"), ("h2", "dark")]):
        service.publish(
            put(
                ACCOUNT,
                number + 1,
                time_ms=TIME_MS + 1_000 * number,
                type=ItemType.ACCOUNT,
                address="anna@example.org",
                password_hash=password,
                signature="Anna",
                preferences={"theme": theme},
                last_login_ms=number,
            )
        )
    assert await service.work() is None
    item = service.reader().history(ACCOUNT).items[ACCOUNT]

    shown = [(s.state["password_hash"], s.state["preferences"]["theme"]) for s in item.states]
    assert shown == [("h1", "light"), ("h1", "dark"), ("h2", "dark")]
    before = item.at(TIME_MS + 1_500)
    assert before is not None
    assert before.state["password_hash"] == "h1"
    assert before.state["signature"] == "Anna"


async def test_a_worker_of_many_partitions_keeps_them_apart(tmp_path: Path) -> None:
    service = AccountService(tmp_path / "store", partitions=4, segments=SMALL)
    await service.create()
    accounts = [f"user{number}" for number in range(12)]
    service.publish(*some_mail(accounts))
    assert await service.work() is None
    reader = service.reader()

    assert reader.accounts() == sorted(accounts)
    for account in accounts:
        assert sorted(reader.history(account).items) == ["m0", "m1"]
    assert check_store(service.root).findings == ()
