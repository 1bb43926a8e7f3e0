"""Both API servers behind one face: the embedded one, and the real kube-apiserver that KUBEBUILDER_ASSETS names."""

from __future__ import annotations

import copy
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.waiting import until

Object = dict[str, Any]
ROOT = Path(__file__).parents[2]
EMBEDDED, REAL = "embedded", "real"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "conformance")])
        builder = self._builder(self._name, self._key)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        usage = x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
                              key_encipherment=False, data_encipherment=False, key_agreement=False,
                              encipher_only=False, decipher_only=False)  # fmt: skip
        builder = builder.add_extension(usage, critical=True)
        self._write("ca.crt", builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        moment = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(moment - timedelta(minutes=5))
            .not_valid_after(moment + timedelta(days=2))
        )

    def _write(self, name: str, data: bytes) -> None:
        path = self.folder / name
        path.write_bytes(data)
        path.chmod(0o600)

    def issue(self, name: str, common_name: str, groups: tuple[str, ...] = (), hosts: tuple[str, ...] = ()) -> None:
        """Write `<name>.crt` and `<name>.key`."""
        key = ec.generate_private_key(ec.SECP256R1())
        parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject = x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        builder = self._builder(subject, key)
        names: list[x509.GeneralName] = [x509.DNSName(host) for host in hosts if not host[0].isdigit()]
        names += [x509.IPAddress(ip_address(host)) for host in hosts if host[0].isdigit()]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        pem = serialization.Encoding.PEM
        self._write(f"{name}.crt", builder.sign(self._key, hashes.SHA256()).public_bytes(pem))
        form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        self._write(f"{name}.key", key.private_bytes(pem, form, none))


@dataclass
class Cluster:
    """One API server to talk to."""

    name: str
    url: str
    home: Path
    kubeconfig: Path
    clients: dict[str, httpx.Client] = field(default_factory=dict)

    def as_user(self, user: str) -> httpx.Client:
        """A client with that user's certificate (`admin`, `alice`), or with none (`anonymous`)."""
        if user not in self.clients:
            context = ssl.create_default_context(cafile=str(self.home / "ca.crt"))
            if user != "anonymous":
                context.load_cert_chain(self.home / f"{user}.crt", self.home / f"{user}.key")
            self.clients[user] = httpx.Client(base_url=self.url, verify=context, timeout=30,
                                              headers={"User-Agent": "conformance/1.0"})  # fmt: skip
        return self.clients[user]

    def request(self, method: str, path: str, body: Any = None, *, content_type: str = "application/json",
                user: str = "admin", accept: str = "application/json") -> httpx.Response:  # fmt: skip
        headers = {"Accept": accept} | ({"Content-Type": content_type} if body is not None else {})
        return self.as_user(user).request(method, path, json=body, headers=headers)

    def get(self, path: str, **extra: Any) -> Object:
        answer = self.request("GET", path, **extra)
        answer.raise_for_status()
        return dict(answer.json())

    def post(self, path: str, body: Any, **extra: Any) -> httpx.Response:
        return self.request("POST", path, body, **extra)

    def put(self, path: str, body: Any, **extra: Any) -> httpx.Response:
        return self.request("PUT", path, body, **extra)

    def patch(self, path: str, body: Any, content_type: str = MERGE_PATCH, **extra: Any) -> httpx.Response:
        return self.request("PATCH", path, body, content_type=content_type, **extra)

    def apply(self, path: str, body: Object, manager: str = "tester", *, force: bool = False) -> httpx.Response:
        query = f"?fieldManager={manager}" + ("&force=true" if force else "")
        return self.patch(path + query, body, APPLY_PATCH)

    def delete(self, path: str, body: Any = None, **extra: Any) -> httpx.Response:
        return self.request("DELETE", path, body, **extra)

    def gone(self, path: str, timeout: float = 20.0) -> None:
        """Wait until a path answers 404."""
        self.until(lambda: self.request("GET", path).status_code == 404, f"{path} to go", timeout)

    def until(self, probe: Any, what: str, timeout: float = 20.0) -> Any:
        """Wait until `probe` says something true, and return it."""
        return until(probe, f"{what} on the {self.name} server", timeout, every=0.02)

    def namespace(self, name: str) -> str:
        """Create a namespace, and wait until it is furnished as far as the server does that."""
        assert self.post("/api/v1/namespaces", {"metadata": {"name": name}}).status_code == 201
        return name

    def close(self) -> None:
        for client in self.clients.values():
            client.close()


def write_kubeconfig(home: Path, url: str, user: str = "admin") -> Path:
    target = home / f"{user}.conf"
    credentials = {"client-certificate": str(home / f"{user}.crt"), "client-key": str(home / f"{user}.key")}
    target.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": url, "certificate-authority": str(home / "ca.crt")}}],
                "users": [{"name": "u", "user": credentials}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    target.chmod(0o600)
    return target


def make_home(folder: Path) -> Path:
    """A cluster's folder with certificates for the server, `admin` and `alice`."""
    authority = Authority(folder)
    authority.issue("server", "kube-apiserver", hosts=("127.0.0.1", "localhost"))
    authority.issue("admin", "admin", ("system:masters",))
    authority.issue("alice", "alice", ("dev",))
    return folder


class EmbeddedServer:
    """The embedded server as its own process."""

    def __init__(self, home: Path, port: int, *options: str) -> None:
        self.home, self.port, self._options = home, port, options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, timeout: float = 20.0) -> None:
        command = [
            sys.executable,
            "-m",
            "deployments.sandbox.kubernetes",
            "--home",
            str(self.home),
            "--port",
            str(self.port),
        ]
        with (self.home / "server.log").open("ab") as log:
            self._process = subprocess.Popen([*command, *self._options], cwd=ROOT, stdout=log, stderr=log)
        deadline = time.monotonic() + timeout
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            log_text = (self.home / "server.log").read_text()
            assert self._process.poll() is None, log_text
            assert time.monotonic() < deadline, log_text
            time.sleep(0.02)

    def stop(self, *, kill: bool = False) -> None:
        if self._process is not None:
            (self._process.kill if kill else self._process.terminate)()
            self._process.wait(15)
            self._process = None


VOLATILE = ("uid", "resourceVersion", "creationTimestamp", "selfLink", "deletionTimestamp")


def settled(item: Any) -> Any:
    """An object without what differs from one server, or one run, to the next."""
    item = copy.deepcopy(item)
    metadata = item.get("metadata", {})
    for name in VOLATILE:
        metadata.pop(name, None)
    entries = metadata.pop("managedFields", None)
    if entries is not None:
        for entry in entries:
            entry.pop("time", None)
            # Kubernetes writes the subresource since 1.22.
            entry.pop("subresource", None)
        metadata["managedFields"] = sorted(entries, key=lambda entry: (entry["operation"], entry["manager"]))
    for owner in metadata.get("ownerReferences") or ():
        owner["uid"] = ""
    spec = item.get("spec")
    if item.get("kind") == "Service" and isinstance(spec, dict):
        for name in ("clusterIP", "clusterIPs"):
            if spec.get(name) not in (None, "None", ["None"]):
                spec[name] = "assigned"
        for port in spec.get("ports") or ():
            if port.get("nodePort"):
                port["nodePort"] = "assigned"
    return item
