"""Events of every kind, as hypothesis draws them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from streambackup.domain.digest import digest_name
from streambackup.domain.entry import NEVER_SEEN, ItemType
from streambackup.domain.transaction import Position, TransactionId
from streambackup.events.blob import BlobEvent, Chunk, Reference
from streambackup.events.mailbox import (
    SCHEMA,
    STATE_DEPTH_MAX,
    AccountDelete,
    Delete,
    EmptyFolder,
    FolderDelete,
    MailboxEvent,
    Marker,
    MarkerKind,
    Put,
)

_HEX = "0123456789abcdef"

texts = st.text(max_size=20)
ids = st.text(min_size=1, max_size=30)
counts = st.integers(0, 2**53)
generations = st.text(_HEX, min_size=16, max_size=16)
sources = st.from_regex(r"[A-Za-z0-9._@-]{1,64}", fullmatch=True)
incarnations = st.text(_HEX, min_size=8, max_size=32)
digests = st.binary(min_size=32, max_size=32).map(digest_name)
positions = st.builds(Position, generations, st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1))
transaction_ids = st.builds(TransactionId, sources, incarnations, st.integers(0, 2**53))
scalars = (
    texts
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.none()
)


def values(depth: int) -> st.SearchStrategy[Any]:
    """What JSON can hold, nested at most *depth* deep."""
    if depth == 0:
        return scalars
    inner = st.deferred(lambda: values(depth - 1))
    return (
        scalars
        | st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    )


states = st.dictionaries(st.text(max_size=8), values(STATE_DEPTH_MAX - 1), max_size=4)

_shared = {"schema": st.just(SCHEMA), "generation": st.none() | generations}
_transaction = _shared | {
    "account": ids,
    "source": sources,
    "incarnation": incarnations,
    "sequence": st.integers(1, 2**53),
    "time_ms": counts,
    "change": st.none() | counts,
}
_after = st.none() | st.just(NEVER_SEEN) | transaction_ids

puts = st.builds(
    Put,
    **_transaction,
    item=ids,
    type=st.sampled_from(ItemType),
    state=states,
    digest=st.none() | digests,
    size=st.none() | counts,
    content=st.none() | positions,
    after=_after,
)
mailbox_events: st.SearchStrategy[MailboxEvent] = st.one_of(
    puts,
    st.builds(Delete, **_transaction, item=ids, after=_after),
    st.builds(EmptyFolder, **_transaction, folder=ids, recursive=st.booleans()),
    st.builds(FolderDelete, **_transaction, folder=ids),
    st.builds(AccountDelete, **_transaction, after=_after),
    st.builds(
        Marker,
        **_shared,
        kind=st.sampled_from(MarkerKind),
        time_ms=counts,
        account=st.none() | ids,
        id=st.text(max_size=128),
    ),
)
blob_events: st.SearchStrategy[BlobEvent] = st.one_of(
    st.builds(
        Chunk,
        **_shared,
        digest=digests,
        upload=st.text(min_size=1, max_size=64),
        offset=counts,
        total=st.integers(0, 2**40),
        data=st.binary(max_size=300),
    ),
    st.builds(Reference, **_shared, digest=digests, size=counts),
)
