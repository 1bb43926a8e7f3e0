"""What goes wrong with all of an environment, each said in a plain sentence by a check that ends well.

History rewritten in git, a certificate that expires, a lost state, a cluster half deleted, and one that is gone: in the
order in which one environment can live through them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from openstack.connection import Connection

from infra.settings import Settings
from infra.spec.repository import load
from tests.platform import Finished, Platform
from tests.sandbox.meddling import AUTHORITY, History, Served
from tests.sandbox.runs import NAMED, away
from tests.waiting import until

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK50Warning"),
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK60Warning"),
]

CHECK, NAME = "check_drift", "faults"
HOST = f"plumbline.{NAME}.sandbox.example"
CERTIFIED: dict[str, Any] = NAMED | {"addons": {"cert-manager": {}, "nginx-ingress": {}}}
"""A name that leads to an ingress controller, and a certificate for it."""
del CERTIFIED["certificates"]
CAUSE = "A port of its network is still in use"
LATEST = {"OpenStack-API-Version": "container-infra 1.10"}
IN_THE_CLUSTER = {"storage", "addons", "dns", "certificates", "delivery", "runners"}


@pytest.fixture(scope="module", autouse=True)
def environment(platform: Platform) -> Iterator[None]:
    platform.declare(NAME, **CERTIFIED)
    made = platform.flow("create_environment", NAME)
    assert made.status == 0, made.log[-4000:]
    yield
    platform.sandbox("faults", "clear")
    away(platform, NAME)


@pytest.fixture(scope="module")
def cloud(platform: Platform) -> Iterator[Connection]:
    with platform.connection() as connection:
        yield connection


def check(platform: Platform, *arguments: str, **settings: str) -> Finished:
    """A check, which says whatever it says without a stack."""
    checked = platform.flow(CHECK, NAME, *arguments, **settings)
    assert checked.result, checked.log[-4000:]
    assert "Traceback" not in checked.log
    return checked


def found(verdict: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["address"] + one["path"]: one for plane in verdict["planes"] for one in plane["findings"]}


def states(verdict: dict[str, Any]) -> dict[str, set[str]]:
    """The planes by their state."""
    planes: dict[str, set[str]] = {}
    for plane in verdict["planes"]:
        planes.setdefault(plane["state"], set()).add(plane["plane"])
    return planes


def only_the_cluster(checked: Finished, place: str) -> tuple[str, str, str]:
    """The one finding's severity and sentence, and why everything in the cluster is unknown."""
    assert checked.status == 2, checked.log[-4000:]
    assert states(checked.result) == {"drifted": {"cluster"}, "unknown": IN_THE_CLUSTER}
    assert set(found(checked.result)) == {place}
    one = found(checked.result)[place]
    spots = [spot for plane in checked.result["planes"] for spot in plane["blind_spots"] if plane["plane"] != "cluster"]
    assert len(spots) == len(IN_THE_CLUSTER)
    (why,) = {spot["why"] for spot in spots}
    return one["severity"], one["sentence"], why


# -- git ---------------------------------------------------------------------------------------------------------------


def test_history_that_was_rewritten(platform: Platform, tmp_path: Path) -> None:
    history = History(platform, tmp_path / "clone")
    old = history.head()
    remote = {"PLUMBLINE_ENVIRONMENTS_REPOSITORY": history.url}
    load(history.url, NAME, "main", settings=Settings(state_dir=platform.home / "state"))
    new = history.rewrite()
    assert new != old

    checked = check(platform, **remote)
    assert (checked.status, checked.result["commit"], found(checked.result)) == (0, new, {}), checked.log[-3000:]

    withdrawn = check(platform, "--commit", old, **remote)
    assert (withdrawn.status, withdrawn.result["category"]) == (1, "NotFound")
    said = (
        f"No branch or tag of the environments repository holds commit {old[:12]} any more: its history was rewritten."
    )
    assert withdrawn.result["summary"] == said
    assert withdrawn.result["hint"].startswith("Name a commit that a branch or tag holds")

    history.forget()
    gone = check(platform, "--commit", old)
    assert (gone.status, gone.result["category"]) == (1, "NotFound")
    assert gone.result["summary"] == f"The environments repository has no commit {old[:12]}."
    assert gone.result["hint"] == withdrawn.result["hint"]


def test_a_declaration_that_a_rewrite_has_lost(platform: Platform, tmp_path: Path) -> None:
    history = History(platform, tmp_path / "clone")
    kept = history.head()
    lost = history.rewrite(without=NAME)
    try:
        checked = check(platform)
    finally:
        history.set_back(kept)
    assert (checked.status, checked.result["category"]) == (1, "NotFound")
    assert checked.result["summary"] == f"There is no environments/{NAME}.yaml at commit {lost[:12]}."
    declared = checked.result["hint"].removeprefix("Declared: ").removesuffix(".").split(", ")
    assert "staging" in declared and NAME not in declared


# -- certificates ------------------------------------------------------------------------------------------------------


def test_a_certificate_that_expires_unrenewed(platform: Platform) -> None:
    served, now = Served(platform, NAME), datetime.now(UTC).replace(microsecond=0)
    served.stop_renewing()
    ended, ends = now - timedelta(hours=30), now + timedelta(hours=12)
    served.replace(ended)
    checked = check(platform)
    assert (checked.status, states(checked.result)["drifted"]) == (2, {"addons", "certificates"})
    expired = found(checked.result)[f"tls/{HOST}.validity"]
    assert (expired["severity"], expired["plane"]) == ("security", "certificates")
    assert expired["sentence"] == f"The certificate of {HOST} expired on {ended:%Y-%m-%d %H:%M} UTC."
    seen = f"CN={AUTHORITY}, for {HOST}, valid until {ended:%Y-%m-%d %H:%M} UTC"
    assert expired["observed"] == seen
    assert found(checked.result)["Deployment/cert-manager/cert-manager.spec.replicas"]["observed"] == 0

    served.replace(ends)
    healed = platform.flow("reconcile", NAME)
    assert healed.status == 0, healed.log[-4000:]
    due = found(healed.result["before"])[f"tls/{HOST}.validity"]
    assert due["severity"] == "security"
    said = f"The certificate of {HOST} expires in 0.5 days, on {ends:%Y-%m-%d}: renewal is due."
    assert due["sentence"] == said
    assert (healed.result["after"]["state"], found(healed.result["after"])) == ("in step", {})


# -- state and cluster -------------------------------------------------------------------------------------------------


@contextmanager
def without_state(platform: Platform, aside: Path) -> Iterator[None]:
    state = platform.home / f"state/terraform/{NAME}/terraform.tfstate"
    state.rename(aside)
    try:
        yield
        assert not state.exists()
    finally:
        aside.rename(state)


def test_a_lost_state(platform: Platform, tmp_path: Path) -> None:
    with without_state(platform, tmp_path / "state"):
        checked = check(platform)
    assert (checked.status, states(checked.result)) == (2, {"drifted": {"cluster"}, "in step": IN_THE_CLUSTER})
    (one,) = found(checked.result).values()
    assert (one["address"], one["severity"]) == (f"terraform-state/{NAME}", "config")
    assert one["sentence"].startswith(f"Terraform's state does not know cluster/{NAME}, keypair/plumbline-{NAME}, ")
    assert one["sentence"].endswith(": run create-environment, which adopts it.")


def ask_magnum(cloud: Connection, method: str, cluster: str) -> Any:
    return cloud.container_infrastructure_management.request(f"/clusters/{cluster}", method, headers=LATEST)


def delete_by_hand(cloud: Connection) -> None:
    uuid = ask_magnum(cloud, "GET", NAME).json()["uuid"]
    assert ask_magnum(cloud, "DELETE", uuid).status_code == 204


def wait_for_cluster(cloud: Connection, status: str | None) -> None:
    def there() -> bool:
        answer = ask_magnum(cloud, "GET", NAME)
        return answer.status_code == 404 if status is None else answer.ok and answer.json()["status"] == status

    until(there, f"the cluster to be {status or 'gone'}")


def test_a_cluster_half_deleted(platform: Platform, cloud: Connection) -> None:
    platform.sandbox("faults", "set", "--cluster", NAME, "--delete", "hang")
    delete_by_hand(cloud)
    wait_for_cluster(cloud, "DELETE_IN_PROGRESS")
    severity, sentence, why = only_the_cluster(check(platform), f"cluster/{NAME}status")
    assert (severity, sentence) == ("destructive", f"Cluster {NAME} is being deleted.")
    assert why == f"The cluster cannot be reached. (Cluster {NAME} is being deleted.)"

    platform.sandbox("faults", "set", "--cluster", NAME, "--delete", "fail", "--reason", CAUSE)
    wait_for_cluster(cloud, "DELETE_FAILED")
    severity, sentence, why = only_the_cluster(check(platform), f"cluster/{NAME}status")
    assert (severity, sentence) == ("destructive", f"The deletion of cluster {NAME} failed (DELETE_FAILED): {CAUSE}.")
    assert why.startswith(f"The cluster cannot be reached. ({sentence} The API server at https://")

    failed = platform.flow("create_environment", NAME)
    assert (failed.status, failed.result["category"]) == (1, "Failed")
    assert sentence in failed.result["summary"]


def test_a_cluster_that_is_gone_and_then_the_state_too(platform: Platform, cloud: Connection, tmp_path: Path) -> None:
    platform.sandbox("faults", "clear")
    delete_by_hand(cloud)
    wait_for_cluster(cloud, None)
    severity, sentence, why = only_the_cluster(check(platform), f"cluster/{NAME}")
    assert (severity, sentence) == ("destructive", f"There is no cluster {NAME}.")
    assert why == f"The cluster cannot be reached. (There is no cluster {NAME}.)"
    with platform.api() as api:
        report = str(api.get(f"artifacts/verdict-{NAME}/latest").json()["data"])
    assert f"{NAME}: drifted" in report
    assert f"- **destructive** `cluster/{NAME}`<br>There is no cluster {NAME}." in report
    assert f"- **dns** `dns`: {why}" in report

    with without_state(platform, tmp_path / "state"):
        checked = check(platform)
    assert (checked.status, states(checked.result)) == (2, {"drifted": {"cluster"}, "unknown": IN_THE_CLUSTER})
    said = {where: one["sentence"] for where, one in found(checked.result).items()}
    assert said.pop(f"cluster/{NAME}") == f"There is no cluster {NAME}."
    (forgotten,) = said.values()
    assert list(said) == [f"terraform-state/{NAME}"]
    assert forgotten.startswith(f"Terraform's state does not know keypair/plumbline-{NAME}, template/{NAME}-")
