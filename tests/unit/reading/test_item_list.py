"""Finding items by what people remember of them."""

from __future__ import annotations

from typing import Any

import pytest

from streambackup.domain.history import AccountHistory, ItemHistory, ItemState
from streambackup.domain.transaction import TransactionId
from streambackup.errors import NotFoundError
from streambackup.reading.item_list import ItemFilter, Window, list_items

SEQUENCE = iter(range(1, 1_000_000))


def state(
    begin_ms: int,
    until_ms: int | None,
    kind: str = "message",
    /,
    *,
    deleted: bool = False,
    **fields: object,
) -> ItemState:
    return ItemState(
        start_ms=begin_ms,
        end_ms=until_ms,
        type=kind,
        transactions=(TransactionId("test", "0" * 8, next(SEQUENCE)),),
        state=fields,
        deleted=deleted,
    )


def account(**items: list[ItemState]) -> AccountHistory:
    return AccountHistory(
        account="a",
        items={name: ItemHistory(name, tuple(states)) for name, states in items.items()},
    )


INVOICE: dict[str, Any] = {
    "folder": "7",
    "sender": "Shop <Info@Shop.example>",
    "subject": "Your INVOICE",
}
MAILBOX = account(
    **{
        "1": [state(0, None, "folder", name="Inbox")],
        "7": [state(0, 50, "folder", name="Bills", parent="1"),
              state(50, None, "folder", name="Paid", parent="1")],
    },
    invoice=[state(10, 40, received_ms=10, **INVOICE),
             state(40, None, deleted=True, received_ms=10, **INVOICE)],
    letter=[state(20, None, received_ms=20, folder="1", sender="aunt@home.example", subject="Hi")],
    draft=[state(30, 60, folder="1", subject="hi there"),
           state(60, 70, folder="1", subject="hi there", deleted=True),
           state(70, None, folder="1", subject="hi there")],
    party=[state(35, None, "appointment", folder="1", summary="Party", start_ms=500)],
)  # fmt: skip


def found(**wanted: Any) -> list[str]:
    return [listed.item for listed in list_items(MAILBOX, ItemFilter(**wanted))]


MAIL = frozenset({"message"})


def test_without_a_filter_everything_that_exists_is_listed() -> None:
    assert found() == ["1", "7", "letter", "draft", "party"]


def test_as_it_was_at_an_instant() -> None:
    assert found(at_ms=39) == ["1", "7", "invoice", "letter", "draft", "party"]
    assert found(at_ms=65, types=MAIL) == ["letter"]
    assert found(at_ms=15, types=MAIL) == ["invoice"]


def test_deleted_ones_on_request() -> None:
    assert "invoice" in found(with_deleted=True)


@pytest.mark.parametrize(
    ("window", "items"),
    [
        (Window(40, 41), ["invoice"]),
        (Window(0, 40), []),
        (Window(41, None), ["draft"]),
        (Window(None, None), ["invoice", "draft"]),
    ],
)
def test_deleted_within_a_window_also_what_came_back(window: Window, items: list[str]) -> None:
    assert found(deleted=window) == items


def test_what_was_deleted_says_when_and_looks_as_before() -> None:
    (listed,) = list_items(MAILBOX, ItemFilter(deleted=Window(40, 41)))
    assert (listed.deleted_ms, listed.name) == (40, "Your INVOICE")


def test_texts_are_found_anywhere_in_any_case() -> None:
    assert found(sender="info@shop", with_deleted=True) == ["invoice"]
    assert found(subject="HI") == ["letter", "draft"]
    assert found(subject="part") == ["party"]


def test_dates_are_the_items_own() -> None:
    assert found(dated=Window(15, 25)) == ["letter"]
    assert found(dated=Window(500, None)) == ["party"]


@pytest.mark.parametrize("folder", ["7", "paid", "Inbox/Paid", "/inbox/paid/"])
def test_a_folder_is_an_id_a_name_or_a_path(folder: str) -> None:
    assert found(folder=folder, with_deleted=True) == ["invoice"]


def test_a_folder_has_the_name_it_had_then() -> None:
    assert found(folder="Bills", at_ms=51) == []
    assert found(folder="Bills", at_ms=39) == ["invoice"]
    assert found(folder="Bills", deleted=Window()) == ["invoice"]


def test_states_of_unexpected_shape_do_no_harm() -> None:
    odd = account(x=[state(0, None, subject=3, sender=["a"], folder=7, received_ms="now")])
    (listed,) = list_items(odd, ItemFilter())
    assert (listed.name, listed.sender, listed.folder, listed.date_ms) == ("", None, "", None)
    assert list(list_items(odd, ItemFilter(sender="a"))) == []


@pytest.mark.parametrize(
    ("typo", "meant"), [("Pad", "Paid"), ("inbx", "Inbox"), ("Inbox/Piad/", "Inbox/Paid")]
)
def test_a_folder_that_is_not_there_is_answered_with_the_nearest(typo: str, meant: str) -> None:
    with pytest.raises(NotFoundError, match=f"no folder {typo}") as raised:
        list_items(MAILBOX, ItemFilter(folder=typo))

    assert raised.value.hint == f"Did you mean {meant!r}?"


@pytest.mark.parametrize("folder", ["Paid", "7", "inbox/paid", "/Inbox/Paid", "Bills"])
def test_a_folder_in_which_nothing_is_found_is_no_error(folder: str) -> None:
    assert list(list_items(MAILBOX, ItemFilter(folder=folder, subject="nothing like it"))) == []
