"""What the API server puts where nothing is declared: data, by field name, and by place where a name says too little.

From `SetDefaults_*` and the strategies of Kubernetes 1.28 to 1.36, and the defaults in the schemas of the Gateway API
and of cert-manager 1.19; tests/corpora/manifests/defaults.yaml has an example of most. A value here makes whoever
writes it by hand invisible: nothing belongs here that is the default in one place and an edit in another.
"""

from __future__ import annotations

from typing import Any, Final

ANY: Final = object()
"""Allotted by the API server, or never changed afterwards: no value says that a person chose it."""

NONE: Final = object()
"""Absent or empty, as a condition."""

_SCALE_UP: Final = [{"type": "Pods", "value": 4, "periodSeconds": 15},
                    {"type": "Percent", "value": 100, "periodSeconds": 15}]  # fmt: skip
_SCALE_DOWN: Final = [{"type": "Percent", "value": 100, "periodSeconds": 15}]
_CPU: Final = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}
_DAEMON: Final = ({"maxSurge": 0, "maxUnavailable": 1}, {"maxUnavailable": 1})
_ORDINAL: Final = ({"partition": 0}, {"partition": 0, "maxUnavailable": 1})
_QUARTER: Final = {"maxSurge": "25%", "maxUnavailable": "25%"}
_ROOT: Final = {"type": "PathPrefix", "value": "/"}

DEFAULTS: Final[dict[str, tuple[Any, ...]]] = {
    "allocateLoadBalancerNodePorts": (True,),
    "allocationMode": ("ExactCount",),
    "allowVolumeExpansion": (False,),
    "apiGroup": ("", "rbac.authorization.k8s.io"),
    "apiVersion": ("v1",),
    "attachRequired": (True,),
    "backoffLimit": (6,),
    "caBundle": ("",),
    "completionMode": ("NonIndexed",),
    "concurrencyPolicy": ("Allow",),
    "conversion": ({"strategy": "None"},),
    "defaultMode": (420,),
    "divisor": ("0", "1"),
    "dnsPolicy": ("ClusterFirst",),
    "emptyDir": ({},),
    "enableServiceLinks": (True,),
    "externalTrafficPolicy": ("Cluster",),
    "failedJobsHistoryLimit": (1,),
    "failurePolicy": ("Fail",),
    "failureThreshold": (3,),
    "finalizers": (["kubernetes.io/pvc-protection"], ["kubernetes.io/pv-protection"], ["kubernetes"]),
    "fsGroupPolicy": ("ReadWriteOnceWithFSType",),
    "handSize": (8,),
    "initialDelaySeconds": (0,),
    "internalTrafficPolicy": ("Cluster",),
    "ipFamilyPolicy": ("SingleStack",),
    "iscsiInterface": ("default",),
    "lendablePercent": (0,),
    "manualSelector": (False,),
    "matchPolicy": ("Equivalent",),
    "matchingPrecedence": (1000,),
    "metadata": ({},),
    "metrics": ([{"type": "Resource", "resource": _CPU}],),
    "nodeAffinityPolicy": ("Honor",),
    "nodeTaintsPolicy": ("Ignore",),
    "objectSelector": ({},),
    "parallelism": (1,),
    "parameterNotFoundAction": ("Deny",),
    "pathType": ("ImplementationSpecific",),
    "periodSeconds": (10,),
    "persistentVolumeReclaimPolicy": ("Retain",),
    "podInfoOnMount": (False,),
    "podManagementPolicy": ("OrderedReady",),
    "podReplacementPolicy": ("TerminatingOrFailed",),
    "preemptionPolicy": ("PreemptLowerPriority",),
    "progressDeadlineSeconds": (600,),
    "protocol": ("TCP",),
    "queueLengthLimit": (50,),
    "queues": (64,),
    "reclaimPolicy": ("Delete",),
    "reinvocationPolicy": ("Never",),
    "replicas": (1,),
    "requiresRepublish": (False,),
    "resources": ({},),
    "revisionHistoryLimit": (10,),
    "scaleDown": ({"policies": _SCALE_DOWN, "selectPolicy": "Max"},),
    "scaleUp": ({"policies": _SCALE_UP, "selectPolicy": "Max", "stabilizationWindowSeconds": 0},),
    "schedulerName": ("default-scheduler",),
    "scheme": ("HTTP",),
    "scope": ("*",),
    "seLinuxMount": (False,),
    "securityContext": ({},),
    "selectPolicy": ("Max",),
    "service": ({"port": 443},),
    "sessionAffinity": ("None",),
    "sessionAffinityConfig": ({"clientIP": {"timeoutSeconds": 10800}},),
    "storageCapacity": (False,),
    "strategy": ({"type": "RollingUpdate", "rollingUpdate": _QUARTER}, "None"),
    "successThreshold": (1,),
    "successfulJobsHistoryLimit": (3,),
    "suspend": (False,),
    "terminationMessagePath": ("/dev/termination-log",),
    "terminationMessagePolicy": ("File",),
    "type": ("ClusterIP", "Opaque", "RollingUpdate", ""),
    "updateStrategy": tuple({"type": "RollingUpdate", "rollingUpdate": each} for each in (*_ORDINAL, *_DAEMON)),
    "volumeBindingMode": ("Immediate",),
    "volumeLifecycleModes": (["Persistent"],),
    "volumeMode": ("Filesystem",),
    "whenDeleted": ("Retain",),
    "whenScaled": ("Retain",),
}  # fmt: skip
"""What the API server puts where nothing is declared, for the fields of which nobody can say who put it there."""

EVERYWHERE: Final = ""
"""Every built-in kind, in `DEFAULTS_WITHIN`."""

DEFAULTS_WITHIN: Final[dict[str, dict[str, dict[str, tuple[Any, ...]]]]] = {
    EVERYWHERE: {
        "azureDisk": {"cachingMode": ("ReadWrite",), "fsType": ("ext4",), "kind": ("Shared",), "readOnly": (False,)},
        "claimRef": {"kind": ("PersistentVolumeClaim",)},
        "clientIP": {"timeoutSeconds": (10800,)},
        "exempt": {"nominalConcurrencyShares": (0,)},
        "httpGet": {"path": ("/",)},
        "limited": {"assuredConcurrencyShares": (30,), "nominalConcurrencyShares": (30,)},
        "livenessProbe": {"timeoutSeconds": (1,)},
        "matchConstraints": {"namespaceSelector": ({},)},
        "matchResources": {"namespaceSelector": ({},)},
        "onPodConditions": {"status": ("True",)},
        "rbd": {"keyring": ("/etc/ceph/keyring",), "pool": ("rbd",), "user": ("admin",)},
        "readinessProbe": {"timeoutSeconds": (1,)},
        "service": {"port": (443,)},
        "serviceAccountToken": {"expirationSeconds": (3600,)},
        "spec": {"restartPolicy": ("Always",), "terminationGracePeriodSeconds": (30,)},
        "startupProbe": {"timeoutSeconds": (1,)},
        "webhooks": {"namespaceSelector": ({},), "timeoutSeconds": (10,)},
    },
    "Certificate.cert-manager.io": {"issuerRef": {"group": ("cert-manager.io",), "kind": ("Issuer",)}},
    "CustomResourceDefinition": {"names": {"listKind": (ANY,), "singular": (ANY,)}},
    "DaemonSet": {"rollingUpdate": {"maxSurge": (0,)}, "updateStrategy": {"rollingUpdate": _DAEMON}},
    "Deployment": {
        "rollingUpdate": {"maxSurge": ("25%",), "maxUnavailable": ("25%",)},
        "strategy": {"rollingUpdate": (_QUARTER,)},
    },
    "EndpointSlice": {"endpoints": {"conditions": ({},)}},
    "GRPCRoute.gateway.networking.k8s.io": {
        "backendRef": {"kind": ("Service",)},
        "backendRefs": {"kind": ("Service",), "weight": (1,)},
        "headers": {"type": ("Exact",)},
        "method": {"type": ("Exact",)},
        "parentRefs": {"group": ("gateway.networking.k8s.io",), "kind": ("Gateway",)},
        "sessionPersistence": {"type": ("Cookie",)},
    },
    "Gateway.gateway.networking.k8s.io": {
        "allowedRoutes": {"namespaces": ({"from": "Same"},)},
        "certificateRefs": {"kind": ("Secret",)},
        "kinds": {"group": ("gateway.networking.k8s.io",)},
        "listeners": {"allowedRoutes": ({"namespaces": {"from": "Same"}},)},
        "namespaces": {"from": ("Same",)},
        "tls": {"mode": ("Terminate",)},
    },
    "HTTPRoute.gateway.networking.k8s.io": {
        "backendRef": {"kind": ("Service",)},
        "backendRefs": {"kind": ("Service",), "weight": (1,)},
        "headers": {"type": ("Exact",)},
        "matches": {"path": (_ROOT,)},
        "parentRefs": {"group": ("gateway.networking.k8s.io",), "kind": ("Gateway",)},
        "path": {"type": ("PathPrefix",), "value": ("/",)},
        "queryParams": {"type": ("Exact",)},
        "requestRedirect": {"statusCode": (302,)},
        "rules": {"matches": ([{"path": _ROOT}],)},
        "sessionPersistence": {"type": ("Cookie",)},
    },
    "HorizontalPodAutoscaler": {
        "scaleDown": {"policies": (_SCALE_DOWN,), "stabilizationWindowSeconds": (300,)},
        "scaleUp": {"policies": (_SCALE_UP,), "stabilizationWindowSeconds": (0,)},
        "spec": {"minReplicas": (1,)},
    },
    "IngressClass": {"parameters": {"scope": ("Cluster",)}},
    "Job": {"spec": {"selector": (ANY,)}},
    "PersistentVolumeClaim": {"spec": {"volumeName": (ANY,)}},
    "Pod": {"spec": {"priority": (0,), "serviceAccount": ("default",), "serviceAccountName": ("default",)}},
    "ResourceClaim": {"exactly": {"count": (1,)}, "firstAvailable": {"count": (1,)}},
    "ResourceClaimTemplate": {"exactly": {"count": (1,)}, "firstAvailable": {"count": (1,)}},
    "Service": {
        "spec": {"clusterIP": (ANY,), "clusterIPs": (ANY,), "healthCheckNodePort": (ANY,), "ipFamilies": (ANY,)},
    },
    "StatefulSet": {
        "rollingUpdate": {"partition": (0,)},
        "updateStrategy": {"rollingUpdate": _ORDINAL},
        "volumeClaimTemplates": {"kind": ("PersistentVolumeClaim",), "status": (ANY,)},
    },
}  # fmt: skip
"""The same by kind (a custom one with its group), by the field that holds it, and by its name: what elsewhere would be
an edit, and keys that the API server puts into maps whose keys people choose in other kinds."""

DERIVED: Final[dict[str, tuple[tuple[Any, dict[str, Any]], ...]]] = {
    "backoffLimit": ((2147483647, {"backoffLimitPerIndex": ANY}),),
    "completions": ((1, {"parallelism": NONE}),),
    "ipFamilyPolicy": (("RequireDualStack", {"clusterIP": "None", "selector": NONE}),),
    "podReplacementPolicy": (("Failed", {"podFailurePolicy": ANY}),),
    "policyTypes": ((["Ingress"], {"egress": NONE}), (["Ingress", "Egress"], {"egress": ANY})),
}
"""Defaults of built-in kinds that hold only where this is declared beside them."""

COPIES: Final[dict[str, str]] = {
    "dataSource": "dataSourceRef",
    "dataSourceRef": "dataSource",
    "serviceAccount": "serviceAccountName",
    "serviceAccountName": "serviceAccount",
    "targetPort": "port",
}
"""Fields of built-in kinds that get the value of the declared one beside them."""

_TOKEN_SOURCES: Final = [
    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    {"downwardAPI": {"items": [{"path": "namespace",
                                "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
]  # fmt: skip
_EVICTED: Final = {"effect": "NoExecute", "operator": "Exists", "tolerationSeconds": 300}

ADMITTED: Final[dict[str, dict[str, tuple[dict[str, Any], ...]]]] = {
    "Pod": {
        "tolerations": (
            {"key": "node.kubernetes.io/not-ready", **_EVICTED},
            {"key": "node.kubernetes.io/unreachable", **_EVICTED},
        ),
        "volumeMounts": (
            {"name": ANY, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True},
        ),
        "volumes": ({"name": ANY, "projected": {"defaultMode": 420, "sources": _TOKEN_SOURCES}},),
    },
}
"""Items that the built-in admission adds to the lists of a kind."""
