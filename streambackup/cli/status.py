"""``streambackup status``"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

from streambackup.cli.common import NOTHING_SAID, Common
from streambackup.cli.render import note, write_document
from streambackup.domain.words import counted
from streambackup.errors import BusError
from streambackup.runtime.clock import SystemClock
from streambackup.service.ask_service import ask_service
from streambackup.service.endpoints import parse_listen
from streambackup.service.partition_status import PartitionStatus
from streambackup.service.settings import Settings
from streambackup.service.status import Look, Status, collect_status
from streambackup.service.store_home import find_store
from streambackup.service.store_lock import is_locked
from streambackup.service.told_warnings import told_warnings
from streambackup.service.wiring import open_bus

MB = 1_000_000


def status(*, common: Common = NOTHING_SAID) -> None:
    """Show how far behind the store is, what it holds, and what needs attention."""
    settings = common.settings()
    common.start_logs(settings)
    found, failure = asyncio.run(_collect(settings))
    write_document(found, _lines(found), as_json=common.json)
    if failure is not None:
        raise failure


async def _collect(settings: Settings) -> Look:
    """What the running service says of itself, or what can be seen without one."""
    home = find_store(settings.store)
    http = settings.http
    address = parse_listen(http.listen, allow_remote=http.allow_remote)
    if address is not None and is_locked(home.root):
        answer = await ask_service(address, home.config.store)
        if answer is not None:
            return Look(answer, _bus_away(answer))
        note(f"the service does not answer on {http.listen}")
    source_warnings = told_warnings(home)
    clock = SystemClock()
    bus = open_bus(settings, clock)
    try:
        return await collect_status(settings, home, bus, clock=clock, own_warnings=source_warnings)
    finally:
        await bus.close()


def _bus_away(answer: Status) -> BusError | None:
    """Why a service that answers does not know its lag."""
    if answer.lag is not None:
        return None
    return BusError("the service cannot ask the bus", hint="Its log says why; it tries again.")


def _lines(found: Status) -> Iterator[str]:
    yield f"store             {found.store} in {found.path}"
    if found.replica_of is not None:
        yield f"replica of        {found.replica_of}: it publishes nothing"
    yield f"service           {'running' if found.running else 'not running'}"
    yield f"bus               {found.bus}, generation {found.generation or 'none yet'}"
    for one in found.generations if len(found.generations) > 1 else ():
        parts = counted(one.partitions, "partition")
        yield f"  generation {one.number} ({one.generation}): {one.state}, {parts}"
    yield f"last transaction  {found.last_transaction or 'none yet'}"
    yield f"lag               {'not known' if found.lag is None else counted(found.lag, 'record')}"
    for at in found.partitions:
        if at.lag != 0:
            yield f"  {at.topic}/{at.partition}: at {at.position}{_of(at.end)}{_by(at)}{_kept(at)}"
    for node, count in Counter(at.node for at in found.partitions if at.node).items():
        yield f"node              {node} wrote last in {counted(count, 'partition')}"
    yield f"accounts          {found.accounts} filed"
    stored, came = found.blob_stored_bytes / MB, found.blob_bytes / MB
    yield f"blobs             {found.blobs}: {stored:.1f} MB stored of {came:.1f} MB"
    free, total = found.disk_free_bytes / MB, found.disk_total_bytes / MB
    yield f"disk              {free:.0f} MB free of {total:.0f} MB"
    if found.event_loop_lag_ms is not None:
        late = counted(found.event_loop_late_steps or 0, "time")
        yield f"event loop        up to {found.event_loop_lag_ms:.0f} ms late, {late} over 50 ms"
    for warning in found.warnings:
        yield f"warning           {warning}"


def _by(at: PartitionStatus) -> str:
    return "" if at.node is None else f", epoch {at.epoch} of node {at.node}"


def _of(end: int | None) -> str:
    return "" if end is None else f" of {end}"


def _kept(at: PartitionStatus) -> str:
    return "" if at.headroom_hours is None else f", kept for {at.headroom_hours:.1f} hours"
