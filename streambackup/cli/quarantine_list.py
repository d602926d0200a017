"""``streambackup quarantine list``"""

from __future__ import annotations

from streambackup.cli.common import NOTHING_SAID, Common
from streambackup.cli.render import Column, write_list
from streambackup.cli.setting_aside import EVERYTHING, Wanted
from streambackup.service.quarantine import Aside, list_aside
from streambackup.service.store_home import find_store

COLUMNS = [
    Column[Aside]("ORIGIN", lambda row: row.id),
    Column[Aside]("KIND", lambda row: row.kind),
    Column[Aside]("KEY", lambda row: row.key),
    Column[Aside]("WHEN", lambda row: row.when),
    Column[Aside]("SIZE", lambda row: row.size),
    Column[Aside]("REASON", lambda row: row.reason),
]


def quarantine_list(*, wanted: Wanted = EVERYTHING, common: Common = NOTHING_SAID) -> None:
    """List what was set aside: where it came from, when, and why. Damaged files come last."""
    root = find_store(common.settings().store).root
    write_list(list_aside(root, wanted.filter()), COLUMNS, as_json=common.json)
