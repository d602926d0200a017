"""The closed list of metrics. docs/metrics.md is made from it by ``scripts/reference``.

Labels are few and bounded: topics, partitions, roles and classes, never accounts. A child with its
labels (``metrics.records.labels(...)``) costs a lookup, so hot paths fetch theirs once.
"""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

disable_created_metrics()  # type: ignore[no-untyped-call]

PREFIX = "streambackup_"
DELAYS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 600, 3600)


class Metrics:
    """Every metric of one process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._stream()
        self._set_aside()
        self._filing()
        self._blobs()
        self._sources()
        self._process()

    def _stream(self) -> None:
        place = ("topic", "partition")
        self.records = self._counter("records", "Records read from the bus.", ("topic",))
        self.batches = self._counter("batches", "Batches made durable.", ("topic",))
        self.lag = self._gauge("lag_records", "Records on the bus not yet durable here.", place)
        self.headroom = self._gauge(
            "headroom_hours",
            "Hours until the bus may drop a record that is not durable here; +Inf is never.",
            place,
        )
        self.headroom_alarms = self._counter(
            "headroom_alarms",
            "Times that a partition came below bus.headroom_warning_hours.",
            ("topic",),
        )
        self.position = self._gauge(
            "durable_position", "Offset of the next record to read, as durable here.", place
        )
        self.last_transaction = self._gauge(
            "last_durable_transaction_timestamp_seconds",
            "Publish time of the newest durable transaction, in seconds since 1970 (UTC).",
        )
        self.consumers_rebuilt = self._counter(
            "consumers_rebuilt", "Consumers that stood still and were made anew.", ("topic",)
        )
        self.durable_delay = Histogram(
            PREFIX + "durable_delay_seconds",
            "Seconds from publication to being durable here, of each batch's first transaction.",
            buckets=DELAYS_S,
            registry=self.registry,
        )

    def _set_aside(self) -> None:
        self.quarantined = self._counter(
            "quarantined_records", "Records that could not be used and were kept aside.", ("topic",)
        )
        self.stopped = self._gauge(
            "stopped_partitions", "Partitions of which nothing can be made durable now.", ("topic",)
        )
        self.gaps = self._counter(
            "gaps", "Gaps recorded: records gone from the bus before they were read.", ("topic",)
        )
        self.notices = self._counter("notices", "Notices of records set aside that were published.")
        self.notices_waiting = self._gauge(
            "notices_waiting", "Notices found and not yet published: a batch of them at most."
        )

    def _filing(self) -> None:
        self.entries = self._counter("entries", "Lines filed into account and partition logs.")
        self.coalesced = self._counter(
            "coalesced_transactions", "Transactions filed in one line with a later one."
        )
        self.segments_filed = self._counter(
            "segments_filed", "Journal segments filed into account logs."
        )
        self.compacted = self._counter(
            "accounts_compacted", "Times that an account's log files were merged into one."
        )

    def _blobs(self) -> None:
        self.blobs_stored = self._counter("blobs_stored", "Blobs stored for the first time.")
        self.blobs_met = self._counter("blobs_met", "Blobs that came again and were stored before.")
        self.blob_bytes_received = self._counter(
            "blob_received_bytes", "Bytes of the blobs stored, as they were received."
        )
        self.blob_bytes_stored = self._counter(
            "blob_stored_bytes", "Bytes of the blobs stored, as they lie in the volume."
        )
        self.pending_uploads = self._gauge(
            "pending_uploads", "Uploads whose chunks have not all arrived."
        )

    def _sources(self) -> None:
        self.observations = self._counter(
            "source_observations", "Changes that a source saw.", ("source",)
        )
        self.outbox_queue = self._gauge(
            "outbox_queue_transactions",
            "Transactions safe in a source's outbox and not yet on the bus.",
            ("source",),
        )
        self.trees_away = self._gauge(
            "source_trees_away", "Trees that a source watches and cannot read now.", ("source",)
        )

    def _process(self) -> None:
        self.loop_lag = self._gauge(
            "event_loop_lag_seconds",
            "How late the event loop came to a step that was due, at most in this minute and the "
            "last, in seconds.",
        )
        self.loop_late = self._counter(
            "event_loop_late_steps", "Times that it came more than 50 ms late to one."
        )
        self.disk_free = self._gauge(
            "disk_free_bytes", "Bytes free on the file system of the backup path."
        )
        self.errors = self._counter(
            "errors", "Errors that the service survived or ended with.", ("error",)
        )

    def _counter(self, name: str, meaning: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(PREFIX + name, meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(PREFIX + name, meaning, labels, registry=self.registry)

    def exposition(self) -> bytes:
        """All values in Prometheus' text format."""
        return generate_latest(self.registry)
