"""Nothing secret is left anywhere: every secret a full run used is looked for in everything the run leaves behind."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from cryptography.hazmat.primitives import serialization

from deployments.follow import FlowRuns
from infra.clients.helm_records import SECRET_TYPE
from infra.clients.kubernetes import KubernetesClient
from infra.settings import Settings
from tests.leaks import Leak, Recogniser, Scanner, Secret, fernet_tokens, open_to_others, private_keys
from tests.platform import Finished, Platform
from tests.sandbox.test_environment import wait_over
from tests.sandbox.watching import Watcher

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(900)]

NAME = "staging"
APP = "github-app"
STATE = "state/terraform/*/terraform.tfstate*"
IN_THE_CLUSTER = "clusters/*/etcd/*"
OF_THE_CLOUD = ("openstack/*", "clouds.yaml")
PUBLIC = (
    ".plumbline-sandbox",  # says whose folder this is
    "state/charts/*.tgz",
    "*/.terraform.lock.hcl",
    "git/*",  # what is declared names no secrets; pushed by whoever pushes, with his own umask
    "clusters/*/argocd/*",  # clones of public repositories; git makes its objects read-only for all
)


@dataclass
class Evidence:
    """What a full run used, and what was seen while it ran."""

    platform: Platform
    secrets: list[Secret] = field(default_factory=list)
    recognisers: list[tuple[Recogniser, tuple[str, ...]]] = field(default_factory=list)
    watcher: Watcher | None = None
    releases: dict[str, str] = field(default_factory=dict)
    runs: list[Finished] = field(default_factory=list)
    while_alive: set[Leak] = field(default_factory=set)
    """What was found while the environment lived: its cluster's files go with it."""

    def add(self, name: str, value: str, *homes: str) -> None:
        """Note a secret and where it may be."""
        self.secrets.append(Secret(name, value, homes))

    def scanner(self) -> Scanner:
        """A scanner for all of them."""
        return Scanner(self.secrets, self.recognisers)


@pytest.fixture(scope="module")
def evidence(platform: Platform) -> Iterator[Evidence]:
    """Create through the API, again by command, destroy by command; then runs that fail with a secret in hand."""
    found = Evidence(platform)
    _with_a_password(platform.home / "secrets" / APP)
    _of_the_machine(found)
    with Watcher(platform.home / "state") as found.watcher:
        with platform.api() as api:
            runs = FlowRuns(api)
            first = runs.start("create-environment", {"name": NAME}, "staging-1")
            assert runs.start("create-environment", {"name": NAME}, "staging-1") == first, "asked for once"
            run = wait_over(api, first)
            assert run["state_type"] == "COMPLETED", run["state"]["message"]
            assert "staging: ready" in api.get("artifacts/environment-staging/latest").json()["data"]
        found.runs.append(platform.flow("create_environment", NAME))
        _of_the_cluster(found)
        _minted(found, found.watcher)
        found.while_alive = found.scanner().files(platform.home)
        found.runs.append(platform.flow("destroy_environment", NAME, "--confirm", NAME))
        assert [run.status for run in found.runs] == [0, 0], found.runs[-1].log[-3000:]
        assert (found.runs[-1].result["state"], platform.leftovers(NAME)) == ("removed", [])
        _failing_runs(found)
    _minted(found, found.watcher)
    yield found


def _minted(found: Evidence, watcher: Watcher) -> None:
    """The keys that were seen in use; a kubeconfig lives as long as its run."""
    known = {secret.value for secret in found.secrets}
    for number, key in enumerate(sorted(watcher.keys - known)):
        found.add(f"minted client key {number}", key)


def _of_the_machine(found: Evidence) -> None:
    """Secrets that are there before the first run."""
    home, prefect = found.platform.home, found.platform.prefect
    passwords = json.loads((home / "openstack/passwords.json").read_text())
    for user, password in passwords.items():
        found.add(f"OpenStack password of {user}", password, *OF_THE_CLOUD)
    for cloud in yaml.safe_load((home / "clouds.yaml").read_text())["clouds"].values():
        assert cloud["auth"]["password"] in passwords.values()
    user, _, password = prefect.auth_string().partition(":")
    found.add("Prefect's password", password, "prefect/auth", "env")
    found.add("Prefect's auth header", base64.b64encode(f"{user}:{password}".encode()).decode())
    found.add(
        "control API token", json.loads((home / "control.json").read_text())["token"], "control.json", "openstack/*"
    )
    found.add("sandbox CA key", (home / "ca/ca.key").read_text(), "ca/*")
    found.add("ACME server's key", (home / "acme/server.key").read_text(), "acme/*")
    for path in (home / "secrets").rglob("*"):
        if path.is_file():
            found.add(f"secret {path.parent.name}/{path.name}", path.read_text(), "secrets/*", IN_THE_CLUSTER)
    keys = [path.read_bytes() for path in (home / "openstack/keystone/fernet").iterdir()]
    found.recognisers.append((fernet_tokens(keys, "a Keystone token"), ("openstack/*",)))
    at_home = (
        "secrets/*",
        "acme/*",
        "ca/*",
        "openstack/*",
        "clusters/*.key",
        "clusters/*/admin.kubeconfig",
        "clusters/*/direct.kubeconfig",
        IN_THE_CLUSTER,
        STATE,
    )
    found.recognisers.append((private_keys, at_home))


def _with_a_password(folder: Path) -> None:
    """A secret of GitHub's has a plain password, too, beside the key."""
    passphrase = folder / "passphrase"
    passphrase.touch(mode=0o600)
    passphrase.write_text(secrets.token_urlsafe(24))


def _of_the_cluster(found: Evidence) -> None:
    """Secrets that the run has made: Magnum's keys, Terraform's, and those in the cluster."""
    home = found.platform.home
    status = json.loads(found.platform.sandbox("status", "--json"))
    folder = home / "clusters" / next(one["uuid"] for one in status["clusters"] if one["name"] == NAME)
    for path in folder.glob("*.key"):
        found.add(f"cluster's {path.name}", path.read_text(), "clusters/*", "openstack/*")
    _of_magnum(found, home / "openstack/magnum/db.sqlite")
    state = (home / f"state/terraform/{NAME}/terraform.tfstate").read_text()
    for key in _values(json.loads(state), "client_key"):
        found.add("client key in Terraform's state", key, STATE)
    _of_kubernetes(found, folder / "admin.kubeconfig")


def _of_magnum(found: Evidence, database: Path) -> None:
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    rows = connection.execute("SELECT private_key, private_key_passphrase FROM x509keypair").fetchall()
    connection.close()
    for number, (pem, passphrase) in enumerate(rows):
        key = serialization.load_pem_private_key(pem.encode(), passphrase.encode())
        for form in (serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL):
            text = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
            found.add(f"Magnum's key {number}", text, "openstack/*", "clusters/*")
        found.add(f"Magnum's encrypted key {number}", pem, "openstack/*")


def _of_kubernetes(found: Evidence, kubeconfig: Path) -> None:
    async def read() -> list[dict[str, Any]]:
        async with KubernetesClient(kubeconfig, Settings(state_dir=found.platform.home / "state")) as kubernetes:
            return list(await kubernetes.list("v1", "Secret"))

    for item in asyncio.run(read()):
        where = f"{item['metadata']['namespace']}/{item['metadata']['name']}"
        for key, encoded in (item.get("data") or {}).items():
            if item.get("type") == SECRET_TYPE:
                found.releases[where] = encoded
            elif not key.endswith(".crt"):  # certificates are for everybody
                value = base64.b64decode(encoded).decode(errors="replace")
                found.add(f"Secret {where} {key}", value, IN_THE_CLUSTER, "ca/*", "secrets/*")


def _failing_runs(found: Evidence) -> None:
    """A wrong password, and a ledger that refuses us: both end in messages about what was tried."""
    home = found.platform.home
    wrong, ledger = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    found.add("the wrong password", wrong)
    found.add("the ledger's password", ledger)
    clouds = yaml.safe_load((home / "clouds.yaml").read_text())
    clouds["clouds"]["sandbox"]["auth"]["password"] = wrong
    elsewhere = home.with_name(f"{home.name}-elsewhere")
    elsewhere.mkdir(mode=0o700)
    (elsewhere / "clouds.yaml").write_text(yaml.safe_dump(clouds))
    url = f"postgresql://plumbline:{ledger}@127.0.0.1:9/ledger"
    denied = found.platform.flow("create_environment", NAME, OS_CLIENT_CONFIG_FILE=str(elsewhere / "clouds.yaml"))
    unavailable = found.platform.flow("create_environment", NAME, PLUMBLINE_LEDGER_URL=url)
    assert (denied.status, unavailable.status) == (1, 1)
    assert "refuses the credentials" in denied.log
    found.runs += [denied, unavailable]


def _values(document: Any, key: str) -> Iterator[str]:
    """Every string under `key`, however deep."""
    if isinstance(document, dict):
        for name, value in document.items():
            if name == key and isinstance(value, str) and value:
                yield value
            yield from _values(value, key)
    elif isinstance(document, list):
        for value in document:
            yield from _values(value, key)


def test_every_kind_of_secret_is_among_those_that_are_looked_for(evidence: Evidence) -> None:
    names = evidence.scanner().names
    for prefix in ("OpenStack password of demo", "Prefect's password", "secret github-app/github_app_private_key",
                   "secret github-app/passphrase", "sandbox CA key", "ACME server's key", "cluster's server.key",
                   "cluster's admin.key", "Magnum's key",
                   "client key in Terraform's state", "minted client key", "Secret plumbline-system/canary-tls tls.key",
                   f"Secret arc-runners/{APP} github_app_private_key", "control API token"):  # fmt: skip
        assert any(name.startswith(prefix) for name in names), f"{prefix}: not among {sorted(names)}"


def test_no_file_but_a_secrets_own_home_holds_one(evidence: Evidence) -> None:
    assert evidence.while_alive == set()
    assert evidence.scanner().files(evidence.platform.home) == set()


def test_the_scan_finds_what_is_planted(evidence: Evidence) -> None:
    home, scanner = evidence.platform.home, evidence.scanner()
    key = (home / f"secrets/{APP}/github_app_private_key").read_text()
    planted = home / "log/planted.log"
    planted.write_text(f"helm said: {json.dumps({'values': key})}")
    try:
        found = scanner.files(home / "log")
    finally:
        planted.unlink()
    assert {"secret github-app/github_app_private_key", "a private key"} <= {leak.secret for leak in found}
    assert {leak.where for leak in found} == {"planted.log"}


def test_the_scan_finds_what_is_planted_in_prefects_database(evidence: Evidence) -> None:
    canary = f"canary-{secrets.token_hex(12)}"
    with evidence.platform.api() as api:
        made = api.post("variables/", json={"name": "planted", "value": canary})
        made.raise_for_status()
        try:
            found = Scanner([Secret("canary", canary)]).files(evidence.platform.home / "prefect")
        finally:
            api.delete(f"variables/{made.json()['id']}").raise_for_status()
    assert any(leak.where.startswith("prefect.db") for leak in found)


def test_the_api_tells_no_secret(evidence: Evidence) -> None:
    scanner = evidence.scanner()
    found: set[Leak] = set()
    counted: dict[str, int] = {}
    with evidence.platform.api() as api:
        for path, sort in (("logs", "TIMESTAMP_ASC"), ("artifacts", "ID_DESC"), ("flow_runs", "ID_DESC"),
                           ("task_runs", "ID_DESC"), ("deployments", "NAME_ASC"), ("work_pools", None)):  # fmt: skip
            for page in _pages(api, path, sort):
                counted[path] = counted.get(path, 0) + 1
                found |= scanner.look(page, f"API: {path}")
    assert found == set()
    assert all(counted[path] for path in ("logs", "artifacts", "flow_runs", "task_runs"))


def _pages(api: httpx.Client, path: str, sort: str | None) -> Iterator[bytes]:
    offset = 0
    while True:
        answer = api.post(f"{path}/filter", json={"offset": offset, "limit": 200, **({"sort": sort} if sort else {})})
        answer.raise_for_status()
        items = answer.json()
        if not items:
            return
        yield answer.content
        offset += len(items)


def test_what_commands_print_tells_no_secret(evidence: Evidence) -> None:
    scanner = evidence.scanner()
    said = "\n".join(run.log + json.dumps(run.result) for run in evidence.runs)
    assert scanner.look(said.encode(), "output") == set()


def test_no_programs_arguments_hold_a_secret(evidence: Evidence) -> None:
    assert evidence.watcher is not None
    arguments = evidence.watcher.arguments
    programs = {Path(argv[0]).name for argv in arguments if argv}
    assert {"terraform", "helm", "prefect"} & programs >= {"terraform", "helm"}, sorted(programs)
    scanner = evidence.scanner()
    found = {
        leak
        for argv in arguments
        for leak in scanner.look("\0".join(argv).encode(), Path(argv[0]).name if argv else "")
    }
    assert found == set()


def test_only_we_can_read_what_is_left(evidence: Evidence) -> None:
    assert open_to_others(evidence.platform.home, PUBLIC) == []


def test_keys_and_plans_are_ours_alone_also_while_they_are_in_use(evidence: Evidence) -> None:
    watcher = evidence.watcher
    assert watcher is not None
    kinds: dict[str, Callable[[str], bool]] = {
        "a minted key": lambda path: path.startswith("private/") and path.endswith("client.key"),
        "helm's values": lambda path: path.startswith("private/helm-") and "values-" in path,
        "terraform's plan": lambda path: (
            path.startswith(f"terraform/{NAME}/") and path.endswith("variables.tfvars.json")
        ),
    }
    for kind, matches in kinds.items():
        assert any(matches(path) for path in watcher.seen), f"{kind} was not seen: {sorted(watcher.seen)[:80]}"
    assert watcher.open_files == set()


def test_keys_are_gone_when_the_run_is_over(evidence: Evidence) -> None:
    left = [
        path
        for path in (evidence.platform.home / "state/private").rglob("*")
        if path.is_file() and path.name != ".lock"
    ]
    assert left == []


def test_helms_records_hold_no_secret(evidence: Evidence) -> None:
    assert {where.partition("/")[0] for where in evidence.releases} >= {"cert-manager", "argocd", "arc-runners"}
    # What a chart itself makes, such as a webhook's certificate, stands in its manifest; ours must not.
    given = [one for one in evidence.secrets if not one.name.startswith("Secret ")]
    scanner = Scanner(given, evidence.recognisers)
    found = {leak for where, text in evidence.releases.items() for leak in scanner.look(base64.b64decode(text), where)}
    assert found == set()
