"""The closed list of metrics."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from streambackup.runtime.metrics import Metrics


def test_what_was_counted_is_exposed() -> None:
    metrics = Metrics()
    metrics.records.labels("mailbox.transactions").inc(3)
    metrics.position.labels("mailbox.transactions", "0").set(42)
    families = {f.name: f for f in text_string_to_metric_families(metrics.exposition().decode())}
    assert families["streambackup_records"].samples[0].value == 3
    assert families["streambackup_durable_position"].samples[0].value == 42


def test_two_processes_in_one_do_not_share_values() -> None:
    one, other = Metrics(), Metrics()
    one.entries.inc()
    assert one.exposition() != other.exposition()
