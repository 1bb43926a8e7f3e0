"""The storage plane: one Cinder StorageClass, and it alone is the default.

Two default classes make the scheduler of claims pick either; so a stranger's default mark is taken off, its class kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from infra.clients.errors import NotYet
from infra.drift.findings import Finding, PlaneName
from infra.drift.ownership import Owners
from infra.planes import manifests
from infra.planes.clients import Clients
from infra.planes.looking import Looked, look_at
from infra.spec.models import Environment

PLANE = PlaneName.STORAGE
PROVISIONER = "cinder.csi.openstack.org"
DEFAULT_MARK = "storageclass.kubernetes.io/is-default-class"
STORAGE_CLASS = ("storage.k8s.io/v1", "StorageClass")
PROVED_MARK = "plumbline.dev/claim-bound-at"
SYSTEM = manifests.SYSTEM_NAMESPACE
CLAIM: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "storage-probe", "namespace": SYSTEM, "labels": dict(manifests.MANAGED_BY)},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


@dataclass(frozen=True)
class Wanted:
    """The class every claim without a class of its own gets."""

    manifest: dict[str, Any]

    @property
    def name(self) -> str:
        """The class's name."""
        return str(self.manifest["metadata"]["name"])


@dataclass(frozen=True)
class Observed:
    """Every StorageClass of the cluster, by name."""

    classes: dict[str, dict[str, Any]]

    def defaults(self) -> list[str]:
        """The names of those marked as default."""
        return sorted(name for name, live in self.classes.items() if _is_default(live))


def desired(environment: Environment) -> Wanted:
    """The declared class: Cinder volumes in the declared zone, bound at once, so that a claim alone proves it."""
    declared = environment.spec.storage
    return Wanted(
        {
            "apiVersion": STORAGE_CLASS[0],
            "kind": STORAGE_CLASS[1],
            "metadata": {
                "name": "default",
                "labels": dict(manifests.MANAGED_BY),
                "annotations": {DEFAULT_MARK: "true"},
            },
            "provisioner": PROVISIONER,
            "parameters": {"availability": declared.availability_zone}
            | ({"type": declared.volume_type} if declared.volume_type else {}),
            "reclaimPolicy": "Delete",
            "allowVolumeExpansion": True,
            "volumeBindingMode": "Immediate",
        }
    )


async def observe(wanted: Wanted, clients: Clients) -> Observed:
    """Read all classes: whether there is exactly one default is a question about all of them."""
    del wanted
    classes = await clients.kubernetes.list(*STORAGE_CLASS)
    return Observed({item["metadata"]["name"]: item for item in classes})


def compare(wanted: Wanted, observed: Observed) -> list[Finding]:
    """The declared class as declared, and no other default."""
    where = manifests.address(wanted.manifest)
    findings = manifests.compare(PLANE, [wanted.manifest], {where: observed.classes.get(wanted.name)})
    return findings + _other_defaults(wanted, observed)


def _other_defaults(wanted: Wanted, observed: Observed) -> list[Finding]:
    return [_other_default(observed.classes[name]) for name in observed.defaults() if name != wanted.name]


def _other_default(live: dict[str, Any]) -> Finding:
    where = f"StorageClass/{live['metadata']['name']}"
    marked = Owners(live).last_other(("metadata", "annotations", DEFAULT_MARK))
    return Finding(
        plane=PLANE,
        address=where,
        path=f".metadata.annotations.{DEFAULT_MARK}",
        declared="false",
        observed="true",
        sentence=f"{where} is marked as default too.",
        changed=marked.changed() if marked else None,
    )


async def look(environment: Environment, clients: Clients) -> Looked:
    """The declared class as declared, down to what others have added to it, and no other default."""
    wanted = desired(environment)
    return Looked.together(
        [
            await clients.live.look(PLANE, [wanted.manifest]),
            await look_at(PLANE, "StorageClasses", _defaults(wanted, clients), hides=[f"{STORAGE_CLASS[1]}/*"]),
        ]
    )


async def _defaults(wanted: Wanted, clients: Clients) -> list[Finding]:
    return _other_defaults(wanted, Observed(await clients.live.named(*STORAGE_CLASS)))


async def converge(wanted: Wanted, observed: Observed, findings: list[Finding], clients: Clients) -> list[str]:
    """Take the mark off the others first: for a moment without a default, claims wait; with two, they go wrong."""
    made = []
    own = manifests.address(wanted.manifest)
    for finding in findings:
        if finding.address == own:
            continue
        async with clients.journal.write(PLANE, "unmark default", finding.address):
            await clients.kubernetes.patch(
                *STORAGE_CLASS, finding.address.split("/")[1], {"metadata": {"annotations": {DEFAULT_MARK: "false"}}}
            )
        made.append(finding.address)
    if _must_be_made_anew(findings, own) and wanted.name in observed.classes:
        # Provisioner and parameters of a class are immutable; the volumes it made do not depend on it any more.
        async with clients.journal.write(PLANE, "delete", own):
            await clients.kubernetes.delete(*STORAGE_CLASS, wanted.name)
    made += await manifests.apply(clients.kubernetes, clients.journal, PLANE, [wanted.manifest], findings)
    return made


async def probe(wanted: Wanted, clients: Clients) -> str:
    """Bind a 1 GiB claim of the default class once, delete it again, and note the proof on the class.

    The note goes with the class: one that was made anew is proved anew, and a run that finds it makes no write.

    Raises:
        DeadlineExceeded: the claim stays unbound (wrong zone, no provisioner), with what the cluster says about it.
    """
    live = await clients.kubernetes.get(*STORAGE_CLASS, wanted.name)
    proved = ((live or {}).get("metadata", {}).get("annotations") or {}).get(PROVED_MARK)
    if proved:
        return f"a claim was bound on {proved}"
    await _bind_and_delete(clients)
    note = {"metadata": {"annotations": {PROVED_MARK: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}}}
    async with clients.journal.write(PLANE, "note proof", manifests.address(wanted.manifest)):
        await clients.kubernetes.patch(*STORAGE_CLASS, wanted.name, note)
    return "a 1 GiB claim was bound and deleted"


async def _bind_and_delete(clients: Clients) -> None:
    namespace = manifests.namespace(manifests.SYSTEM_NAMESPACE)
    live = await manifests.read(clients.kubernetes, [namespace])
    missing = manifests.compare(PLANE, [namespace], live)
    await manifests.apply(clients.kubernetes, clients.journal, PLANE, [namespace], missing)
    # A claim left by a run that was killed would say nothing about today.
    await manifests.remove(clients.kubernetes, clients.journal, PLANE, [CLAIM], timeout=clients.settings.probe_timeout)
    async with clients.journal.write(PLANE, "create", manifests.address(CLAIM)):
        await clients.kubernetes.create(CLAIM)

    async def bound() -> None:
        claim = await clients.kubernetes.get("v1", CLAIM["kind"], CLAIM["metadata"]["name"], SYSTEM)
        phase = (claim or {}).get("status", {}).get("phase", "Pending")
        if phase != "Bound":
            raise NotYet(f"The probe claim is {phase}.", detail=await _events(clients))

    try:
        await clients.until(bound, describe="a 1 GiB claim of the default StorageClass to be bound")
    finally:
        await manifests.remove(
            clients.kubernetes, clients.journal, PLANE, [CLAIM], timeout=clients.settings.probe_timeout
        )


async def _events(clients: Clients) -> str | None:
    events = await clients.kubernetes.list(
        "v1", "Event", SYSTEM, field_selector=f"involvedObject.name={CLAIM['metadata']['name']}"
    )
    return str(events[-1].get("message")) if events else None


def _is_default(live: dict[str, Any]) -> bool:
    return (live["metadata"].get("annotations") or {}).get(DEFAULT_MARK) == "true"


def _must_be_made_anew(findings: list[Finding], own: str) -> bool:
    immutable = (".provisioner", ".parameters", ".reclaimPolicy", ".volumeBindingMode")
    return any(finding.address == own and finding.path.startswith(immutable) for finding in findings)
