"""Seeded samples of mail, contacts and calendars, the same on every machine."""

from tests.corpus.maildirs import BENCH, SMALL, Shape, Statistics, write_maildirs
from tests.corpus.odd import OddMessage, odd_messages
from tests.corpus.pim import calendars, vcards

__all__ = [
    "BENCH",
    "SMALL",
    "OddMessage",
    "Shape",
    "Statistics",
    "calendars",
    "odd_messages",
    "vcards",
    "write_maildirs",
]
