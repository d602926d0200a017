"""Every setting, with its meaning, unit and default: the closed list behind docs/settings.md.

``settings_loading.py`` fills this tree from a file, the environment and flags. What decides which
states are recorded (the moment, the ignored attributes) is not here: ``init`` fixes it in the
store.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from streambackup.runtime.redaction import Secret


def default_store_path() -> Path:
    """Where a store lives unless told otherwise: of the machine for root, of the user else."""
    if os.geteuid() == 0:
        return Path("/var/lib/streambackup")
    return Path("~/.local/share/streambackup/backup").expanduser()


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the settings file."""


class StoreSettings(Section, frozen=True):
    """The backup path and what lies beside it."""

    path: Annotated[
        Path,
        Meta(
            description="Directory of the store. Default: `/var/lib/streambackup` for root, "
            "`~/.local/share/streambackup/backup` for others."
        ),
    ] = msgspec.field(default_factory=default_store_path)
    state_path: Annotated[
        Path | None,
        Meta(
            description="Directory of this node's caches and queues. "
            "Default: `state/<node id>` in `store.path`."
        ),
    ] = None
    audit_path: Annotated[
        Path | None,
        Meta(
            description="File that says who read or restored what. "
            "Default: `audit.jsonl` in `store.path`."
        ),
    ] = None


class KafkaTlsSettings(Section, frozen=True):
    """Encryption on the way to the brokers. Their certificates are always verified."""

    enabled: Annotated[bool, Meta(description="Encrypt, and verify who the brokers are.")] = False
    ca_file: Annotated[
        Path | None,
        Meta(
            description="Certificates of the authorities that sign the brokers', PEM. "
            "Default: those that this machine trusts."
        ),
    ] = None
    check_host_name: Annotated[
        bool, Meta(description="A broker's certificate must be for the name we know it by.")
    ] = True
    certificate_file: Annotated[
        Path | None,
        Meta(description="Our own certificate, with its chain and perhaps its key, PEM."),
    ] = None
    key_file: Annotated[
        Path | None,
        Meta(
            description="Key of our certificate, PEM, readable to nobody else. "
            "Default: `certificate_file`."
        ),
    ] = None
    key_password_file: Annotated[
        Path | None, Meta(description="File with the password of the key, if it has one.")
    ] = None
    key_password: Annotated[
        Secret | None,
        Meta(description="The password itself; taken from the environment only."),
    ] = None


class KafkaSaslSettings(Section, frozen=True):
    """Who we are to the brokers, by name and password."""

    mechanism: Annotated[
        Literal["none", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"],
        Meta(description="How we prove it; `PLAIN` needs `bus.kafka.tls.enabled`."),
    ] = "none"
    user: Annotated[str | None, Meta(description="Our name.")] = None
    password_file: Annotated[
        Path | None, Meta(description="File with the password, readable to nobody else.")
    ] = None
    password: Annotated[
        Secret | None,
        Meta(description="The password itself; taken from the environment only."),
    ] = None


class KafkaSettings(Section, frozen=True):
    """Read only where `bus.kind` is `kafka`."""

    bootstrap_servers: Annotated[
        str, Meta(description="Brokers to ask first, `host:port`, comma-separated.", min_length=1)
    ] = "127.0.0.1:9092"
    client_id: Annotated[
        str, Meta(description="Name shown in the broker's logs and metrics.", min_length=1)
    ] = "streambackup"
    compression: Annotated[
        Literal["none", "gzip", "lz4", "snappy", "zstd"],
        Meta(description="How batches are compressed on their way to the broker."),
    ] = "zstd"
    tls: KafkaTlsSettings = KafkaTlsSettings()
    sasl: KafkaSaslSettings = KafkaSaslSettings()
    session_timeout_ms: Annotated[
        int,
        Meta(
            description="Milliseconds without a sign of life after which a worker's partitions are "
            "given to others. The brokers limit it (`group.min.session.timeout.ms`).",
            ge=1_000,
        ),
    ] = 10_000
    heartbeat_interval_ms: Annotated[
        int,
        Meta(
            description="Milliseconds between a worker's signs of life: a third of the session "
            "time-out or less.",
            ge=100,
        ),
    ] = 3_000
    rebalance_timeout_ms: Annotated[
        int,
        Meta(
            description="Milliseconds that the group waits for a worker to give its partitions "
            "back: more than `worker.revoke_limit_s`, else two own a partition for a while.",
            ge=1_000,
        ),
    ] = 30_000


class BusSettings(Section, frozen=True):
    """Where transactions and content travel."""

    kind: Annotated[
        Literal["embedded", "kafka"],
        Meta(description="`embedded` needs nothing installed and serves one host."),
    ] = "embedded"
    headroom_warning_hours: Annotated[
        float,
        Meta(
            description="Alarm where the bus may drop a record that is not recorded yet within so "
            "many hours.",
            ge=0,
        ),
    ] = 48.0
    kafka: KafkaSettings = KafkaSettings()


class WorkerSettings(Section, frozen=True):
    """How account and blob workers read and write."""

    batch_records_max: Annotated[
        int, Meta(description="Records taken from the bus at once, at most.", ge=1, le=1_000_000)
    ] = 5_000
    fetch_wait_ms: Annotated[
        int, Meta(description="Milliseconds to wait for records before looking again.", ge=1)
    ] = 100
    revoke_limit_s: Annotated[
        float,
        Meta(
            description="Seconds to finish what is being made durable when partitions are taken "
            "away; what takes longer is left to their next worker.",
            ge=0,
        ),
    ] = 10.0
    threads: Annotated[
        int,
        Meta(
            description="Partitions of transactions that are made durable at the same time, each "
            "by a thread. One whose disk is slow keeps its thread; the others go on.",
            ge=1,
            le=256,
        ),
    ] = 4
    stuck_limit_s: Annotated[
        float,
        Meta(
            description="Seconds that a consumer may stand still while there is work. Then it is "
            "made anew, and if that stands still as well the service ends with exit code 22.",
            ge=1,
        ),
    ] = 60.0
    segment_bytes: Annotated[
        int, Meta(description="Bytes after which a journal segment is sealed.", ge=65_536)
    ] = 64 * 1024 * 1024
    segment_age_s: Annotated[
        int, Meta(description="Seconds after which a journal segment is sealed.", ge=1)
    ] = 60
    segment_retention_s: Annotated[
        int,
        Meta(description="Seconds that a segment filed into account logs is still kept.", ge=0),
    ] = 86_400


class BlobSettings(Section, frozen=True):
    """How content is stored."""

    compression: Annotated[
        Literal["gzip", "zstd", "none"],
        Meta(description="Form of new blobs; old ones stay readable whatever it is."),
    ] = "gzip"
    compression_level: Annotated[
        int,
        Meta(
            description="From 0 (stored as it is) to 9 (smallest). For gzip, 1 to 3 are ten times "
            "as fast as the others, which save 2 % more.",
            ge=0,
            le=9,
        ),
    ] = 1
    threads: Annotated[
        int, Meta(description="Threads that hash, compress and write content.", ge=1, le=256)
    ] = 2
    upload_give_up_bytes: Annotated[
        int,
        Meta(
            description="Bytes of a partition that may follow an unfinished upload before it is "
            "given up.",
            ge=1_048_576,
        ),
    ] = 64 * 1024 * 1024


class MaildirSettings(Section, frozen=True):
    """One Maildir++ tree to watch."""

    path: Annotated[Path, Meta(description="Directory that holds `cur`, `new` and `tmp`.")]
    account: Annotated[
        str, Meta(description="Id of the account it belongs to.", min_length=1, max_length=1024)
    ]


class SourceSettings(Section, frozen=True):
    """What is watched."""

    maildir: Annotated[
        list[MaildirSettings], Meta(description="Maildir++ trees, each with its account.")
    ] = []


class HttpSettings(Section, frozen=True):
    """Health and metrics for the machine's own monitoring."""

    listen: Annotated[
        str,
        Meta(description="Address and port; `0` switches it off.", pattern=r"^(0|.+:\d{1,5})$"),
    ] = "127.0.0.1:9464"
    allow_remote: Annotated[
        bool, Meta(description="Allow an address that other machines reach; nothing is encrypted.")
    ] = False


class ShutdownSettings(Section, frozen=True):
    """How the service ends."""

    drain_s: Annotated[
        float,
        Meta(
            description="Seconds to finish what was begun after SIGTERM; exit code 20 if too few.",
            ge=0,
        ),
    ] = 10.0


class DiskSettings(Section, frozen=True):
    """When the disk counts as nearly full."""

    free_warning_mb: Annotated[
        int, Meta(description="Megabytes (10^6) free below which `status` warns.", ge=0)
    ] = 1_000


class LogSettings(Section, frozen=True):
    """What the service writes to standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least that is written.")
    ] = "info"
    format: Annotated[
        Literal["auto", "text", "json"],
        Meta(description="`auto` is text on a terminal and JSON elsewhere."),
    ] = "auto"


class Settings(Section, frozen=True):
    """The whole tree."""

    store: StoreSettings = msgspec.field(default_factory=StoreSettings)
    bus: BusSettings = BusSettings()
    worker: WorkerSettings = WorkerSettings()
    blobs: BlobSettings = BlobSettings()
    sources: SourceSettings = msgspec.field(default_factory=SourceSettings)
    http: HttpSettings = HttpSettings()
    shutdown: ShutdownSettings = ShutdownSettings()
    disk: DiskSettings = DiskSettings()
    log: LogSettings = LogSettings()
