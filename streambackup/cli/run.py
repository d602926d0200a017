"""``streambackup run``"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated

from cyclopts import Parameter

from streambackup.cli.common import NOTHING_SAID, Common
from streambackup.runtime.clock import SystemClock
from streambackup.service.supervisor import ALL_ROLES, Role, run_service


class WantedRole(StrEnum):
    SOURCE = "source"
    ACCOUNT = "account"
    BLOB = "blob"
    ALL = "all"


def run(
    *,
    role: Annotated[
        list[WantedRole] | None,
        Parameter(help="What this process does; may be repeated. All of it unless said."),
    ] = None,
    common: Common = NOTHING_SAID,
) -> None:
    """Run the service until SIGTERM or Ctrl-C; a second one ends it at once."""
    settings = common.settings()
    common.start_logs(settings, service=True)
    asked = set(role or [WantedRole.ALL])
    roles = ALL_ROLES if WantedRole.ALL in asked else frozenset(map(Role, asked))
    asyncio.run(run_service(settings, roles, clock=SystemClock()))
