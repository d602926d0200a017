"""What a batch of observations comes to: the transactions to send and what to keep. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from streambackup.domain.transaction import Position, TransactionId
from streambackup.events.codec import encode_event
from streambackup.events.mailbox import (
    SCHEMA,
    AccountDelete,
    Delete,
    FolderDelete,
    MailboxEvent,
    Put,
)
from streambackup.outbox.database import Changes, Said
from streambackup.sources.port import Observation

_in_order = msgspec.msgpack.Encoder(order="deterministic").encode

Key = tuple[str, str]
"""Account and item."""


class Draft:
    """The changes that observations, added in order, come to.

    ``said`` is what was last said of the items that they name, or None where others write these
    items as well: then nothing can be left out because it was said before.
    """

    def __init__(
        self,
        source: str,
        incarnation: str,
        *,
        generation: str,
        said: Mapping[Key, Said] | None,
        sequences: Mapping[str, int],
    ) -> None:
        self.changes = Changes()
        self._source = source
        self._incarnation = incarnation
        self._generation = generation
        self._said = said
        self._sequences = sequences

    def add(self, observation: Observation, place: Position | None) -> TransactionId | None:
        """Take in *observation*, whose content, where needed, stands at *place*.

        Returns the id of its transaction. None where there is none: only the memory changes, all of
        it was said before, or the content is needed and has no place; in the last case the memory
        stays as it is too.
        """
        known = self._known(observation)
        content = observation.content
        if content and place is None and (known is None or known.digest != content.digest):
            return None
        for key, value in observation.remember.items():
            self.changes.memory[observation.account, key] = value
        if not self._is_news(observation):
            return None
        return self._send(observation, place)

    def _is_news(self, observation: Observation) -> bool:
        known = self._known(observation)
        match observation.operation:
            case None:
                return False
            case "put":
                return known is None or known != _said_by(observation)
            case "account-delete":
                return True
            case "delete" | "folder-delete":
                return known is not None or self._said is None

    def _known(self, observation: Observation) -> Said | None:
        key = (observation.account, observation.item)
        if self._said is None:
            return None
        if key in self.changes.said:
            return self.changes.said[key]
        return None if observation.account in self.changes.silenced else self._said.get(key)

    def _send(self, observation: Observation, place: Position | None) -> TransactionId:
        account = observation.account
        sequence = self.changes.sequences.get(account, self._sequences.get(account, 0)) + 1
        self.changes.sequences[account] = sequence
        event = self._event(observation, sequence, place)
        self.changes.events.append((account, encode_event(event)))
        if self._said is not None:
            self._keep_said(observation)
        return TransactionId(self._source, self._incarnation, sequence)

    def _keep_said(self, observation: Observation) -> None:
        said, account = self.changes.said, observation.account
        if observation.operation == "account-delete":
            self.changes.silenced.add(account)
            for key in [key for key in said if key[0] == account]:
                del said[key]
        else:
            put = observation.operation == "put"
            said[account, observation.item] = _said_by(observation) if put else None

    def _event(
        self, observation: Observation, sequence: int, place: Position | None
    ) -> MailboxEvent:
        common: dict[str, Any] = {
            "schema": SCHEMA,
            "generation": self._generation,
            "account": observation.account,
            "source": self._source,
            "incarnation": self._incarnation,
            "sequence": sequence,
            "time_ms": observation.time_ms,
        }
        match observation.operation:
            case "put":
                assert observation.type is not None
                content = observation.content
                return Put(
                    **common,
                    item=observation.item,
                    type=observation.type,
                    state=observation.state,
                    digest=content.digest if content else None,
                    size=content.size if content else None,
                    content=place,
                )
            case "delete":
                return Delete(**common, item=observation.item)
            case "folder-delete":
                return FolderDelete(**common, folder=observation.item)
            case _:
                return AccountDelete(**common)


def contents_needed(
    observations: Sequence[Observation], said: Mapping[Key, Said] | None
) -> list[int]:
    """Which of *observations* need their content on the bus anew:
    their item's digest just before was another.
    """
    digests = {key: known.digest for key, known in (said or {}).items()}
    needed = []
    for number, observation in enumerate(observations):
        account, item = observation.account, observation.item
        content = observation.content
        if content and (said is None or digests.get((account, item)) != content.digest):
            needed.append(number)
        if observation.operation == "account-delete":
            digests = {key: digest for key, digest in digests.items() if key[0] != account}
        elif observation.operation:
            digests[account, item] = content.digest if content else None
    return needed


def _said_by(observation: Observation) -> Said:
    content = observation.content
    held = (observation.type, observation.state, content.size if content else None)
    checksum = hashlib.blake2b(_in_order(held), digest_size=16).digest()
    return Said(content.digest if content else None, checksum)
