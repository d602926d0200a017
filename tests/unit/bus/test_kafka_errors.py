"""Every error of aiokafka has an error of ours."""

from __future__ import annotations

import inspect

import pytest
from aiokafka import errors as kafka

from streambackup.bus.kafka.errors import kafka_errors, translated
from streambackup.errors import BusError, PositionLostError, TopicError

ALL = [
    error
    for _, error in inspect.getmembers(kafka, inspect.isclass)
    if issubclass(error, Exception) and error.__module__ == kafka.__name__
]
TOPIC: dict[type[BaseException], str] = {
    kafka.MessageSizeTooLargeError: "larger than the topic takes",
    kafka.RecordTooLargeError: "larger than the topic takes",
    kafka.RecordListTooLargeError: "larger than the topic takes",
    kafka.UnknownTopicOrPartitionError: "does not exist",
    kafka.InvalidTopicError: "does not exist",
    kafka.InvalidPartitionsError: "refuses the topic",
    kafka.InvalidReplicationFactorError: "refuses the topic",
    kafka.InvalidReplicationAssignmentError: "refuses the topic",
    kafka.InvalidConfigurationError: "refuses the topic",
    kafka.PolicyViolationError: "refuses the topic",
    kafka.TopicAlreadyExistsError: "refuses the topic",
}
BUS: dict[type[BaseException], str] = {
    kafka.KafkaConnectionError: "cannot be reached",
    kafka.KafkaTimeoutError: "cannot be reached",
    kafka.NodeNotReadyError: "cannot be reached",
    kafka.RequestTimedOutError: "cannot be reached",
    TimeoutError: "cannot be reached",
    ConnectionRefusedError: "cannot be reached",
    kafka.TopicAuthorizationFailedError: "does not allow",
    kafka.GroupAuthorizationFailedError: "does not allow",
    kafka.ClusterAuthorizationFailedError: "does not allow",
    kafka.SaslAuthenticationFailed: "does not know us",
    kafka.AuthenticationFailedError: "does not know us",
    kafka.NotEnoughReplicasError: "too few replicas",
    kafka.NotEnoughReplicasAfterAppendError: "too few replicas",
    kafka.InvalidTimestampError: "refuses our time",
    kafka.ConsumerStoppedError: "closed",
    kafka.ProducerClosed: "closed",
    kafka.CommitFailedError: "to another worker",
    kafka.IllegalStateError: "to another worker",
    kafka.OutOfOrderSequenceNumber: "Kafka failed",
    kafka.IllegalOperation: "Kafka failed",
}


@pytest.mark.parametrize("cause", ALL, ids=lambda cause: cause.__name__)
def test_none_is_left_untranslated(cause: type[Exception]) -> None:
    with pytest.raises(BusError) as caught, kafka_errors("publishing"):
        raise cause
    assert caught.value.message.startswith("publishing: ")
    assert "\n" not in caught.value.message
    assert isinstance(caught.value.__cause__, cause)


@pytest.mark.parametrize("cause", [*TOPIC, *BUS], ids=lambda cause: cause.__name__)
def test_each_kind_says_what_it_is(cause: type[BaseException]) -> None:
    error = translated(cause("details"), "publishing")
    assert type(error) is (TopicError if cause in TOPIC else BusError)
    assert (TOPIC | BUS)[cause] in error.message
    assert "details" in error.message


def test_ours_pass_as_they_are() -> None:
    ours = PositionLostError("t", 0, 1, begin=2, end=3)
    with pytest.raises(PositionLostError) as caught, kafka_errors("reading"):
        raise ours
    assert caught.value is ours


def test_our_bugs_pass_as_they_are() -> None:
    with pytest.raises(AssertionError), kafka_errors("reading"):
        raise AssertionError
