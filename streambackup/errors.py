"""Every error a user can meet, with its exit code and its cure.

    StreamBackupError                   1
      UsageError                        2   wrong command line, setting, id, time or file to read
        NotFoundError                   3   no such account, item, folder or transaction
      StoreError                        4   no store there, or it or its audit log cannot be used
        NoStoreError                    4   there is no store
        StoreBusyError                  5   another service works on this path
        NoSpaceError                    6   the disk is full; work resumes when there is space
        BlobMissingError               16   content that a state names is not in the store
        BlobPendingError               17   content is still on its way into the store
        BlobDamagedError               18   content in the store is not what its digest says
      BusError                          7   the bus is away or refuses
        TopicError                      8   a topic is missing or would lose data
        PositionLostError               9   the bus does not hold the position asked for
        AccessError                    21   the brokers are not trusted, or refuse us
      InvalidEventError                10   an event breaks the published contract
      SourceError                      11   the mail store being watched cannot be read
      TargetError                      12   the place restored into cannot be written
        ItemRefusedError               13   the target cannot hold this one item
      IncompleteError                  14   a restore or publish ended, something is missing
      FaultsFoundError                 15   check or compare found faults
      InDoubtError                     19   all that is known is there; it may not be all
      UnfinishedRunError               20   the service ended before what was in hand was finished
      StuckError                       22   the service stood still, and has to be started again
      InterruptedRunError             130   stopped by the user; what was done is consistent

A message is one line for people; ``hint`` names the command or the setting that cures it.
"""

from __future__ import annotations


class StreamBackupError(Exception):
    """Base of all errors whose text is meant for the user."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(StreamBackupError):
    """What was asked cannot be asked that way."""

    exit_code = 2


class NotFoundError(UsageError):
    """The thing named does not exist."""

    exit_code = 3


class StoreError(StreamBackupError):
    """The backup path cannot be used as it is."""

    exit_code = 4


class NoStoreError(StoreError):
    """There is no store in the backup path: none was made, or it is not mounted."""


class StoreBusyError(StoreError):
    """Another process holds what only one may hold."""

    exit_code = 5


class NoSpaceError(StoreError):
    """The file system is full; nothing acknowledged is affected."""

    exit_code = 6


class BlobMissingError(StoreError):
    """The store does not hold the content, and what could have brought it has been read."""

    exit_code = 16


class BlobPendingError(StoreError):
    """The content is not stored yet; the bus may still hold it."""

    exit_code = 17


class BlobDamagedError(StoreError):
    """What is stored under a digest has another one, or cannot be decompressed."""

    exit_code = 18


def newer_release(what: str) -> StoreError:
    """What a reader says of data that passes its check and that it does not understand."""
    return StoreError(f"{what} was written by a newer release", hint="Use that release to read it.")


class BusError(StreamBackupError):
    """The bus did not do what was asked; asking again is safe."""

    exit_code = 7


class TopicError(BusError):
    """A topic is missing or its settings would lose data."""

    exit_code = 8


class PositionLostError(BusError):
    """The offset asked for is not on the bus: below its beginning or beyond its end."""

    exit_code = 9

    def __init__(self, topic: str, partition: int, offset: int, *, begin: int, end: int) -> None:
        super().__init__(
            f"{topic}/{partition} has offsets {begin} to {end}, not {offset}",
            hint="The partition goes on behind a recorded gap; see 'streambackup status'.",
        )
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.begin = begin
        self.end = end


class AccessError(BusError):
    """Certificates, credentials or rights: somebody has to set them right."""

    exit_code = 21


class InvalidEventError(StreamBackupError):
    """An event breaks the contract of docs/events.md."""

    exit_code = 10


class SourceError(StreamBackupError):
    """The mail store cannot be read."""

    exit_code = 11


class TargetError(StreamBackupError):
    """The place restored into cannot be written."""

    exit_code = 12


class ItemRefusedError(TargetError):
    """The target cannot hold this one item; the others go on."""

    exit_code = 13


class IncompleteError(StreamBackupError):
    """The work ended, and something is missing; the report says what."""

    exit_code = 14


class FaultsFoundError(StreamBackupError):
    """A check or a comparison found what must not be."""

    exit_code = 15


class InDoubtError(StreamBackupError):
    """The work is complete as far as the stream tells, and the stream may not tell everything."""

    exit_code = 19


class UnfinishedRunError(StreamBackupError):
    """What was in hand when the service was told to end took too long; the next start does it."""

    exit_code = 20


class StuckError(StreamBackupError):
    """Part of the process stands still, and nothing in it can help; nothing durable is affected."""

    exit_code = 22


class InterruptedRunError(StreamBackupError):
    """The user stopped the work; what was done so far is consistent."""

    exit_code = 130
