import asyncio
import ssl
import subprocess
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from superserve_cli.errors import BadFile
from superserve_cli.serving.tls import Tls


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def pem(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of certificates and keys, good and bad."""
    folder = tmp_path_factory.mktemp("pem")
    now = datetime.now(UTC)
    issued = {
        "good": authority.issue_cert("localhost", not_after=now + timedelta(days=2)),
        "next": authority.issue_cert("localhost", not_after=now + timedelta(days=9)),
        "old": authority.issue_cert("localhost", not_after=now - timedelta(days=1)),
        "early": authority.issue_cert("localhost", not_before=now + timedelta(days=1)),
    }
    for name, cert in issued.items():
        (folder / f"{name}.pem").write_bytes(b"".join(blob.bytes() for blob in cert.cert_chain_pems))
        (folder / f"{name}.key").write_bytes(cert.private_key_pem.bytes())
    (folder / "torn.key").write_text((folder / "good.key").read_text()[:90] + "\n-----END EC PRIVATE KEY-----\n")
    (folder / "torn.pem").write_text((folder / "good.pem").read_text()[:200] + "\n-----END CERTIFICATE-----\n")
    (folder / "text.pem").write_text("hello")
    subprocess.run(
        ["openssl", "pkey", "-in", folder / "good.key", "-aes256", "-passout", "pass:something", "-out", folder / "locked.key"],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.mark.parametrize(
    ("cert", "key", "says"),
    [
        ("missing.pem", "good.key", "cannot read .*missing.pem: No such file"),
        ("good.pem", "missing.key", "cannot read .*missing.key: No such file"),
        ("text.pem", "good.key", "text.pem holds no certificate"),
        ("torn.pem", "good.key", "torn.pem holds no certificate"),
        ("good.key", "good.key", "good.key holds no certificate"),
        ("good.pem", "good.pem", "good.pem holds no private key"),
        ("good.pem", "torn.key", "cannot use .*torn.key"),
        ("good.pem", "locked.key", "it has a password"),
        ("good.pem", "next.key", "next.key is not the key of .*good.pem"),
        ("old.pem", "old.key", "old.pem: certificate has expired"),
        ("early.pem", "early.key", "early.pem: certificate is not yet valid"),
    ],
)
def test_what_no_client_would_accept_is_refused_in_words(pem: Path, cert: str, key: str, says: str) -> None:
    with pytest.raises(BadFile, match=says):
        Tls(pem / cert, pem / key).context()


def test_an_authority_that_holds_none_is_refused(pem: Path) -> None:
    with pytest.raises(BadFile, match=r"text.pem holds no certificate"):
        Tls(pem / "good.pem", pem / "good.key", pem / "text.pem").context()


def test_a_client_without_a_certificate_of_the_authority_is_not_heard(pem: Path, authority: trustme.CA, tmp_path: Path) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    async def asks(client: ssl.SSLContext) -> bytes:
        context = Tls(pem / "good.pem", pem / "good.key", tmp_path / "ca.pem").context()
        async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), ssl=client, server_hostname="localhost")
            try:
                return await reader.read()
            finally:
                writer.close()

    known, unknown = ssl.create_default_context(), ssl.create_default_context()
    for client in (known, unknown):
        authority.configure_trust(client)
    authority.issue_cert("client.example.org").configure_cert(known)
    assert asyncio.run(asks(known)) == b"hello"
    with suppress(ssl.SSLError):  # when the refusal arrives before the end of the connection does
        assert asyncio.run(asks(unknown)) == b""


def test_a_renewed_certificate_is_shown_to_the_next_client_a_bad_one_to_none(pem: Path, authority: trustme.CA, tmp_path: Path) -> None:
    files = Tls(tmp_path / "cert", tmp_path / "key")

    def put(name: str) -> None:
        files.cert.write_bytes((pem / f"{name}.pem").read_bytes())
        files.key.write_bytes((pem / f"{name}.key").read_bytes())

    async def talk() -> None:
        put("good")
        context = files.context()
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
        client = ssl.create_default_context()
        authority.configure_trust(client)

        async def shown() -> float:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), ssl=client, server_hostname="localhost")
            cert = writer.get_extra_info("peercert")
            writer.close()
            await writer.wait_closed()
            return ssl.cert_time_to_seconds(cert["notAfter"])

        async with server:
            first = await shown()
            put("next")
            expires_s = files.load_into(context)
            assert await shown() == expires_s == first + 7 * 86400
            put("old")
            with pytest.raises(BadFile):
                files.load_into(context)
            assert await shown() == expires_s

    asyncio.run(talk())
