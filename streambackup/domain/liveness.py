"""Whether a consumer stands still although there is work, and what to do about it: the one place
where that is decided.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import NamedTuple

LOOKS = 6
"""In the time that a consumer may stand still."""


class Pulse(NamedTuple):
    """What a consumer did so far: how many of its fetches came back without an error, how many of
    those with nothing, and how long its group has not heard of it. It is *asked* while whoever
    reads waits for it, and for nothing else.
    """

    asked: bool
    fetches: int
    empty: int
    silence_s: float


class Look(NamedTuple):
    """One look at it, at a time in seconds that only grow. Beside it, by other connections, the bus
    *answers*, and hands out a record that stood there at the look before, *unread* since then.
    """

    at_s: float
    pulse: Pulse
    answers: bool
    unread: bool


class Trouble(StrEnum):
    FAILING = "its fetches fail, or do not come back"
    NOT_READING = "it hands out nothing of a partition with records to read"
    UNHEARD = "its group does not hear of it"


class Step(Enum):
    WAIT = "wait"
    REBUILD = "rebuild"
    END = "end"


class Watch(NamedTuple):
    """What is kept between looks: how long the trouble has lasted, or none was seen; and whether
    the consumer was rebuilt, and has not been well for long enough since.
    """

    looked_s: float
    pulse: Pulse
    lasts_s: float = 0.0
    well_s: float = 0.0
    rebuilt: bool = False


def trouble(before: Pulse, look: Look, limit_s: float) -> Trouble | None:
    """What is wrong with the consumer, as far as one look tells.

    Where it hands out as much as is taken, a partition may have to wait for its turn: one counts as
    not read only where some fetch came back with nothing.
    """
    if not look.pulse.asked:
        return None
    if look.pulse.fetches == before.fetches:
        return Trouble.FAILING
    if look.unread and look.pulse.empty > before.empty:
        return Trouble.NOT_READING
    if look.pulse.silence_s > limit_s / 2:
        return Trouble.UNHEARD
    return None


def judge(watch: Watch, look: Look, limit_s: float) -> tuple[Watch, Step]:
    """What to do, and what to keep for the next look; looks come ``LOOKS`` times in *limit_s*.

    A consumer in trouble for *limit_s* is rebuilt, and one that is in trouble again for as long,
    without having been well for as long between, is beyond that. While the bus does not answer
    nothing would help. Of the time between two looks no more counts than two of them take: a
    machine that slept is no consumer that stood still.
    """
    passed_s = min(look.at_s - watch.looked_s, 2 * limit_s / LOOKS)
    kept = Watch(look.at_s, look.pulse, rebuilt=watch.rebuilt)
    if trouble(watch.pulse, look, limit_s) is None:
        well_s = watch.well_s + passed_s
        return kept._replace(well_s=well_s, rebuilt=watch.rebuilt and well_s < limit_s), Step.WAIT
    if not look.answers:
        return kept, Step.WAIT
    lasts_s = watch.lasts_s + passed_s
    if lasts_s < limit_s:
        return kept._replace(lasts_s=lasts_s), Step.WAIT
    return kept._replace(rebuilt=True), Step.END if watch.rebuilt else Step.REBUILD
