"""What every source promises. A subclass gives ``rig``, a mailbox that the tests use and watch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import pytest

from streambackup.domain.digest import digest_of
from streambackup.domain.entry import ItemType
from streambackup.events.mailbox import Delete, FolderDelete, Put
from streambackup.outbox.outbox import Outbox
from streambackup.sources.port import Source
from streambackup.testing.fixed_stream import FixedStream
from tests.support.mailbox_view import Held
from tests.support.watching import TOPICS, Watching, watching

INBOX = ("INBOX",)
WORK = ("Work",)
PLANS = ("Work", "Plans")
MAIL = [f"From: ann@example.org\r\nSubject: {n}\r\n\r\nHello {n}\r\n".encode() for n in range(5)]


class SourceRig(ABC):
    """A mailbox of ``account``, changed from outside of the source. Folders by their names from
    the top down; a message by whatever ``deliver`` returned.
    """

    account: str

    @abstractmethod
    def source(self) -> Source:
        """A new source that watches the mailbox."""

    @abstractmethod
    def deliver(self, folder: tuple[str, ...], content: bytes) -> str: ...

    @abstractmethod
    def flag(self, message: str, flags: set[str]) -> None: ...

    @abstractmethod
    def move(self, message: str, folder: tuple[str, ...]) -> None: ...

    @abstractmethod
    def delete(self, message: str) -> None: ...

    @abstractmethod
    def make_folder(self, folder: tuple[str, ...]) -> None: ...

    @abstractmethod
    def rename_folder(self, old: tuple[str, ...], new: tuple[str, ...]) -> None: ...

    @abstractmethod
    def delete_folder(self, folder: tuple[str, ...]) -> None:
        """With the messages in it."""


def held(folder: tuple[str, ...], content: bytes, *flags: str) -> Held:
    return folder, tuple(sorted(flags)), digest_of(content)


class SourceContract:
    async def holds(self, seen: Watching, rig: SourceRig, *expected: Held) -> dict[Held, str]:
        """Wait until the view holds just these messages; their items."""
        await seen.until(
            lambda: sorted(seen.view.messages(rig.account).values()) == sorted(expected)
        )
        return {message: item for item, message in seen.view.messages(rig.account).items()}

    @pytest.fixture
    def state(self, tmp_path: Path) -> Path:
        return tmp_path / "state"

    async def test_what_was_there_before_is_observed_the_account_first_and_folders_before_messages(
        self, rig: SourceRig, state: Path
    ) -> None:
        rig.make_folder(WORK)
        rig.make_folder(PLANS)
        rig.deliver(INBOX, MAIL[0])
        rig.deliver(PLANS, MAIL[1])

        async with watching(rig.source(), state) as seen:
            await self.holds(seen, rig, held(INBOX, MAIL[0]), held(PLANS, MAIL[1]))

        puts = [event for event in seen.view.history if isinstance(event, Put)]
        types = [put.type for put in puts]
        assert len(puts) == len(seen.view.history)
        assert types[0] == ItemType.ACCOUNT
        assert types == sorted(types, key=list(ItemType).index, reverse=True)
        assert {INBOX, WORK, PLANS} <= set(seen.view.folders(rig.account))
        assert seen.producer.contents() == {digest_of(mail): mail for mail in MAIL[:2]}

    async def test_an_arrival_is_observed(self, rig: SourceRig, state: Path) -> None:
        async with watching(rig.source(), state) as seen:
            await self.holds(seen, rig)
            rig.deliver(INBOX, MAIL[0])
            items = await self.holds(seen, rig, held(INBOX, MAIL[0]))

        (item,) = items.values()
        state_of = seen.view.items[rig.account][item].state
        assert state_of["subject"] == "0"
        assert state_of["sender"] == "ann@example.org"
        assert seen.producer.contents()[digest_of(MAIL[0])] == MAIL[0]

    async def test_flags_change_the_state_of_the_same_item_and_send_no_content(
        self, rig: SourceRig, state: Path
    ) -> None:
        message = rig.deliver(INBOX, MAIL[0])
        async with watching(rig.source(), state) as seen:
            before = await self.holds(seen, rig, held(INBOX, MAIL[0]))
            rig.flag(message, {"seen"})
            first = await self.holds(seen, rig, held(INBOX, MAIL[0], "seen"))
            rig.flag(message, {"answered", "flagged"})
            second = await self.holds(seen, rig, held(INBOX, MAIL[0], "answered", "flagged"))

        assert list(before.values()) == list(first.values()) == list(second.values())
        assert len(seen.producer.blob_events()) == 1

    async def test_a_move_keeps_the_item(self, rig: SourceRig, state: Path) -> None:
        message = rig.deliver(INBOX, MAIL[0])
        rig.make_folder(WORK)
        async with watching(rig.source(), state) as seen:
            before = await self.holds(seen, rig, held(INBOX, MAIL[0]))
            rig.move(message, WORK)
            after = await self.holds(seen, rig, held(WORK, MAIL[0]))

        assert list(before.values()) == list(after.values())
        assert not [event for event in seen.view.history if isinstance(event, Delete)]

    async def test_a_deletion_is_observed(self, rig: SourceRig, state: Path) -> None:
        message = rig.deliver(INBOX, MAIL[0])
        async with watching(rig.source(), state) as seen:
            (item,) = (await self.holds(seen, rig, held(INBOX, MAIL[0]))).values()
            rig.delete(message)
            await self.holds(seen, rig)

        last = seen.view.history[-1]
        assert isinstance(last, Delete)
        assert last.item == item

    async def test_a_folder_that_comes_is_observed_with_what_is_in_it(
        self, rig: SourceRig, state: Path
    ) -> None:
        async with watching(rig.source(), state) as seen:
            await self.holds(seen, rig)
            rig.make_folder(WORK)
            rig.deliver(WORK, MAIL[0])
            rig.make_folder(PLANS)
            rig.deliver(PLANS, MAIL[1])
            await self.holds(seen, rig, held(WORK, MAIL[0]), held(PLANS, MAIL[1]))

        folders = seen.view.folders(rig.account)
        assert seen.view.items[rig.account][folders[PLANS]].state["parent"] == folders[WORK]

    async def test_a_renamed_folder_keeps_its_item_and_what_is_in_it(
        self, rig: SourceRig, state: Path
    ) -> None:
        rig.make_folder(WORK)
        rig.deliver(WORK, MAIL[0])
        async with watching(rig.source(), state) as seen:
            before = await self.holds(seen, rig, held(WORK, MAIL[0]))
            folder = seen.view.folders(rig.account)[WORK]
            sent = len(seen.view.history)
            rig.rename_folder(WORK, ("Play",))
            after = await self.holds(seen, rig, held(("Play",), MAIL[0]))

        assert list(before.values()) == list(after.values())
        (event,) = seen.view.history[sent:]
        assert isinstance(event, Put)
        assert event.item == folder

    async def test_a_deleted_folder_is_one_delete_for_each_item_and_then_its_own(
        self, rig: SourceRig, state: Path
    ) -> None:
        rig.make_folder(WORK)
        rig.deliver(WORK, MAIL[0])
        rig.deliver(WORK, MAIL[1])
        async with watching(rig.source(), state) as seen:
            await self.holds(seen, rig, held(WORK, MAIL[0]), held(WORK, MAIL[1]))
            folder = seen.view.folders(rig.account)[WORK]
            sent = len(seen.view.history)
            rig.delete_folder(WORK)
            await seen.until(lambda: WORK not in seen.view.folders(rig.account))

        *deletes, last = seen.view.history[sent:]
        assert [type(event) for event in deletes] == [Delete, Delete]
        assert isinstance(last, FolderDelete)
        assert last.folder == folder

    async def test_a_restart_publishes_nothing_again(self, rig: SourceRig, state: Path) -> None:
        rig.make_folder(WORK)
        rig.deliver(WORK, MAIL[0])
        async with watching(rig.source(), state) as seen:
            await self.holds(seen, rig, held(WORK, MAIL[0]))
        sent = len(seen.view.history)

        async with watching(rig.source(), state, seen):
            rig.deliver(INBOX, MAIL[1])
            await self.holds(seen, rig, held(WORK, MAIL[0]), held(INBOX, MAIL[1]))

        assert len(seen.view.history) == sent + 1

    async def test_what_happened_while_nobody_watched_is_observed_at_the_next_start(
        self, rig: SourceRig, state: Path
    ) -> None:
        rig.make_folder(WORK)
        rig.make_folder(("Old",))
        kept, moved, deleted, flagged = (rig.deliver(INBOX, mail) for mail in MAIL[:4])
        rig.deliver(("Old",), MAIL[4])
        async with watching(rig.source(), state) as seen:
            await seen.until(lambda: len(seen.view.messages(rig.account)) == 5)
        before = {message[2]: item for item, message in seen.view.messages(rig.account).items()}
        sent = len(seen.view.history)

        rig.move(moved, WORK)
        rig.delete(deleted)
        rig.flag(flagged, {"seen"})
        rig.delete_folder(("Old",))
        rig.rename_folder(WORK, PLANS[:1] * 2)
        rig.make_folder(("New",))
        async with watching(rig.source(), state, seen):
            await self.holds(
                seen,
                rig,
                held(INBOX, MAIL[0]),
                held(PLANS[:1] * 2, MAIL[1]),
                held(INBOX, MAIL[3], "seen"),
            )
            await seen.until(lambda: ("Old",) not in seen.view.folders(rig.account))

        after = {message[2]: item for item, message in seen.view.messages(rig.account).items()}
        assert after == {digest: before[digest] for digest in after}
        assert ("New",) in seen.view.folders(rig.account)
        deletes = [e for e in seen.view.history[sent:] if isinstance(e, Delete | FolderDelete)]
        assert [type(event) for event in deletes] == [Delete, Delete, FolderDelete]
        assert kept

    async def test_what_was_recorded_and_not_sent_is_sent_once(
        self, rig: SourceRig, state: Path
    ) -> None:
        """The process ends between the outbox's commit and the bus."""
        rig.deliver(INBOX, MAIL[0])
        seen = Watching()
        source = rig.source()
        outbox = Outbox(state, source.name, seen.producer, stream=FixedStream(TOPICS))
        batches = source.observe(outbox.memory)
        recorded = 0
        async for batch in batches:
            await outbox.record(batch)
            recorded += len(batch)
            if any(seen.type == ItemType.MESSAGE for seen in batch):
                break
        await batches.aclose()
        outbox.close()

        async with watching(rig.source(), state, seen):
            rig.deliver(INBOX, MAIL[1])
            await self.holds(seen, rig, held(INBOX, MAIL[0]), held(INBOX, MAIL[1]))

        assert len(seen.view.history) == recorded + 1
        assert len(seen.producer.transactions()) == recorded + 1
