"""The sensitive `kubeconfig` attribute of a cluster, made as upstream makes it."""

from __future__ import annotations

import base64
import json
from typing import Any

from deployments.sandbox.provider.cloud import Cloud

KEY_BITS = 4096


def kept_or_made(cloud: Cloud, cluster_id: str, name: str, address: str | None, current: Any) -> dict[str, str] | None:
    """The kubeconfig in the state when it has a client certificate, otherwise a new one.

    Returns:
        Keys raw_config, host, cluster_ca_certificate, client_certificate, client_key (PEM text), or None while the
        cluster has no API address.
    """
    if isinstance(current, dict) and current.get("client_certificate"):
        return current
    if not address:
        return None
    authority = cloud.get("container-infra", f"/certificates/{cluster_id}")["pem"]
    key, request = _key_and_request()
    signed = cloud.request("container-infra", "POST", "/certificates", {"cluster_uuid": cluster_id, "csr": request})
    certificate = signed["pem"]
    return {
        "raw_config": _render(name, address, authority, certificate, key),
        "host": address,
        "cluster_ca_certificate": authority,
        "client_certificate": certificate,
        "client_key": key,
    }


def _key_and_request() -> tuple[str, str]:
    # Imported here: most calls of the provider need no cryptography, and each one starts a process.
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415

    key = rsa.generate_private_key(65537, KEY_BITS)
    subject = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.COMMON_NAME, "admin"),
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "system:masters"),
            x509.NameAttribute(x509.NameOID.ORGANIZATIONAL_UNIT_NAME, "terraform"),
        ]
    )
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA512())
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    return private.decode(), request.public_bytes(pem).decode()


def _render(name: str, address: str, authority: str, certificate: str, key: str) -> str:
    def data(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    user = f"{name}-admin"
    cluster = {"certificate-authority-data": data(authority), "server": address}
    credentials = {"client-certificate-data": data(certificate), "client-key-data": data(key)}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
        "current-context": name,
        "users": [{"name": user, "user": credentials}],
    }
    return json.dumps(document, indent=2)  # JSON is YAML
