"""What every target promises. A subclass gives ``open_target``, which opens the same place anew."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streambackup.domain.digest import digest_of
from streambackup.domain.entry import ItemType
from streambackup.domain.item import STATE_TYPES
from streambackup.errors import ItemRefusedError, TargetError
from streambackup.targets.port import (
    Content,
    ContentError,
    FolderPath,
    Placed,
    RestoredItem,
    Target,
)

INBOX = FolderPath(("INBOX",), "inbox")
WORK = FolderPath(("Work", "2026"))
MAIL = b"From: anna@example.org\r\nSubject: plans\r\n\r\nSee you.\r\n"
ODD_CONTENTS = {
    "empty": b"",
    "bare LF": b"Subject: x\n\nbody\n",
    "NUL": b"Subject: a\0b\r\n\r\n\0",
    "8-bit headers": b"Subject: caf\xe9 \xff\r\n\r\n",
    "no headers": b"\r\n",
    "long line": b"x" * 100_000,
}
ODD_NAMES = [
    "..",
    ".",
    "a/b",
    "a.b",
    "nul\0",
    "x" * 300,
    "📬",
    "CON",
    "Ü",
    "~root",
    " ",
    "%2F",
    "-rf",
]

OpenTarget = Callable[[], Target]


def restored(
    item: str = "m1",
    type: ItemType = ItemType.MESSAGE,
    state: dict[str, Any] | None = None,
    *,
    content: bytes | None = MAIL,
    folder: FolderPath = INBOX,
    transaction: str = "test:00000001:1",
) -> RestoredItem:
    """An item as restore hands it to a target; its key follows from its id and transaction."""
    raw = {"folder": "f1", "subject": "plans"} if state is None else state
    return RestoredItem(
        key=hashlib.sha256(f"{item} {transaction}".encode()).hexdigest()[:32],
        account="anna",
        item=item,
        type=type,
        transaction=transaction,
        state=msgspec.convert(raw, STATE_TYPES[type]),
        raw_state=raw,
        folder=folder,
        content=None if content is None else Content(digest_of(content), lambda: iter([content])),
    )


def bring_back(target: Target, *items: RestoredItem) -> list[Placed]:
    placed = [target.put(item) for item in items]
    target.sync()
    return placed


def tree(root: Path) -> dict[str, bytes]:
    """Every file below *root* and what is in it."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


class TargetContract:
    @pytest.mark.parametrize(
        "name", ["../outside", "cur/../../outside", "{root}/../outside", "../"]
    )
    def test_a_name_that_leads_out_of_the_root_is_nothing_it_holds(
        self, open_target: OpenTarget, tmp_path: Path, name: str
    ) -> None:
        """Names come out of a file that whoever owns the place may write."""
        target = open_target()
        bring_back(target, restored())
        for directory in [tmp_path, *tmp_path.rglob("*/")]:
            (directory / "outside").touch()
            (directory / "cur").mkdir(exist_ok=True)

        told = name.format(root=tmp_path)
        assert not target.holds(told)
        with pytest.raises(TargetError):
            target.read(told)

    def test_an_item_comes_back_as_it_was(self, open_target: OpenTarget) -> None:
        target = open_target()
        (placed,) = bring_back(target, restored())
        assert target.holds(placed.name)
        assert target.read(placed.name).digest == digest_of(MAIL)

    @pytest.mark.parametrize("content", ODD_CONTENTS.values(), ids=ODD_CONTENTS)
    def test_bytes_are_identical(self, open_target: OpenTarget, content: bytes) -> None:
        (placed,) = bring_back(open_target(), restored(content=content))
        assert open_target().read(placed.name).digest == digest_of(content)

    @pytest.mark.parametrize("type", [ItemType.MESSAGE, ItemType.DOCUMENT])
    def test_of_content_that_breaks_off_nothing_is_there_and_the_rest_goes_on(
        self, open_target: OpenTarget, tmp_path: Path, type: ItemType
    ) -> None:
        def pieces() -> Iterator[bytes]:
            yield from (MAIL, MAIL)
            raise ContentError(ValueError("damaged"))

        target = open_target()
        state = {"folder": "f1"} if type is ItemType.MESSAGE else {"name": "a"}
        item = restored("broken", type, state)
        broken = msgspec.structs.replace(item, content=Content(digest_of(MAIL), pieces))
        try:
            with pytest.raises(ContentError, match="damaged"):
                target.put(broken)
        except ItemRefusedError:
            assert type is ItemType.DOCUMENT
        (placed,) = bring_back(target, restored())

        assert [data for data in tree(tmp_path).values() if data] == [MAIL]
        assert target.read(placed.name).digest == digest_of(MAIL)

    def test_content_in_pieces_is_put_together(self, open_target: OpenTarget) -> None:
        whole = Content(digest_of(MAIL * 3), lambda: iter([MAIL] * 3))
        (placed,) = bring_back(open_target(), msgspec.structs.replace(restored(), content=whole))
        assert open_target().read(placed.name).digest == digest_of(MAIL * 3)

    def test_the_target_gives_back_what_it_says_it_keeps(self, open_target: OpenTarget) -> None:
        target = open_target()
        state = {"folder": "f1", "flags": ["seen", "flagged"], "received_ms": 1_700_000_000_123}
        (placed,) = bring_back(target, restored(state=state))
        kept = open_target().read(placed.name).kept
        assert placed.kept["received_ms"] == 1_700_000_000_123
        assert placed.kept == {field: kept[field] for field in placed.kept}

    def test_a_field_it_does_not_keep_is_named(self, open_target: OpenTarget) -> None:
        (placed,) = bring_back(open_target(), restored(state={"folder": "f1", "tags": ["red"]}))
        assert placed.left_out == ("tags",)

    def test_nothing_is_there_before_sync(self, open_target: OpenTarget) -> None:
        target = open_target()
        placed = target.put(restored())
        assert not open_target().holds(placed.name)
        target.sync()
        assert open_target().holds(placed.name)

    def test_a_repeat_creates_nothing(self, open_target: OpenTarget) -> None:
        target = open_target()
        first = bring_back(target, restored("m1"), restored("m2"))
        before = tree(Path(target.place))
        again = bring_back(open_target(), restored("m1"), restored("m2"))
        assert [placed.name for placed in again] == [placed.name for placed in first]
        assert tree(Path(target.place)) == before

    def test_putting_twice_before_sync_creates_one(self, open_target: OpenTarget) -> None:
        target = open_target()
        first, second = bring_back(target, restored(), restored())
        assert first.name == second.name
        assert len(tree(Path(target.place))) == 1

    def test_what_a_killed_writer_left_aside_is_replaced(self, open_target: OpenTarget) -> None:
        open_target().put(restored())
        target = open_target()
        (placed,) = bring_back(target, restored())
        assert target.read(placed.name).digest == digest_of(MAIL)
        assert list(tree(Path(target.place)).values()) == [MAIL]

    def test_two_states_of_one_item_stand_side_by_side(self, open_target: OpenTarget) -> None:
        target = open_target()
        placed = bring_back(
            target, restored(transaction="test:00000001:1"), restored(transaction="test:00000001:2")
        )
        assert len({item.name for item in placed}) == 2

    def test_extra_files_survive(self, open_target: OpenTarget) -> None:
        target = open_target()
        bring_back(target, restored())
        (path,) = (path for path in Path(target.place).rglob("*") if path.is_file())
        extra = path.with_name("extra")
        extra.write_bytes(b"mine")
        bring_back(open_target(), restored(), restored("m2"))
        assert extra.read_bytes() == b"mine"

    def test_other_bytes_under_the_items_name_are_left_alone(self, open_target: OpenTarget) -> None:
        target = open_target()
        (placed,) = bring_back(target, restored())
        (path,) = (path for path in Path(target.place).rglob("*") if path.is_file())
        path.write_bytes(b"changed by its owner")
        (again,) = bring_back(open_target(), restored())
        assert again.name != placed.name
        assert path.read_bytes() == b"changed by its owner"
        assert open_target().read(again.name).digest == digest_of(MAIL)

    def test_folders_are_made_once(self, open_target: OpenTarget) -> None:
        target = open_target()
        target.ensure_folders([INBOX])
        assert target.ensure_folders([INBOX, FolderPath(("Work",)), WORK]) == 2
        assert open_target().ensure_folders([INBOX, FolderPath(("Work",)), WORK]) == 0

    @pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
    def test_no_name_leads_out_of_the_place(
        self, open_target: OpenTarget, name: str, tmp_path: Path
    ) -> None:
        before = set(tmp_path.parent.iterdir())
        target = open_target()
        folder = FolderPath((name, name))
        state = {"folder": name, "subject": name}
        (placed,) = bring_back(target, restored(name, state=state, folder=folder))
        assert target.read(placed.name).digest == digest_of(MAIL)
        assert [data for data in tree(Path(target.place)).values() if data] == [MAIL]
        assert set(tmp_path.parent.iterdir()) == before

    def test_odd_and_twin_folders_stay_apart(self, open_target: OpenTarget) -> None:
        target = open_target()
        names = [*ODD_NAMES, "work", "Work", "WORK", "a_b", "", "café", "cafe\u0301"]
        made = target.ensure_folders([FolderPath((name,)) for name in names])
        assert open_target().ensure_folders([FolderPath((name,)) for name in names]) == 0
        placed = bring_back(target, *(restored(n, folder=FolderPath((n,))) for n in names))
        assert len({item.name.rpartition("/")[0] for item in placed}) == len(names)
        assert made >= len(names)

    def test_a_very_deep_folder_can_be_had(self, open_target: OpenTarget) -> None:
        target = open_target()
        folder = FolderPath(tuple(f"{depth} " + "deep" * 20 for depth in range(80)))
        (placed,) = bring_back(target, restored(folder=folder))
        assert target.read(placed.name).digest == digest_of(MAIL)

    def test_times_at_the_ends_of_the_calendar_are_no_obstacle(
        self, open_target: OpenTarget
    ) -> None:
        for number, time_ms in enumerate((0, -1, 2**53, -(2**53), 2**63, 10**300)):
            state = {"folder": "f1", "received_ms": time_ms}
            target = open_target()
            (placed,) = bring_back(target, restored(f"m{number}", state=state))
            read = target.read(placed.name)
            assert read.digest == digest_of(MAIL)
            assert "received_ms" in {*placed.kept, *placed.left_out}
            assert placed.kept.items() <= {**read.kept, "flags": []}.items()

    def test_a_name_that_is_not_there_is_an_error(self, open_target: OpenTarget) -> None:
        target = open_target()
        target.ensure_folders([INBOX])
        assert not target.holds("nothing")
        with pytest.raises(TargetError):
            target.read("nothing")

    def test_a_file_in_its_place_is_refused(self, open_target: OpenTarget) -> None:
        target = open_target()
        Path(target.place).parent.rmdir()
        Path(target.place).parent.write_bytes(b"")
        with pytest.raises(TargetError):
            target.ensure_folders([INBOX])
