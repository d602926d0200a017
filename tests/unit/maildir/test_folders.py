"""Which folder is which after anything happened to the directories."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from streambackup.domain.entry import ItemType
from streambackup.events.codec import check_typed_state
from streambackup.sources.maildir.folders import Folder, FolderPlan, plan_folders
from streambackup.sources.maildir.identity import Directory
from streambackup.sources.maildir.names import ROOT, is_folder_name, parent_of

NAMES = st.sampled_from([b".A", b".B", b".A.x", b".A.y", b".B.x", b".A.x.1", b".C"])
TREES = st.dictionaries(NAMES, st.integers(1, 12), max_size=6).filter(
    lambda tree: len(set(tree.values())) == len(tree)
)


def seen(tree: dict[bytes, int]) -> dict[bytes, Directory]:
    """Directories by name, given their inodes."""
    numbers = {ROOT: 0, **tree}
    return {name: Directory(number, 7, 0) for name, number in numbers.items()}


def plan(tree: dict[bytes, int], remembered: Iterable[Folder] = ()) -> FolderPlan:
    return plan_folders(remembered, seen(tree))


def after(first: dict[bytes, int], second: dict[bytes, int]) -> tuple[FolderPlan, FolderPlan]:
    before = plan(first)
    return before, plan(second, before.folders.values())


def test_at_first_every_folder_is_new_the_upper_ones_first() -> None:
    first = plan({b".A.x.1": 1, b".A": 2})

    assert [folder.name for folder in first.changed] == [ROOT, b".A", b".A.x", b".A.x.1"]
    assert first.gone == []
    assert first.folders[ROOT].state() == {"name": "INBOX", "use": "inbox"}
    assert first.folders[b".A.x"].inode is None
    assert first.folders[b".A.x.1"].state() == {
        "name": "1",
        "parent": first.folders[b".A.x"].item,
    }


@given(st.binary(min_size=1, max_size=9).map(lambda rest: b"." + rest).filter(is_folder_name))
def test_the_state_of_any_folder_keeps_the_contract(directory: bytes) -> None:
    first = plan({directory: 1})

    assert directory in first.folders
    for folder in first.changed:
        check_typed_state(ItemType.FOLDER, folder.state())


def test_an_empty_level_is_a_folder_too() -> None:
    first = plan({b".A..B": 1, b".dot.": 2})

    names = [folder.state()["name"] for folder in first.changed]
    assert names == ["INBOX", "A", "dot", "/", "/", "B"]


def test_nothing_changed_says_nothing() -> None:
    _, again = after({b".A": 1, b".A.x": 2}, {b".A": 1, b".A.x": 2})

    assert (again.changed, again.gone) == ([], [])


def test_the_same_directory_under_another_name_is_the_same_folder() -> None:
    before, renamed = after({b".A": 1}, {b".B": 1})

    assert renamed.folders[b".B"].item == before.folders[b".A"].item
    assert [folder.name for folder in renamed.changed] == [b".B"]
    assert renamed.gone == []


def test_another_directory_of_the_same_name_is_the_same_folder() -> None:
    """As after a tree was copied back from elsewhere."""
    before, copied = after({b".A": 1}, {b".A": 2})

    assert copied.folders[b".A"].item == before.folders[b".A"].item


def test_a_directory_of_the_same_number_that_was_born_later_is_another_folder() -> None:
    before = plan({b".A": 1})
    later = {**seen({}), b".B": Directory(1, 8, 0)}

    second = plan_folders(before.folders.values(), later)

    assert [folder.name for folder in second.gone] == [b".A"]
    assert second.folders[b".B"].item != before.folders[b".A"].item


def test_folders_that_exchange_their_names_stay_what_they_are() -> None:
    before, after_swap = after({b".A": 1, b".B": 2}, {b".A": 2, b".B": 1})

    assert after_swap.folders[b".A"].item == before.folders[b".B"].item
    assert after_swap.folders[b".B"].item == before.folders[b".A"].item


def test_a_new_folder_under_the_name_of_one_that_was_renamed_is_new() -> None:
    before, second = after({b".A": 1}, {b".A": 2, b".B": 1})

    assert second.folders[b".B"].item == before.folders[b".A"].item
    assert second.folders[b".A"].item != before.folders[b".A"].item


def test_a_folder_whose_directory_went_stays_while_there_are_folders_below() -> None:
    before, second = after({b".A": 1, b".A.x": 2}, {b".A.x": 2})

    assert second.folders[b".A"].item == before.folders[b".A"].item
    assert second.folders[b".A"].inode is None
    assert [folder.name for folder in second.changed] == [b".A"]


def test_one_that_is_gone_and_not_yet_said_to_be_does_not_hide_the_one_that_took_its_name() -> None:
    first = plan({b".A": 1, b".B": 2})
    remembered = [*first.folders.values(), Folder("f0", b".A", None, 9, 7)]

    second = plan({b".A": 1, b".B": 2}, remembered)

    assert [folder.item for folder in second.gone] == ["f0"]
    assert second.changed == []


@given(TREES, TREES)
def test_any_change_gives_each_folder_one_item_and_goes_in_an_order_that_can_be_followed(
    first: dict[bytes, int], second: dict[bytes, int]
) -> None:
    before, now = after(first, second)
    items = [folder.item for folder in now.folders.values()]
    implied = {ROOT, *second}
    for name in second:
        above = parent_of(name)
        while above:
            implied.add(above)
            above = parent_of(above)

    assert set(now.folders) == implied
    assert len(set(items)) == len(items)
    held = {folder.item: folder for folder in before.folders.values()}
    for folder in now.changed:
        assert folder.parent is None or folder.parent in held
        held[folder.item] = folder
    for folder in now.gone:
        assert folder.item not in {other.parent for other in held.values()}
        del held[folder.item]
    assert {folder.name: folder for folder in held.values()} == now.folders
