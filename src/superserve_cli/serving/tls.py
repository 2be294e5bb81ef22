"""TLS for the server: a certificate and its key, and perhaps an authority whose clients alone may ask."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from superserve_cli.errors import BadFile

HANDSHAKE_S: Final = 10.0
"""How long a client may take to agree."""
ROUNDS: Final = 4
"""Within which two ends in one process agree, or never will."""


@dataclass(frozen=True)
class Tls:
    """PEM files: a certificate (with those between it and its authority), its key, and the authority of clients (mutual TLS)."""

    cert: Path
    key: Path
    client_ca: Path | None = None

    def context(self) -> ssl.SSLContext:
        """For a listening socket; raises BadFile for what no client would accept: the key of another certificate, one out of date."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        self.load_into(context)
        if self.client_ca is not None:
            _trust(context, self.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def pem(self) -> tuple[bytes, bytes, bytes | None]:
        """(certificate, key, authority of clients) as they stand in the files; raises BadFile."""
        return _read(self.cert), _read(self.key), None if self.client_ca is None else _read(self.client_ca)

    def load_into(self, context: ssl.SSLContext) -> float:
        """Take the certificate as it is now for connections from now on; until when it is good, in seconds since 1970.

        Raises BadFile, and then nothing has changed.
        """
        fresh = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._load_chain(fresh)
        expires_s = self._good_until(fresh)
        self._load_chain(context)
        return expires_s

    def _load_chain(self, context: ssl.SSLContext) -> None:
        _trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), self.cert)
        key = _read(self.key)
        if b"PRIVATE KEY-----" not in key:
            raise BadFile(f"{self.key} holds no private key in PEM form", hint="it begins with -----BEGIN PRIVATE KEY-----")
        try:
            context.load_cert_chain(self.cert, self.key, password=lambda: "")  # else OpenSSL would ask for one at the terminal
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise BadFile(f"{self.key} is not the key of {self.cert}", hint="name the key that the certificate was made for") from error
            why = "it has a password" if b"ENCRYPTED" in key else f"{error.reason or 'it is damaged'}".replace("_", " ").lower()
            raise BadFile(f"cannot use {self.key} with {self.cert}: {why}", hint="name a whole key without a password") from error

    def _good_until(self, server: ssl.SSLContext) -> float:
        """Talk to oneself, as a client that trusts this certificate: it would say what is wrong with it."""
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        _trust(client, self.cert)
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        ends = asking, _ = client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)
        for end in ends * ROUNDS:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                raise BadFile(f"no client would accept {self.cert}: {error.verify_message}", hint="renew it") from error
        said = asking.getpeercert() or {}
        return float(ssl.cert_time_to_seconds(str(said["notAfter"])))


def _trust(context: ssl.SSLContext, path: Path) -> None:
    text = _read(path)
    try:
        context.load_verify_locations(cadata=text.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError, ValueError) as error:
        raise BadFile(f"{path} holds no certificate in PEM form", hint="it begins with -----BEGIN CERTIFICATE-----") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadFile(f"cannot read {path}: {error.strerror}", hint="name a PEM file") from error
