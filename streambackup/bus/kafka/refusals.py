"""Why a broker and we do not trust each other, in one line with its cure."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

from aiokafka import errors as kafka

from streambackup.errors import AccessError

_CLOCK = "Renew it on the broker; or else the clock of this machine is wrong."
_USER = "Check bus.kafka.sasl: user, mechanism, and what is in password_file."
_NOT_ENTERED = (
    kafka.AuthenticationFailedError,
    kafka.SaslAuthenticationFailed,
    kafka.IllegalSaslStateError,
)


def refusal(error: BaseException, host: str) -> AccessError | None:
    """What *error* of a connection to *host* says about trust; None where it is of another kind."""
    for cause in _chain(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _not_trusted(cause, host)
        if isinstance(cause, ssl.SSLError):
            return _failed_handshake(cause, host)
        if isinstance(cause, kafka.UnsupportedSaslMechanismError):
            return AccessError(
                f"broker {host} does not take bus.kafka.sasl.mechanism",
                hint="Choose one of its sasl.enabled.mechanisms.",
            )
        if isinstance(cause, _NOT_ENTERED):
            return AccessError(f"broker {host} does not accept our user or password", hint=_USER)
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def _not_trusted(error: ssl.SSLCertVerificationError, host: str) -> AccessError:
    says = error.verify_message
    certificate = f"the certificate of broker {host}"
    if "expired" in says:
        return AccessError(f"{certificate} has expired", hint=_CLOCK)
    if "not yet valid" in says:
        return AccessError(f"{certificate} is not yet valid", hint=_CLOCK)
    if "mismatch" in says:
        return AccessError(
            f"{certificate} is for another name: {says.rstrip('.')}",
            hint="Name the brokers in bus.kafka.bootstrap_servers, and in their own "
            "advertised.listeners, as their certificates do.",
        )
    return AccessError(
        f"{certificate} is of no authority that we trust: {says}",
        hint="bus.kafka.tls.ca_file must hold the certificate of the authority that signed it.",
    )


def _failed_handshake(error: ssl.SSLError, host: str) -> AccessError:
    reason = (error.reason or "TLS failed").replace("_", " ").lower()
    if "alert" in reason or "certificate required" in reason:
        return AccessError(
            f"broker {host} refuses our certificate, or that we have none: {reason}",
            hint="bus.kafka.tls.certificate_file must be in date, and signed by an authority that "
            "the brokers trust.",
        )
    return AccessError(
        f"broker {host} and we have no TLS in common: {reason}",
        hint="Check that bus.kafka.bootstrap_servers names a port of the brokers that has TLS.",
    )
