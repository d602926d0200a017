"""The bus on Apache Kafka, through aiokafka. Nothing outside this package imports aiokafka."""

from streambackup.bus.kafka.bus import KafkaBus
from streambackup.bus.kafka.connection import KafkaSettings

__all__ = ["KafkaBus", "KafkaSettings"]
