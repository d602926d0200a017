"""Consumer groups in memory, as Kafka's coordinator keeps them for eager members.

Every rebalance takes all partitions from all members and assigns all of them again, those that a
member keeps included. A member learns of one at its next heartbeat. One that is not heard of for
the session time-out, or does not come back in time when there is a rebalance, is a member no more:
it finds out when it next speaks to the coordinator, and believes in its partitions until then.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
from collections.abc import Collection, Sequence
from typing import NamedTuple

from streambackup.bus.port import TopicPartition
from streambackup.errors import BusError


class GroupTimes(NamedTuple):
    """Seconds. ``rebalance_s`` is how long members may take to give up what they have."""

    heartbeat_s: float = 0.5
    session_s: float = 6.0
    rebalance_s: float = 20.0


class Seat(NamedTuple):
    """A member's place in one generation of its group."""

    member: str
    generation: int
    partitions: Sequence[TopicPartition]


class NotAMemberError(BusError):
    """The group went on without this member."""


class _Group:
    def __init__(self) -> None:
        self.generation = 0
        self.members: dict[str, Collection[TopicPartition]] = {}
        self.heard_s: dict[str, float] = {}
        self.joining: dict[str, asyncio.Future[Seat]] = {}
        self.deadline: asyncio.TimerHandle | None = None

    @property
    def rebalancing(self) -> bool:
        return self.deadline is not None


class Groups:
    """The coordinator of all groups of a broker; made inside a running loop."""

    def __init__(self, times: GroupTimes | None = None) -> None:
        self.times = times or GroupTimes()
        self.rebalances = 0
        self.zombies = 0
        """How often a member spoke that was none any more."""
        self._groups: dict[str, _Group] = {}
        self._names = itertools.count(1)
        self._loop = asyncio.get_running_loop()
        # Its timers are its own, not of whichever member it answers just then.
        self._context = contextvars.copy_context()

    async def join(
        self, group: str, member: str | None, partitions: Collection[TopicPartition]
    ) -> Seat:
        """Take part in the next generation: everybody waits here until all have come."""
        of = self._groups.setdefault(group, _Group())
        if member is None or member not in of.members:
            member = f"member-{next(self._names)}"
            of.members[member] = partitions
        seat: asyncio.Future[Seat] = self._loop.create_future()
        of.joining[member] = seat
        self._prepare(of)
        self._complete_if_all_came(of)
        return await seat

    def heartbeat(self, group: str, seat: Seat) -> bool:
        """Whether there is a rebalance to take part in.

        Raises:
            NotAMemberError: there was one without this member.
        """
        of = self._check(group, seat)
        of.heard_s[seat.member] = self._loop.time()
        return of.rebalancing

    def check_acknowledge(self, group: str, seat: Seat) -> None:
        """Raises NotAMemberError where *seat* is none of the group's generation."""
        self._check(group, seat)

    def leave(self, group: str, seat: Seat) -> None:
        """A member goes of its own accord."""
        of = self._groups[group]
        if seat.member in of.members:
            self._remove(of, seat.member)

    def rebalance(self, group: str) -> None:
        """Let there be a rebalance, as when partitions are added."""
        if (of := self._groups.get(group)) is not None and of.members:
            self._prepare(of)

    def members(self, group: str) -> int:
        of = self._groups.get(group)
        return 0 if of is None else len(of.members)

    def _check(self, group: str, seat: Seat) -> _Group:
        of = self._groups[group]
        if seat.member not in of.members or seat.generation != of.generation:
            self.zombies += 1
            raise NotAMemberError(f"the group {group} went on without {seat.member}")
        return of

    def _prepare(self, of: _Group) -> None:
        if not of.rebalancing:
            of.deadline = self._loop.call_later(
                self.times.rebalance_s, self._complete, of, context=self._context
            )

    def _complete_if_all_came(self, of: _Group) -> None:
        if of.rebalancing and of.members.keys() <= of.joining.keys():
            self._complete(of)

    def _complete(self, of: _Group) -> None:
        """Begin a generation with those who came."""
        if of.deadline is not None:
            of.deadline.cancel()
            of.deadline = None
        came = {
            member: of.members[member]
            for member, seat in of.joining.items()
            if member in of.members and not seat.done()
        }
        seats, of.joining = of.joining, {}
        of.members = came
        of.generation += 1
        self.rebalances += 1
        assigned = range_assignment(came)
        for member in came:
            of.heard_s[member] = self._loop.time()
            seats[member].set_result(Seat(member, of.generation, assigned[member]))
            self._expect(of, member)

    def _expect(self, of: _Group, member: str) -> None:
        self._loop.call_later(
            self.times.session_s, self._look_after, of, of.generation, member, context=self._context
        )

    def _look_after(self, of: _Group, generation: int, member: str) -> None:
        """Drop a member that was silent for too long; one that waits for others is not silent."""
        if member not in of.members or generation != of.generation:
            return
        silent_s = self._loop.time() - of.heard_s[member]
        if member not in of.joining and silent_s >= self.times.session_s:
            self._remove(of, member)
        else:
            self._expect(of, member)

    def _remove(self, of: _Group, member: str) -> None:
        del of.members[member]
        of.joining.pop(member, None)
        if of.members:
            self._prepare(of)
            self._complete_if_all_came(of)
        elif of.deadline is not None:
            of.deadline.cancel()
            of.deadline = None


def range_assignment(
    members: dict[str, Collection[TopicPartition]],
) -> dict[str, list[TopicPartition]]:
    """Of each topic, neighbouring partitions to each member in the order of their names; the same
    numbers of topics that are consumed together.
    """
    assigned: dict[str, list[TopicPartition]] = {member: [] for member in members}
    topics = sorted({tp.topic for wanted in members.values() for tp in wanted})
    for topic in topics:
        takers = sorted(
            m for m, wanted in members.items() if any(tp.topic == topic for tp in wanted)
        )
        partitions = sorted({tp for m in takers for tp in members[m] if tp.topic == topic})
        share, more = divmod(len(partitions), len(takers))
        first = 0
        for at, member in enumerate(takers):
            end = first + share + (at < more)
            assigned[member] += partitions[first:end]
            first = end
    return assigned
