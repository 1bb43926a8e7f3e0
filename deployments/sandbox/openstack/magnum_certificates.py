"""A cluster's certificates, from its own CA and with Magnum's own X.509 code."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from magnum.common.x509 import operations
from magnum.conductor.handlers.common import cert_manager

SERVICE_ADDRESS = "10.254.0.1"
"""Address of the Service `kubernetes`: the first of Magnum's default service network."""

NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")

SIGNS = x509.KeyUsage(True, *[False] * 8)
"""Of the nine uses of a key, digital signatures alone."""


def text(value: str | bytes) -> str:
    """PEM as text, whatever the certificate store made of it."""
    return value.decode() if isinstance(value, bytes) else value


def authority(context: Any, cluster: Any) -> str:
    """The CA's certificate, PEM."""
    return text(cert_manager.get_cluster_ca_certificate(cluster, context=context).get_certificate())


def issue(context: Any, cluster: Any, masters: Iterable[str]) -> dict[str, str]:
    """The API server's certificate and key, and the administrator's.

    Args:
        masters: addresses the server's certificate is to be good for, besides loopback.

    Returns:
        PEM texts: server_cert_pem, server_key_pem, admin_cert_pem, admin_key_pem.
    """
    ca = cert_manager.get_cluster_ca_certificate(cluster, context=context)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = operations.sign(
        _request(key, masters),
        cluster.name or cluster.uuid,
        ca.get_private_key(),
        ca_key_password=ca.get_private_key_passphrase(),
    )
    # Magnum itself talks to the cluster as CN=admin, O=system:masters; so does the administrator.
    admin = cert_manager.get_cluster_magnum_cert(cluster, context=context)
    return {
        "server_cert_pem": text(certificate) + "\n",
        "server_key_pem": key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
        "admin_cert_pem": text(admin.get_certificate()),
        "admin_key_pem": text(admin.get_decrypted_private_key()),
    }


def _request(key: ec.EllipticCurvePrivateKey, masters: Iterable[str]) -> x509.CertificateSigningRequest:
    addresses = ["127.0.0.1", SERVICE_ADDRESS, *masters]
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in ("localhost", *NAMES)]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.OID_COMMON_NAME, "kube-apiserver")]))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(SIGNS, critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.OID_SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
