"""The provider's process: go-plugin's handshake, gRPC on a Unix socket, and an end in every case.

It ends when terraform does, even by SIGKILL.
"""

from __future__ import annotations

import base64
import datetime
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

from deployments.sandbox.provider.zygote import POLL


def serve(orphaned: Callable[[], bool]) -> None:
    """Serve until terraform asks for the end, or is gone.

    Args:
        orphaned: whether nobody is there any more who asks.
    """
    with tempfile.TemporaryDirectory(prefix="plumbline-provider-") as folder:
        server, servicer, done = _start(f"{folder}/socket")
        while not done.wait(POLL) and not orphaned():
            pass
        servicer.stopping.set()
        done.set()
        server.stop(grace=0.2).wait(1)


def _start(socket: str) -> tuple[Any, Any, threading.Event]:
    import grpc  # noqa: PLC0415  # after the magic cookie was checked: the import is what takes time
    from tf.gen import grpc_controller_pb2_grpc, grpc_stdio_pb2_grpc, tfplugin_pb2_grpc  # noqa: PLC0415

    from deployments.sandbox.provider.openstack import servicer as make_servicer  # noqa: PLC0415

    done = threading.Event()
    servicer = make_servicer()
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    tfplugin_pb2_grpc.add_ProviderServicer_to_server(servicer, server)
    grpc_controller_pb2_grpc.add_GRPCControllerServicer_to_server(_Controller(done), server)
    grpc_stdio_pb2_grpc.add_GRPCStdioServicer_to_server(_Stdio(done), server)
    key, certificate, der = _certificate()
    # No client certificate is asked for: terraform's is on curve P-521, which gRPC's BoringSSL does not accept in a
    # handshake. The socket lies in a folder (0700) that only this user can enter.
    server.add_secure_port(f"unix://{socket}", grpc.ssl_server_credentials([(key, certificate)]))
    server.start()
    encoded = base64.b64encode(der).decode().rstrip("=")
    sys.stdout.write(f"1|6|unix|{socket}|grpc|{encoded}\n")
    sys.stdout.flush()
    return server, servicer, done


class _Controller:
    """go-plugin's request to end."""

    def __init__(self, done: threading.Event) -> None:
        self._done = done

    def Shutdown(self, request: Any, context: Any) -> Any:  # noqa: N802
        from tf.gen import grpc_controller_pb2  # noqa: PLC0415

        self._done.set()
        return grpc_controller_pb2.Empty()


class _Stdio:
    """go-plugin's stream of the plugin's output; ours goes to stderr, which terraform logs."""

    def __init__(self, done: threading.Event) -> None:
        self._done = done

    def StreamStdio(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        self._done.wait()
        return iter(())


def _certificate() -> tuple[bytes, bytes, bytes]:
    """A key and a certificate for this process alone, in UTC: go-plugin pins it, PEM and DER."""
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.x509.oid import ExtendedKeyUsageOID  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=7))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private, certificate.public_bytes(pem), certificate.public_bytes(serialization.Encoding.DER)
