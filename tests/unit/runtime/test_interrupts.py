"""Stopping blocking work: politely at the first signal, at once at the second."""

from __future__ import annotations

import os
import signal

import pytest

from streambackup.runtime.interrupts import stop_between_steps


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_asked_for_between_steps(number: signal.Signals) -> None:
    with stop_between_steps() as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop()


def test_the_second_ends_the_step() -> None:
    with stop_between_steps():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_handlers_are_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stop_between_steps():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
