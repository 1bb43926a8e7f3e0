"""What comparing Kubernetes objects has to know about fields: data, by field name.

Taken from the OpenAPI of Kubernetes 1.36 (keys of lists, quantities, maps) and from its Go types (which optional
scalars are pointers, whose zero value is kept); tests hold the tables against what the API server serves, and the
zeros against what it keeps. By name and not by type, since that serves the pod templates inside custom resources as
well, and no name needs two meanings.
"""

from __future__ import annotations

import re
from typing import Final

BUILTIN_GROUPS: Final = frozenset(
    {
        "",
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "apps",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "autoscaling",
        "batch",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "extensions",
        "flowcontrol.apiserver.k8s.io",
        "internal.apiserver.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "policy",
        "rbac.authorization.k8s.io",
        "resource.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
        "storagemigration.k8s.io",
    }
)
"""The API server's own groups. Others that end in `.k8s.io` are of custom resources: the Gateway API, snapshots."""

LIST_KEYS: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "claims": (("name",),),
    "conditions": (("type",),),
    "containers": (("name",),),
    "env": (("name",),),
    "ephemeralContainers": (("name",),),
    "hostAliases": (("ip",),),
    "imagePullSecrets": (("name",),),
    "initContainers": (("name",),),
    "matchConditions": (("name",),),
    "ownerReferences": (("uid",),),
    "ports": (("containerPort", "protocol"), ("port", "protocol")),
    "resourceClaims": (("name",),),
    "schedulingGates": (("name",),),
    "secrets": (("name",),),
    "topologySpreadConstraints": (("topologyKey", "whenUnsatisfiable"),),
    "variables": (("name",),),
    "volumeDevices": (("devicePath",),),
    "volumeMounts": (("mountPath",),),
    "volumes": (("name",),),
    "webhooks": (("name",),),
    "x-kubernetes-validations": (("rule",),),
}
"""Lists whose items have a key: their order does not matter. The first fields that all items have are the key."""

SETS: Final = frozenset({"finalizers", "validationActions"})
"""Lists of scalars that several managers share, each owning its members."""

UNORDERED: Final = frozenset(
    {
        "accessModes",
        "apiGroups",
        "apiVersions",
        "categories",
        "nonResourceURLs",
        "operations",
        "policyTypes",
        "resourceNames",
        "resources",
        "shortNames",
        "verbs",
    }
)
"""Lists of scalars that one manager owns as a whole, whose order does not matter."""

UNORDERED_ITEMS: Final[dict[str, frozenset[tuple[str, ...]]]] = {
    "ClusterRole": frozenset({("rules",)}),
    "ClusterRoleBinding": frozenset({("subjects",)}),
    "HorizontalPodAutoscaler": frozenset({("spec", "metrics")}),
    "Role": frozenset({("rules",)}),
    "RoleBinding": frozenset({("subjects",)}),
}
"""Lists of items without a key whose order does not matter, by kind and path. Converting an autoscaler between its
versions moves the metrics."""

FREE_FORM: Final = frozenset(
    {
        "annotations",
        "binaryData",
        "data",
        "hard",
        "labels",
        "limits",
        "matchLabels",
        "nodeSelector",
        "parameters",
        "requests",
        "selector",
        "stringData",
        "userAnnotations",
        "volumeAttributes",
    }
)
"""Maps whose keys people choose: the API server adds none by default, and drops them when they are empty."""

QUANTITY_MAPS: Final = frozenset(
    {
        "allocatable",
        "capacity",
        "default",
        "defaultRequest",
        "hard",
        "limits",
        "max",
        "maxLimitRequestRatio",
        "min",
        "overhead",
        "podFixed",
        "requests",
    }
)
"""Maps of resource quantities."""

RESOURCES: Final = re.compile(r"cpu|memory|storage|ephemeral-storage|hugepages-.+|.+/.+")
"""Names of resources, by which a map of quantities is told from one of versions or of anything else."""

QUANTITIES: Final = frozenset({"averageValue", "divisor", "maximumVolumeSize", "sizeLimit", "tolerance", "value"})
"""Fields that may be quantities; `value` only where a metric's target holds it."""

POD_QUANTITIES: Final = frozenset({"divisor", "sizeLimit"})
"""Those of a pod, which custom resources have as well."""

KEPT_ZEROS: Final = frozenset(
    {
        "activeDeadlineSeconds",
        "adminAccess",
        "allocateLoadBalancerNodePorts",
        "allowPrivilegeEscalation",
        "allowVolumeExpansion",
        "attachRequired",
        "automountServiceAccountToken",
        "averageUtilization",
        "backoffLimit",
        "backoffLimitPerIndex",
        "blockOwnerDeletion",
        "borrowingLimitPercent",
        "completions",
        "controller",
        "default",
        "defaultMode",
        "enableServiceLinks",
        "endPort",
        "expirationSeconds",
        "failedJobsHistoryLimit",
        "fsGroup",
        "hostProcess",
        "hostUsers",
        "immutable",
        "leaseDurationSeconds",
        "leaseTransitions",
        "lendablePercent",
        "lun",
        "manualSelector",
        "maxFailedIndexes",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maxSurge",
        "maxUnavailable",
        "maximum",
        "minAvailable",
        "minDomains",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "mode",
        "multipleOf",
        "nominalConcurrencyShares",
        "optional",
        "parallelism",
        "podInfoOnMount",
        "privileged",
        "progressDeadlineSeconds",
        "readOnlyRootFilesystem",
        "ready",
        "replicas",
        "requiresRepublish",
        "revisionHistoryLimit",
        "runAsGroup",
        "runAsNonRoot",
        "runAsUser",
        "seLinuxMount",
        "serviceAccountTokenInSecrets",
        "serving",
        "setHostnameAsFQDN",
        "shareProcessNamespace",
        "stabilizationWindowSeconds",
        "start",
        "startingDeadlineSeconds",
        "storageCapacity",
        "succeededCount",
        "successfulJobsHistoryLimit",
        "suspend",
        "terminating",
        "terminationGracePeriodSeconds",
        "tolerationSeconds",
        "ttlSecondsAfterFinished",
        "weight",
    }
)
"""Optional numbers and booleans whose 0 or false the API server keeps: absent means somebody took it away."""

KEPT_TEXTS: Final = frozenset({"storageClassName"})
"""Optional text whose empty value says something else than none: a claim of no class, not of the default one."""

DROPPED_MAPS: Final = frozenset(
    {"definitions", "dependencies", "options", "patternProperties", "properties"} | (QUANTITY_MAPS - {"default"})
)
"""Maps that the API server drops when they are empty; a schema's `default: {}` it keeps."""

PICKED: Final = frozenset({"hostPort", "nodeName", "nodePort"})
"""Fields of which the cluster chooses the value where none is declared, unless a person wrote it."""

SERVER_METADATA: Final = frozenset(
    {
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "generation",
        "managedFields",
        "name",
        "namespace",
        "resourceVersion",
        "selfLink",
        "uid",
    }
)
"""Metadata that identifies an object or that the API server keeps for itself."""

TIES: Final = frozenset({"finalizers", "ownerReferences"})
"""Metadata by which controllers tie objects to each other and to their ends: an edit only where it is declared, or
where somebody at a keyboard wrote it."""

BOOKS: Final = frozenset({"labels", "annotations"})
"""Maps of the metadata in which tools and controllers keep books."""

NOISE_KEYS: Final = frozenset(
    {
        # Asks Argo CD to look again, which takes it away.
        "argocd.argoproj.io/refresh",
        "autoscaling.alpha.kubernetes.io/conditions",
        "autoscaling.alpha.kubernetes.io/current-metrics",
        "control-plane.alpha.kubernetes.io/leader",
        "deployment.kubernetes.io/desired-replicas",
        "deployment.kubernetes.io/max-replicas",
        "deployment.kubernetes.io/revision",
        "deprecated.daemonset.template.generation",
        "endpoints.kubernetes.io/last-change-trigger-time",
        "kubectl.kubernetes.io/last-applied-configuration",
        # `kubectl rollout restart`: it changes nothing, and taking it away would restart once more.
        "kubectl.kubernetes.io/restartedAt",
        "kubernetes.io/metadata.name",
    }
)
"""Labels and annotations that tools and controllers keep books in: never a finding, whoever wrote them."""

MOVED_KEYS: Final = frozenset({"autoscaling.alpha.kubernetes.io/behavior", "autoscaling.alpha.kubernetes.io/metrics"})
"""Annotations in which version 1 shows what only a newer version of a kind has a field for. Who wrote it did so to the
field: under the annotation's name, it is in nobody's books."""

HELM_MARKS: Final = frozenset(
    {"app.kubernetes.io/managed-by", "meta.helm.sh/release-name", "meta.helm.sh/release-namespace"}
)
"""What Helm knows its objects by: nothing extra where it is not declared, and missed where it is."""

CONTROLLER_PREFIXES: Final = (
    "batch.kubernetes.io/",
    "endpointslice.kubernetes.io/",
    "pv.kubernetes.io/",
    "volume.beta.kubernetes.io/",
    "volume.kubernetes.io/",
)
"""Labels and annotations of the cluster's own protocols: nothing extra, whatever the controller calls itself."""

CONTROLLER_KEYS: Final = frozenset(
    {
        "controller-uid",
        "job-name",
        "kubernetes.io/legacy-token-last-used",
        "kubernetes.io/limit-ranger",
        "kubernetes.io/service-account.uid",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    }
)
"""Labels and annotations that the cluster adds, admission in the name of whoever creates the object: left alone where
it is not known who wrote them."""

CONTROLLER_DATA: Final[dict[str, frozenset[str]]] = {
    "kubernetes.io/service-account-token": frozenset({"ca.crt", "namespace", "token"}),
}
"""Keys of a Secret, by its type, that a controller fills in: left alone where it is not known who wrote them."""

ALLOTTED: Final = frozenset({"caBundle", "ingressClassName", "nodeName", "nodePort", "storageClassName"})
"""Fields that the cluster may fill in when an object is created, in the name of its creator."""

CONTROLLER_FINALIZERS: Final = (
    "external-attacher/",
    "external-provisioner.volume.kubernetes.io/",
    "foregroundDeletion",
    "gateway-exists-finalizer.",
    "kubernetes",
    "networking.k8s.io/",
    "orphan",
    "service.kubernetes.io/",
)
"""Beginnings of the finalizers of the cluster's own protocols."""

RUNTIME_FIELDS: Final[dict[str, frozenset[str]]] = {
    # A sync under way: whoever asks for one, Argo CD takes it away when it begins.
    "Application.argoproj.io": frozenset({"operation"}),
    "Lease": frozenset(
        {
            "acquireTime",
            "holderIdentity",
            "leaseDurationSeconds",
            "leaseTransitions",
            "preferredHolder",
            "renewTime",
            "strategy",
        }
    ),
}
"""Fields, by kind, that whatever program uses the object writes all the time, where they are not declared."""

CONTROLLER_LISTS: Final = frozenset({"conditions", "ownerReferences", "secrets"})
"""Keyed lists that controllers write: a ServiceAccount's tokens before Kubernetes 1.24, owners."""

ASSIGNED: Final = frozenset({"limits", "requests"})
"""Free-form maps that admission (a LimitRange) fills in."""

LABELS_FROM_TEMPLATE: Final = frozenset({"Job", "ReplicationController"})
"""Kinds that get their template's labels, the second a selector of them as well, where they have none."""

DURATIONS: Final = frozenset({"duration", "renewBefore"})
"""Fields of custom resources (cert-manager) that are durations as Go writes them."""

OMITTED_FALSE: Final = frozenset({"isCA"})
"""Fields of custom resources whose false is left out by those who write them through Go types (cert-manager)."""
