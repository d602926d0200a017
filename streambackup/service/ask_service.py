"""Asking the service that runs on this machine how it is."""

from __future__ import annotations

import aiohttp
import msgspec

from streambackup.events.codec import UNDECODABLE
from streambackup.service.endpoints import Address
from streambackup.service.status import BUS_PATIENCE_S, Status

PATIENCE_S = 2 * BUS_PATIENCE_S
"""It asks the bus, which may be away, and then its own files."""


async def ask_service(address: Address, store: str) -> Status | None:
    """What the service of *store* at *address* says; None where none answers, or another store's.

    An address that listens everywhere is asked on loopback.
    """
    host = "127.0.0.1" if address.host in ("0.0.0.0", "::") else address.host  # noqa: S104 (compared)
    host = f"[{host}]" if ":" in host else host
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"http://{host}:{address.port}/status") as response,
        ):
            status = msgspec.json.decode(await response.read(), type=Status)
    except (aiohttp.ClientError, TimeoutError, *UNDECODABLE):
        return None
    return status if status.store == store else None
