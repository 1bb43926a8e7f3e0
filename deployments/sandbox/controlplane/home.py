"""What a control plane finds in its folder: certificates, keys, tokens, kubeconfigs, and the programs' flags."""

from __future__ import annotations

import base64
import datetime as dt
import secrets
from pathlib import Path

from deployments.sandbox.controllers import x509
from deployments.sandbox.controllers.kube.client import kubeconfig
from deployments.sandbox.controllers.x509 import CLIENT_USAGES, SERVER_USAGES
from deployments.sandbox.layout import write
from deployments.sandbox.settings import HOST

SERVICE_RANGE = "10.254.0.0/16"
"""Magnum's default. Nothing listens there: what the API server sends to a Service goes by way of egress.yaml."""

DECADE = dt.timedelta(days=3650)

MANAGER = "system:kube-controller-manager"
SCHEDULER = "system:kube-scheduler"
KUBELETS = "kwok"
OWN_USERS = (MANAGER, SCHEDULER, KUBELETS)
"""The plane's own users: they ask the API server itself, whatever stands before it."""

HERE = Path(__file__).resolve().parent
"""Where the files lie that are the same for every control plane."""


def prepare(home: Path, url: str, api: str) -> None:
    """Make what the control plane needs and does not find in `home`: certificates, keys, tokens, kubeconfigs.

    Args:
        url: where its users find it.
        api: where the API server itself is.
    """
    if not (home / "ca.crt").exists():
        _make_certificates(home)
    if not (home / "etcd-ca.crt").exists():
        _make_etcd_certificates(home)
    if not (home / "front-proxy-ca.crt").exists():
        _make_front_proxy(home)
    if not (home / "service-account.key").exists():
        key = x509.generate_key("RSA")
        write(home / "service-account.key", x509.key_pem(key).decode())
        write(home / "service-account.pub", x509.public_pem(key).decode())
    if not (home / "tokens.csv").exists():
        users = (*OWN_USERS, "admin")
        rows = "".join(f'{secrets.token_urlsafe(32)},{user},{user},"system:masters"\n' for user in users)
        write(home / "tokens.csv", rows)
    authority = (home / "ca.crt").read_bytes()
    for name in OWN_USERS:
        write(home / kubeconfig_name(name), kubeconfig(api, authority, token=token(home, name)))
    write(home / "admin.kubeconfig", admin_kubeconfig(home, url))


def _make_certificates(home: Path) -> None:
    first_service = SERVICE_RANGE.replace("0.0/16", "0.1")
    dns = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    leaves = {
        "server": x509.Subject("kube-apiserver", [], dns, ["127.0.0.1", first_service], usages=SERVER_USAGES),
        "admin": x509.Subject("admin", ["system:masters"], usages=CLIENT_USAGES),
    }
    authority = _make_authority(home, "ca", "kubernetes", leaves)
    write(home / "ca.key", x509.key_pem(authority.key).decode())


def _make_etcd_certificates(home: Path) -> None:
    """A CA of etcd's own: whoever reaches its port reads every Secret, and anybody on the machine can."""
    # Its own gateway is a client of it, with the same certificate.
    usages = (*SERVER_USAGES, "client auth")
    leaves = {
        "etcd": x509.Subject("etcd", [], ["localhost"], ["127.0.0.1"], usages=usages),
        "etcd-client": x509.Subject("kube-apiserver", usages=CLIENT_USAGES),
    }
    _make_authority(home, "etcd-ca", "etcd", leaves)


def _make_front_proxy(home: Path) -> None:
    """A CA of its own, too: whoever has a certificate of it may say who somebody is."""
    leaves = {"front-proxy": x509.Subject("front-proxy", usages=CLIENT_USAGES)}
    _make_authority(home, "front-proxy-ca", "front-proxy-ca", leaves)


def _make_authority(home: Path, file: str, name: str, leaves: dict[str, x509.Subject]) -> x509.Authority:
    """Its own certificate is written last: where that is, all are."""
    authority = x509.Authority.make(name, DECADE)
    for leaf, subject in leaves.items():
        certificate, key = authority.issue(subject, DECADE)
        write(home / f"{leaf}.crt", certificate)
        write(home / f"{leaf}.key", key)
    write(home / f"{file}.crt", x509.pem(authority.certificate).decode())
    return authority


def kubeconfig_name(user: str) -> str:
    """The name of a user's kubeconfig in the plane's folder."""
    return f"{user.removeprefix('system:')}.kubeconfig"


def etcd_flags(home: Path, url: str) -> list[str]:
    """etcd's flags: loopback only, the API server alone, no fsync."""
    return [
        f"--data-dir={home / 'etcd'}",
        "--client-cert-auth",
        f"--trusted-ca-file={home / 'etcd-ca.crt'}",
        f"--cert-file={home / 'etcd.crt'}",
        f"--key-file={home / 'etcd.key'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        "--listen-peer-urls=http://127.0.0.1:0",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def apiserver_flags(home: Path, port: int, etcd: str) -> list[str]:
    """The API server's flags."""
    return [
        f"--etcd-servers={etcd}",
        f"--etcd-cafile={home / 'etcd-ca.crt'}",
        f"--etcd-certfile={home / 'etcd-client.crt'}",
        f"--etcd-keyfile={home / 'etcd-client.key'}",
        f"--bind-address={HOST}",
        f"--advertise-address={HOST}",
        f"--secure-port={port}",
        f"--cert-dir={home / 'certs'}",
        f"--client-ca-file={home / 'ca.crt'}",
        f"--tls-cert-file={home / 'server.crt'}",
        f"--tls-private-key-file={home / 'server.key'}",
        f"--token-auth-file={home / 'tokens.csv'}",
        f"--service-account-key-file={home / 'service-account.pub'}",
        f"--service-account-signing-key-file={home / 'service-account.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--authorization-mode=RBAC",
        "--endpoint-reconciler-type=none",
        "--allow-privileged=true",
        f"--egress-selector-config-file={HERE / 'egress.yaml'}",
        # What a front proxy says about users, and what we say about them to aggregated APIs.
        f"--requestheader-client-ca-file={home / 'front-proxy-ca.crt'}",
        "--requestheader-allowed-names=front-proxy",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={home / 'front-proxy.crt'}",
        f"--proxy-client-key-file={home / 'front-proxy.key'}",
    ]


def manager_flags(home: Path) -> list[str]:
    """The controller manager's flags: everything that does not need a cloud.

    Volumes are not attached: nobody here plays the CSI driver's attacher.
    """
    flags = [
        *_client_flags(home, MANAGER),
        f"--service-account-private-key-file={home / 'service-account.key'}",
        f"--root-ca-file={home / 'ca.crt'}",
        "--controllers=*,-attachdetach",
    ]
    if (home / "ca.key").exists():
        flags += [f"--cluster-signing-cert-file={home / 'ca.crt'}", f"--cluster-signing-key-file={home / 'ca.key'}"]
    return flags


def scheduler_flags(home: Path) -> list[str]:
    """The scheduler's flags."""
    return _client_flags(home, SCHEDULER)


def _client_flags(home: Path, user: str) -> list[str]:
    return [
        f"--kubeconfig={home / kubeconfig_name(user)}",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    ]


def kwok_flags(home: Path) -> list[str]:
    """kwok's flags; its configuration and our stages are one file."""
    return [f"--kubeconfig={home / kubeconfig_name(KUBELETS)}", f"--config={HERE / 'stages.yaml'}"]


def token(home: Path, user: str) -> str:
    """What signs `user` in."""
    for row in (home / "tokens.csv").read_text().splitlines():
        secret, name, *_ = row.split(",")
        if name == user:
            return secret
    raise KeyError(user)


def admin_kubeconfig(home: Path, url: str) -> str:
    """The administrator's kubeconfig, certificates included."""
    certificate, key = (base64.b64encode((home / f"admin.{part}").read_bytes()).decode() for part in ("crt", "key"))
    user = {"client-certificate-data": certificate, "client-key-data": key}
    return kubeconfig(url, (home / "ca.crt").read_bytes(), **user)
