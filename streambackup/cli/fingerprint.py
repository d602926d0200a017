"""``streambackup fingerprint``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from streambackup.cli.common import NOTHING_SAID, Common, given_path
from streambackup.cli.render import write_document
from streambackup.errors import FaultsFoundError
from streambackup.reading.fingerprint import Difference, first_difference
from streambackup.reading.fingerprint import fingerprint as fingerprint_of
from streambackup.reading.store_reader import StoreReader


class Fingerprint(msgspec.Struct, frozen=True, omit_defaults=True):
    """``equal`` and ``difference`` only where another store was compared with."""

    fingerprint: str
    equal: bool | None = None
    difference: Difference | None = None


def fingerprint(
    *,
    compare: Annotated[
        Path | None,
        Parameter(
            help="Another backup path; name the first difference to it.", converter=given_path
        ),
    ] = None,
    common: Common = NOTHING_SAID,
) -> None:
    """Print one number for everything that the store knows; equal stores have equal ones."""
    reader = StoreReader(common.settings().store.path)
    own = fingerprint_of(reader)
    if compare is None:
        write_document(Fingerprint(own), [own], as_json=common.json)
        return
    difference = first_difference(reader, StoreReader(compare))
    answer = Fingerprint(own, difference is None, difference)
    write_document(answer, [own], as_json=common.json)
    if difference is not None:
        parts = ("account", difference.account), ("item", difference.item)
        where = ", ".join(f"{name} {value}" for name, value in parts if value is not None)
        raise FaultsFoundError(
            f"{compare} differs first in {where}: {difference.what}",
            hint=f"Transaction {difference.transaction}." if difference.transaction else None,
        )
