"""When a consumer counts as stuck, and when that is beyond help."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from streambackup.domain.liveness import LOOKS, Look, Pulse, Step, Trouble, Watch, judge, trouble

LIMIT_S = 60.0
EVERY_S = LIMIT_S / LOOKS
STILL = Pulse(asked=True, fetches=5, empty=2, silence_s=0)

pulses = st.builds(
    Pulse,
    asked=st.booleans(),
    fetches=st.integers(0, 3),
    empty=st.integers(0, 3),
    silence_s=st.floats(0, 3 * LIMIT_S),
)
looks = st.builds(
    Look,
    at_s=st.floats(0, 10 * LIMIT_S),  # since the look before
    pulse=pulses,
    answers=st.booleans(),
    unread=st.booleans(),
)


def steps(looks: list[Look]) -> list[Step]:
    """What is done at each of the *looks*, whose times are since the one before."""
    watch = Watch(0.0, STILL)
    at_s = itertools.accumulate(look.at_s for look in looks)
    done = []
    for time_s, look in zip(at_s, looks, strict=True):
        watch, step = judge(watch, look._replace(at_s=time_s), LIMIT_S)
        done.append(step)
    return done


def in_trouble(looks: list[Look]) -> list[bool]:
    pulses = [STILL, *(look.pulse for look in looks)]
    return [
        trouble(before, look, LIMIT_S) is not None
        for before, look in zip(pulses, looks, strict=False)
    ]


@given(st.integers(1, 100))
def test_a_consumer_that_stands_still_is_made_anew_and_then_given_up(count: int) -> None:
    still = Look(EVERY_S, STILL, answers=True, unread=False)
    done = steps([still] * count)

    assert [at for at, step in enumerate(done, 1) if step is Step.REBUILD] == (
        [LOOKS] if count >= LOOKS else []
    )
    assert [at for at, step in enumerate(done, 1) if step is Step.END][:1] == (
        [2 * LOOKS] if count >= 2 * LOOKS else []
    )


@given(st.lists(looks, max_size=60))
def test_nothing_is_done_without_as_many_looks_in_a_row_that_show_trouble(
    looks: list[Look],
) -> None:
    """However long the machine slept between them: three, as each counts for two at most."""
    bad = in_trouble(looks)
    for at, step in enumerate(steps(looks)):
        if step is not Step.WAIT:
            last = range(at - LOOKS // 2 + 1, at + 1)
            assert all(i >= 0 and bad[i] and looks[i].answers for i in last)


@given(st.lists(looks, max_size=60))
def test_none_is_given_up_that_was_not_made_anew_before(looks: list[Look]) -> None:
    done = steps(looks)

    assert Step.END not in done or Step.REBUILD in done[: done.index(Step.END)]


@given(st.integers(0, 3 * LOOKS))
def test_one_that_was_well_for_long_enough_since_it_was_made_anew_is_made_anew_again(
    well: int,
) -> None:
    still = Look(EVERY_S, STILL, answers=True, unread=False)
    moving = [still._replace(pulse=STILL._replace(fetches=6 + n, silence_s=0)) for n in range(well)]
    stopped = still._replace(pulse=moving[-1].pulse if moving else STILL)
    done = steps([still] * LOOKS + moving + [stopped] * LOOKS)

    assert done[LOOKS - 1] is Step.REBUILD
    assert done[-1] is (Step.END if well < LOOKS else Step.REBUILD)


@given(st.lists(looks.map(lambda look: look._replace(answers=False)), max_size=60))
def test_while_the_bus_is_away_nothing_is_done(looks: list[Look]) -> None:
    assert set(steps(looks)) <= {Step.WAIT}


@given(looks)
def test_who_waits_for_the_disk_is_not_in_trouble(look: Look) -> None:
    elsewhere = look._replace(pulse=look.pulse._replace(asked=False))

    assert trouble(STILL, elsewhere, LIMIT_S) is None


def test_what_is_wrong_is_named() -> None:
    def told(pulse: Pulse, *, unread: bool = False) -> Trouble | None:
        return trouble(STILL, Look(EVERY_S, pulse, answers=True, unread=unread), LIMIT_S)

    moves = STILL._replace(fetches=6)
    assert told(STILL) is Trouble.FAILING
    assert told(moves) is None
    assert told(moves, unread=True) is None
    assert told(moves._replace(empty=3)) is None
    assert told(moves._replace(empty=3), unread=True) is Trouble.NOT_READING
    assert told(moves._replace(silence_s=LIMIT_S)) is Trouble.UNHEARD
