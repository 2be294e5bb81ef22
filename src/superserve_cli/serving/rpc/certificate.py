import grpc


class Certificate:
    """A server's certificate (with those between it and its authority) and its key, in PEM, which may be replaced while it serves.

    With `client_ca` only clients of that authority may ask (mutual TLS). What the bytes hold is not checked here.
    """

    def __init__(self, chain: bytes, key: bytes, client_ca: bytes | None = None) -> None:
        self._client_ca = client_ca
        self.replace(chain, key)

    def replace(self, chain: bytes, key: bytes) -> None:
        """Show another one to those who connect from now on."""
        self._shown = grpc.ssl_server_certificate_configuration([(key, chain)], self._client_ca)

    def credentials(self) -> grpc.ServerCredentials:
        """For a port of a server."""
        return grpc.dynamic_ssl_server_credentials(self._shown, lambda: self._shown, self._client_ca is not None)
