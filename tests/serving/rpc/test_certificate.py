"""TLS as a client sees it, with an authority of its own."""

import asyncio

import grpc
import grpc.aio
import trustme

from superserve_cli.serving.desk import Desk
from superserve_cli.serving.metrics import Metrics
from superserve_cli.serving.rpc.certificate import Certificate
from superserve_cli.serving.rpc.messages import METHODS
from superserve_cli.serving.rpc.server import Rpc


def parts(authority: trustme.CA) -> tuple[bytes, bytes]:
    """A certificate for this machine and its key."""
    issued = authority.issue_cert("localhost")
    return b"".join(blob.bytes() for blob in issued.cert_chain_pems), issued.private_key_pem.bytes()


def pem(authority: trustme.CA) -> bytes:
    found: bytes = authority.cert_pem.bytes()
    return found


async def live(port: int, authority: trustme.CA, chain: bytes | None = None, key: bytes | None = None) -> bool:
    """Whether a client that trusts an authority gets an answer."""
    method = METHODS["ServerLive"]
    async with grpc.aio.secure_channel(f"localhost:{port}", grpc.ssl_channel_credentials(pem(authority), key, chain)) as channel:
        call = channel.unary_unary(method.path, method.request.SerializeToString, method.response.FromString)
        try:
            return bool((await call(method.request(), timeout=20)).live)
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
            return False


def test_clients_trust_the_certificate_that_is_shown_when_they_connect() -> None:
    old, new = trustme.CA(), trustme.CA()

    async def talk() -> None:
        certificate = Certificate(*parts(old))
        rpc = Rpc(Desk(Metrics()), 10, 10, credentials=certificate.credentials())
        port = await rpc.listen("localhost", 0)
        assert (await live(port, old), await live(port, new)) == (True, False)
        certificate.replace(*parts(new))
        assert (await live(port, old), await live(port, new)) == (False, True)
        await rpc.stop()

    asyncio.run(talk())


def test_with_an_authority_for_clients_only_its_own_are_answered() -> None:
    servers, clients = trustme.CA(), trustme.CA()

    async def talk() -> None:
        rpc = Rpc(Desk(Metrics()), 10, 10, credentials=Certificate(*parts(servers), pem(clients)).credentials())
        port = await rpc.listen("localhost", 0)
        assert await live(port, servers, *parts(clients))
        assert not await live(port, servers, *parts(servers))
        assert not await live(port, servers)
        await rpc.stop()

    asyncio.run(talk())
