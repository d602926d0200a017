"""Three brokers that every worker reaches through links of its own."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

from parts.process import free_ports
from tests.support.three_brokers import ThreeBrokers, three_brokers
from trials.links import Link
from trials.plan import BROKERS, WORKERS

QUICKER = """
group.min.session.timeout.ms=1000
group.initial.rebalance.delay.ms=0
"""

_STABILIZED = re.compile(r"Stabilized group (\S+) generation (\d+)")

Links = dict[tuple[int, int], Link]
"""By the numbers of worker and broker."""


class Cluster:
    """The brokers, and the links to them."""

    def __init__(self, brokers: ThreeBrokers, links: Links) -> None:
        self.brokers = brokers
        self.links = links

    def links_of_worker(self, number: int) -> list[Link]:
        return [link for (worker, _), link in self.links.items() if worker == number]

    def links_of_broker(self, number: int) -> list[Link]:
        return [link for (_, broker), link in self.links.items() if broker == number]

    def kill(self, number: int) -> None:
        self.brokers.brokers[number - 1].kill()

    def start(self, number: int) -> None:
        """It serves some seconds later."""
        self.brokers.brokers[number - 1].begin()

    def rebalances(self) -> int:
        """How many generations the groups of workers had, as the coordinators' logs say."""
        logs = (log for broker in self.brokers.brokers for log in broker.logs)
        found = (_STABILIZED.findall(log.read_text(errors="replace")) for log in logs)
        return len({generation for some in found for generation in some})


@contextlib.asynccontextmanager
async def linked_cluster(folder: Path) -> AsyncIterator[Cluster]:
    """The cluster at work, until the block ends."""
    async with contextlib.AsyncExitStack() as stack:
        links: Links = {}
        targets = dict[tuple[int, int], int]()
        ports = iter(free_ports(WORKERS * BROKERS))
        for worker in range(1, WORKERS + 1):
            for broker in range(1, BROKERS + 1):
                targets[worker, broker] = next(ports)
                link = Link(targets[worker, broker])
                links[worker, broker] = await stack.enter_async_context(link.listening())
        more = {number: _doors(number, links, targets) for number in range(1, BROKERS + 1)}
        yield Cluster(stack.enter_context(three_brokers(folder, more)), links)


def _doors(broker: int, links: Links, targets: dict[tuple[int, int], int]) -> str:
    """What the file of a broker says of a listener for each worker, which is told to come through
    its link.
    """
    workers = range(1, WORKERS + 1)
    own = [f"SSL://kafka{broker}:9092", f"CONTROLLER://kafka{broker}:9093"]
    listeners = [*own, *(f"W{n}://127.0.0.1:{targets[n, broker]}" for n in workers)]
    advertised = [own[0], *(f"W{n}://127.0.0.1:{links[n, broker].port}" for n in workers)]
    protocols = ["SSL:SSL", "CONTROLLER:SSL", *(f"W{n}:SSL" for n in workers)]
    return (
        f"\nlisteners={','.join(listeners)}\n"
        f"advertised.listeners={','.join(advertised)}\n"
        f"listener.security.protocol.map={','.join(protocols)}\n{QUICKER}"
    )
