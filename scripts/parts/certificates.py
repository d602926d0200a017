"""A certificate authority of one's own, by openssl: for tests on this machine."""

from __future__ import annotations

from pathlib import Path

from parts.process import require_programs, run

CURVE = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
DAYS = 3650


class Authority:
    """Its key and certificate are ``ca.key`` and ``ca.pem`` in *folder*, as is all it issues."""

    def __init__(self, folder: Path, *, name: str = "streambackup tests") -> None:
        require_programs({"openssl": "openssl"})
        folder.mkdir(mode=0o700, exist_ok=True)
        self.folder = folder
        self.certificate = folder / "ca.pem"
        self._key = folder / "ca.key"
        if not self.certificate.exists():
            _make_key(self._key)
            subject = ["-subj", f"/CN={name}", "-days", str(DAYS)]
            _openssl("req", "-x509", "-key", self._key, "-out", self.certificate, *subject)

    def issue(self, name: str, *, hosts: str = "", days: int = DAYS) -> Path:
        """A key and its certificate for CN *name*, in one file whose name is returned.

        *hosts* as openssl writes them: ``IP:127.0.0.1,DNS:localhost``. It is made once.
        """
        file = self.folder / f"{name}.pem"
        if file.exists():
            return file
        key, request, certificate = (file.with_suffix(s) for s in (".key", ".csr", ".crt"))
        _make_key(key)
        extensions = ["-addext", f"subjectAltName={hosts}"] if hosts else []
        _openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request, *extensions)
        ca: list[str | Path] = [
            "-CA",
            self.certificate,
            "-CAkey",
            self._key,
            "-copy_extensions",
            "copy",
        ]
        _openssl("x509", "-req", "-in", request, *ca, "-days", str(days), "-out", certificate)
        file.touch(mode=0o600)
        file.write_bytes(key.read_bytes() + certificate.read_bytes())
        return file


def encrypt_key(key: Path, encrypted: Path, *, password_file: Path) -> None:
    """Write *key* once more, readable with the password only."""
    protect = ["-aes256", "-passout", f"file:{password_file}"]
    _openssl("pkey", "-in", key, *protect, "-out", encrypted)
    encrypted.chmod(0o600)


def _make_key(file: Path) -> None:
    _openssl("genpkey", *CURVE, "-out", file)
    file.chmod(0o600)


def _openssl(*arguments: str | Path) -> None:
    run(["openssl", *map(str, arguments)])
