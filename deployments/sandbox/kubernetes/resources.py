"""The kinds the server knows: built-in ones as data, custom ones added and removed by CRDs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from deployments.sandbox.kubernetes.errors import qualified
from deployments.sandbox.kubernetes.types import Type, library

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Scale:
    """Where the scale subresource reads and writes, as dotted paths."""

    spec_replicas: str = "spec.replicas"
    status_replicas: str = "status.replicas"
    selector: str = "spec.selector"


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind at one served version.

    Attributes:
        storage: where its objects are kept; the same for all versions of a kind.
        generation: metadata.generation counts changes of anything but metadata and status.
        status: it has the status subresource.
        custom: the CRD version's entry for custom resources, else None.
        hub: the version that CRs are stored as, for the request's managedFields.
    """

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    schema: Type
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    generation: bool = False
    status: bool = False
    scale: Scale | None = None
    custom: dict[str, Any] | None = None
    subresources: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def storage(self) -> str:
        return qualified(self.group, self.plural)

    @property
    def list_kind(self) -> str:
        if self.custom is not None:
            return str(self.custom.get("listKind") or f"{self.kind}List")
        return f"{self.kind}List"

    @property
    def preferred(self) -> int:
        """The place of this version in the group's order of preference, 0 first."""
        return int(self.custom["rank"]) if self.custom else 0


# group/version | Kind | plural | short names | categories | scope | flags (g generation, s status, r replicas/scale)
_BUILTIN = """
v1 | Namespace | namespaces | ns | | C | s
v1 | Node | nodes | no | | C | s
v1 | Pod | pods | po | all | N | s
v1 | Service | services | svc | all | N | s
v1 | ConfigMap | configmaps | cm | | N |
v1 | Secret | secrets | | | N |
v1 | ServiceAccount | serviceaccounts | sa | | N |
v1 | Endpoints | endpoints | ep | | N |
v1 | Event | events | ev | | N |
v1 | LimitRange | limitranges | limits | | N |
v1 | PersistentVolumeClaim | persistentvolumeclaims | pvc | | N | s
v1 | PersistentVolume | persistentvolumes | pv | | C | s
v1 | PodTemplate | podtemplates | | | N | g
v1 | ReplicationController | replicationcontrollers | rc | all | N | gsr
v1 | ResourceQuota | resourcequotas | quota | | N | s
apps/v1 | Deployment | deployments | deploy | all | N | gsr
apps/v1 | ReplicaSet | replicasets | rs | all | N | gsr
apps/v1 | StatefulSet | statefulsets | sts | all | N | gsr
apps/v1 | DaemonSet | daemonsets | ds | all | N | gs
apps/v1 | ControllerRevision | controllerrevisions | | | N |
batch/v1 | Job | jobs | | all | N | gs
batch/v1 | CronJob | cronjobs | cj | all | N | gs
autoscaling/v2 | HorizontalPodAutoscaler | horizontalpodautoscalers | hpa | all | N | s
networking.k8s.io/v1 | Ingress | ingresses | ing | | N | gs
networking.k8s.io/v1 | IngressClass | ingressclasses | | | C | g
networking.k8s.io/v1 | NetworkPolicy | networkpolicies | netpol | | N | g
policy/v1 | PodDisruptionBudget | poddisruptionbudgets | pdb | | N | gs
rbac.authorization.k8s.io/v1 | Role | roles | | | N |
rbac.authorization.k8s.io/v1 | RoleBinding | rolebindings | | | N |
rbac.authorization.k8s.io/v1 | ClusterRole | clusterroles | | | C |
rbac.authorization.k8s.io/v1 | ClusterRoleBinding | clusterrolebindings | | | C |
storage.k8s.io/v1 | StorageClass | storageclasses | sc | | C |
storage.k8s.io/v1 | VolumeAttachment | volumeattachments | | | C | s
storage.k8s.io/v1 | CSIDriver | csidrivers | | | C |
storage.k8s.io/v1 | CSINode | csinodes | | | C |
storage.k8s.io/v1 | CSIStorageCapacity | csistoragecapacities | | | N |
admissionregistration.k8s.io/v1|MutatingWebhookConfiguration|mutatingwebhookconfigurations||api-extensions|C|g
admissionregistration.k8s.io/v1|ValidatingWebhookConfiguration|validatingwebhookconfigurations||api-extensions|C|g
apiextensions.k8s.io/v1 | CustomResourceDefinition | customresourcedefinitions | crd,crds | api-extensions | C | gs
apiregistration.k8s.io/v1 | APIService | apiservices | | api-extensions | C | s
scheduling.k8s.io/v1 | PriorityClass | priorityclasses | pc | | C | g
coordination.k8s.io/v1 | Lease | leases | | | N |
node.k8s.io/v1 | RuntimeClass | runtimeclasses | | | C |
discovery.k8s.io/v1 | EndpointSlice | endpointslices | | | N | g
certificates.k8s.io/v1 | CertificateSigningRequest | certificatesigningrequests | csr | | C | s
flowcontrol.apiserver.k8s.io/v1 | FlowSchema | flowschemas | | | C | gs
flowcontrol.apiserver.k8s.io/v1 | PriorityLevelConfiguration | prioritylevelconfigurations | | | C | gs
"""

CREATE_ONLY = {
    "authentication.k8s.io/v1": (("TokenReview", "tokenreviews", False), ("SelfSubjectReview", "selfsubjectreviews",
        False)),
    "authorization.k8s.io/v1": (
        ("SelfSubjectAccessReview", "selfsubjectaccessreviews", False),
        ("SelfSubjectRulesReview", "selfsubjectrulesreviews", False),
        ("SubjectAccessReview", "subjectaccessreviews", False),
        ("LocalSubjectAccessReview", "localsubjectaccessreviews", True),
    ),
}  # fmt: skip
"""Kinds that are answered and never stored."""

EXTRA_SUBRESOURCES = {
    "pods": ("binding", "eviction", "log"),
    "namespaces": ("finalize",),
    "serviceaccounts": ("token",),
    "certificatesigningrequests": ("approval",),
}

GROUP_ORDER = (
    "apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io", "authorization.k8s.io", "autoscaling",
    "batch", "certificates.k8s.io", "networking.k8s.io", "policy", "rbac.authorization.k8s.io", "storage.k8s.io",
    "admissionregistration.k8s.io", "apiextensions.k8s.io", "scheduling.k8s.io", "coordination.k8s.io", "node.k8s.io",
    "discovery.k8s.io", "flowcontrol.apiserver.k8s.io",
)  # fmt: skip


def type_name(group: str, version: str, kind: str) -> str:
    """The definition's short name: `networking.k8s.io`, `v1`, `Ingress` -> `networking.v1.Ingress`."""
    return f"{group.split('.', maxsplit=1)[0] or 'core'}.{version}.{kind}"


def builtin() -> Iterator[Resource]:
    """Every stored built-in kind."""
    for line in _BUILTIN.strip().splitlines():
        api, kind, plural, short, categories, scope, flags = (part.strip() for part in line.split("|"))
        group, _, version = api.rpartition("/")
        extra = EXTRA_SUBRESOURCES.get(plural, ())
        yield Resource(
            group=group,
            version=version,
            kind=kind,
            plural=plural,
            singular=kind.lower(),
            namespaced=scope == "N",
            schema=library().get(type_name(group, version, kind)),
            short_names=tuple(filter(None, short.split(","))),
            categories=tuple(filter(None, categories.split(","))),
            generation="g" in flags,
            status="s" in flags,
            scale=Scale(selector="spec.selector") if "r" in flags else None,
            subresources=(*(("status",) if "s" in flags else ()), *(("scale",) if "r" in flags else ()), *extra),
        )


@dataclass
class Registry:
    """Everything served now, by group/version/plural and by group/version/kind."""

    _by_plural: dict[tuple[str, str, str], Resource] = field(default_factory=dict)

    @classmethod
    def with_builtins(cls) -> Registry:
        registry = cls()
        for resource in builtin():
            registry.add(resource)
        return registry

    def add(self, resource: Resource) -> None:
        self._by_plural[resource.group, resource.version, resource.plural] = resource

    def remove(self, group: str, plural: str) -> None:
        """Stop serving every version of a custom kind."""
        for key in [key for key in self._by_plural if key[0] == group and key[2] == plural]:
            del self._by_plural[key]

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        return self._by_plural.get((group, version, plural))

    def by_kind(self, group: str, kind: str, version: str | None = None) -> Resource | None:
        for resource in self._by_plural.values():
            if resource.group == group and resource.kind == kind and version in (None, resource.version):
                return resource
        return None

    def by_storage(self, storage: str) -> Resource | None:
        """The preferred version of what is kept under `storage`."""
        found = [resource for resource in self._by_plural.values() if resource.storage == storage]
        return min(found, key=lambda resource: resource.preferred) if found else None

    def all(self) -> list[Resource]:
        return list(self._by_plural.values())

    def groups(self) -> dict[str, list[str]]:
        """Served versions of each named group, preferred first."""
        versions: dict[str, dict[str, int]] = {}
        for api in CREATE_ONLY:
            group, _, version = api.partition("/")
            versions.setdefault(group, {})[version] = 0
        for resource in self._by_plural.values():
            if resource.group:
                held = versions.setdefault(resource.group, {})
                held[resource.version] = min(resource.preferred, held.get(resource.version, 1000))
        order = {group: position for position, group in enumerate(GROUP_ORDER)}
        ranked = sorted(versions, key=lambda group: (order.get(group, len(order)), group))
        return {group: sorted(versions[group], key=lambda version: versions[group][version]) for group in ranked}
