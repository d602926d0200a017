"""What aiokafka raises, in our words."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from aiokafka import errors as kafka

from streambackup.errors import BusError, StreamBackupError, TopicError

_TOO_LARGE = (
    kafka.MessageSizeTooLargeError,
    kafka.RecordTooLargeError,
    kafka.RecordListTooLargeError,
)
_NO_SUCH_TOPIC = (kafka.UnknownTopicOrPartitionError, kafka.InvalidTopicError)
_REFUSED_TOPIC = (
    kafka.InvalidPartitionsError,
    kafka.InvalidReplicationFactorError,
    kafka.InvalidReplicationAssignmentError,
    kafka.InvalidConfigurationError,
    kafka.PolicyViolationError,
    kafka.TopicAlreadyExistsError,
)
_FORBIDDEN = (
    kafka.TopicAuthorizationFailedError,
    kafka.GroupAuthorizationFailedError,
    kafka.ClusterAuthorizationFailedError,
    kafka.TransactionalIdAuthorizationFailed,
    kafka.DelegationTokenAuthorizationFailed,
)
_NOT_KNOWN = (
    kafka.AuthenticationFailedError,
    kafka.AuthenticationMethodNotSupported,
    kafka.SaslAuthenticationFailed,
    kafka.UnsupportedSaslMechanismError,
    kafka.IllegalSaslStateError,
    kafka.SecurityDisabled,
)
_AWAY = (
    kafka.KafkaConnectionError,
    kafka.KafkaTimeoutError,
    kafka.KafkaUnavailableError,
    kafka.NoBrokersAvailable,
    kafka.NodeNotReadyError,
    kafka.MetadataEmptyBrokerList,
    kafka.RequestTimedOutError,
    kafka.BrokerNotAvailableError,
    TimeoutError,
    OSError,
)
_FEW_REPLICAS = (kafka.NotEnoughReplicasError, kafka.NotEnoughReplicasAfterAppendError)
_TAKEN_AWAY = (kafka.CommitFailedError, kafka.IllegalStateError)
_CLOSED = (kafka.ConsumerStoppedError, kafka.ProducerClosed)


class _Answer(NamedTuple):
    causes: tuple[type[BaseException], ...]
    error: type[BusError]
    says: str
    hint: str | None


_ANSWERS = (
    _Answer(
        _TOO_LARGE,
        TopicError,
        "a record is larger than the topic takes",
        "Raise max.message.bytes of the topic.",
    ),
    _Answer(
        _NO_SUCH_TOPIC, TopicError, "a topic does not exist", "Create it: streambackup topic create"
    ),
    _Answer(_REFUSED_TOPIC, TopicError, "the cluster refuses the topic", None),
    _Answer(
        _FORBIDDEN,
        BusError,
        "the cluster does not allow it",
        "Give the service's user the right on these topics and groups.",
    ),
    _Answer(
        _NOT_KNOWN, BusError, "the cluster does not know us", "Check the credentials of bus.kafka."
    ),
    _Answer(
        _FEW_REPLICAS,
        BusError,
        "too few replicas are in sync",
        "Work resumes when the missing brokers are back.",
    ),
    _Answer(
        (kafka.InvalidTimestampError,),
        BusError,
        "the cluster refuses our time",
        "Set the clock of this machine.",
    ),
    _Answer(
        _TAKEN_AWAY,
        BusError,
        "the group gave a partition to another worker",
        "This one joins the group again by itself.",
    ),
    _Answer(_CLOSED, BusError, "it is closed", None),
    _Answer(
        _AWAY,
        BusError,
        "the brokers cannot be reached",
        "Check bus.kafka.bootstrap_servers and that the brokers run; work resumes by itself.",
    ),
    _Answer((kafka.KafkaError, kafka.IllegalOperation), BusError, "Kafka failed", None),
)


@contextlib.contextmanager
def kafka_errors(doing: str) -> Iterator[None]:
    """Turn everything that aiokafka raises while *doing* something into BusError or TopicError."""
    try:
        yield
    except StreamBackupError:
        raise
    except _ANY as error:
        raise translated(error, doing) from error


def translated(error: BaseException, doing: str) -> BusError:
    """The error of ours for one of aiokafka's."""
    answer = next(answer for answer in _ANSWERS if isinstance(error, answer.causes))
    detail = " ".join(" ".join(map(str, error.args)).split()) or type(error).__name__
    return answer.error(f"{doing}: {answer.says} ({detail})", hint=answer.hint)


_ANY = tuple(cause for answer in _ANSWERS for cause in answer.causes)
