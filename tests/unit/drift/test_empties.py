"""What is declared as empty, and filled in by the API server: no drift, and an edit of it is found."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.unit.drift.comparing import Object, book, compare, paths, written

CASES = """
Service, clusterIP and the like:
  kind: Service
  declared: {spec: {clusterIP: "", clusterIPs: [], type: "", sessionAffinity: "", ipFamilies: [], ports: [{port: 80, protocol: "", nodePort: 0, targetPort: ""}]}}
  live: {spec: {clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1], type: ClusterIP, sessionAffinity: None, ipFamilies: [IPv4], ipFamilyPolicy: SingleStack, ports: [{port: 80, protocol: TCP, targetPort: 80}]}}
  edits:
    .spec.sessionAffinity: {spec: {sessionAffinity: ClientIP}}
    .spec.type: {spec: {type: LoadBalancer}}
    ".spec.ports[port=80,protocol=TCP].targetPort": {spec: {ports: [{port: 80, protocol: TCP, targetPort: 8080}]}}
Deployment:
  apiVersion: apps/v1
  kind: Deployment
  declared: {spec: {strategy: {type: ""}, template: {spec: {restartPolicy: "", dnsPolicy: "", schedulerName: "", serviceAccountName: "", containers: [{name: c, image: b, imagePullPolicy: "", terminationMessagePath: "", ports: [{containerPort: 80, protocol: "", hostPort: 0}], livenessProbe: {httpGet: {port: 80, path: "", scheme: ""}, timeoutSeconds: 0, periodSeconds: 0}}]}}}}
  live: {spec: {strategy: {type: RollingUpdate}, template: {spec: {restartPolicy: Always, dnsPolicy: ClusterFirst, schedulerName: default-scheduler, containers: [{name: c, image: b, imagePullPolicy: Always, terminationMessagePath: /dev/termination-log, ports: [{containerPort: 80, protocol: TCP}], livenessProbe: {httpGet: {port: 80, path: /, scheme: HTTP}, timeoutSeconds: 1, periodSeconds: 10}}]}}}}
  edits:
    .spec.strategy.type: {spec: {strategy: {type: Recreate}}}
    .spec.template.spec.schedulerName: {spec: {template: {spec: {schedulerName: mine}}}}
    .spec.template.spec.serviceAccountName: {spec: {template: {spec: {serviceAccountName: admin, serviceAccount: admin}}}}
    ".spec.template.spec.containers[name=c].imagePullPolicy": {spec: {template: {spec: {containers: [{imagePullPolicy: Never}]}}}}
    ".spec.template.spec.containers[name=c].livenessProbe.timeoutSeconds": {spec: {template: {spec: {containers: [{livenessProbe: {timeoutSeconds: 10}}]}}}}
    ".spec.template.spec.containers[name=c].livenessProbe.httpGet.path": {spec: {template: {spec: {containers: [{livenessProbe: {httpGet: {path: /x}}}]}}}}
both names of a ServiceAccount:
  apiVersion: apps/v1
  kind: DaemonSet
  declared: {spec: {template: {spec: {serviceAccount: "", serviceAccountName: "", containers: [{name: c}]}}}}
  live: {spec: {template: {spec: {containers: [{name: c}]}}}}
  edits:
    .spec.template.spec.serviceAccountName: {spec: {template: {spec: {serviceAccountName: admin, serviceAccount: admin}}}}
a NetworkPolicy for Ingress:
  apiVersion: networking.k8s.io/v1
  kind: NetworkPolicy
  declared: {spec: {podSelector: {}, policyTypes: [], ingress: [], egress: []}}
  live: {spec: {podSelector: {}, policyTypes: [Ingress]}}
  edits:
    ".spec.policyTypes[=Egress]": {spec: {policyTypes: [Ingress, Egress]}}
a NetworkPolicy for both:
  apiVersion: networking.k8s.io/v1
  kind: NetworkPolicy
  declared: {spec: {podSelector: {}, policyTypes: [], egress: [{to: []}]}}
  live: {spec: {podSelector: {}, policyTypes: [Ingress, Egress], egress: [{}]}}
  edits:
    ".spec.policyTypes[=Ingress]": {spec: {policyTypes: [Ingress]}}
a RoleBinding:
  apiVersion: rbac.authorization.k8s.io/v1
  kind: RoleBinding
  declared: {roleRef: {apiGroup: "", kind: Role, name: x}, subjects: [{kind: User, name: u, apiGroup: ""}]}
  live: {roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: x}, subjects: [{kind: User, name: u, apiGroup: rbac.authorization.k8s.io}]}
  edits:
    .roleRef.name: {roleRef: {name: cluster-admin}}
a Secret:
  kind: Secret
  declared: {type: "", data: {}}
  live: {type: Opaque}
  edits:
    .data.x: {data: {x: eA==}}
a claim without a class:
  kind: PersistentVolumeClaim
  declared: {spec: {storageClassName: "", volumeName: "", resources: {requests: {storage: 1Gi}, limits: {}}}}
  live: {spec: {storageClassName: "", volumeName: pv-1, volumeMode: Filesystem, resources: {requests: {storage: 1Gi}}}}
  edits:
    .spec.storageClassName: {spec: {storageClassName: fast}}
a PersistentVolume:
  kind: PersistentVolume
  declared: {spec: {persistentVolumeReclaimPolicy: ""}}
  live: {spec: {persistentVolumeReclaimPolicy: Retain}}
  edits:
    .spec.persistentVolumeReclaimPolicy: {spec: {persistentVolumeReclaimPolicy: Delete}}
a LimitRange:
  kind: LimitRange
  declared: {spec: {limits: [{type: Container, min: {}, max: {cpu: "1"}}]}}
  live: {spec: {limits: [{type: Container, max: {cpu: "1"}, default: {cpu: "1"}, defaultRequest: {cpu: "1"}}]}}
  edits:
    ".spec.limits[0].max.cpu": {spec: {limits: [{max: {cpu: "2"}}]}}
a priority level:
  apiVersion: flowcontrol.apiserver.k8s.io/v1
  kind: PriorityLevelConfiguration
  declared: {spec: {limited: {limitResponse: {queuing: {queues: 0, handSize: 0}}}}}
  live: {spec: {limited: {limitResponse: {queuing: {queues: 64, handSize: 8}}}}}
  edits:
    .spec.limited.limitResponse.queuing.queues: {spec: {limited: {limitResponse: {queuing: {queues: 8}}}}}
a CronJob:
  apiVersion: batch/v1
  kind: CronJob
  declared: {spec: {concurrencyPolicy: ""}}
  live: {spec: {concurrencyPolicy: Allow}}
  edits:
    .spec.concurrencyPolicy: {spec: {concurrencyPolicy: Forbid}}
a CSIDriver:
  apiVersion: storage.k8s.io/v1
  kind: CSIDriver
  declared: {spec: {volumeLifecycleModes: []}}
  live: {spec: {volumeLifecycleModes: [Persistent]}}
  edits:
    .spec.volumeLifecycleModes: {spec: {volumeLifecycleModes: [Ephemeral]}}
a definition:
  apiVersion: apiextensions.k8s.io/v1
  kind: CustomResourceDefinition
  declared: {spec: {names: {kind: Wid, singular: "", listKind: ""}, versions: [{name: v1, schema: {openAPIV3Schema: {properties: {spec: {properties: {}, default: {}}}}}}]}}
  live: {spec: {names: {kind: Wid, singular: wid, listKind: WidList}, versions: [{name: v1, schema: {openAPIV3Schema: {properties: {spec: {default: {}}}}}}]}}
  edits:
    ".spec.versions[0].schema.openAPIV3Schema.properties.spec.default": {spec: {versions: [{schema: {openAPIV3Schema: {properties: {spec: null}}}}]}}
"""  # noqa: E501 - one line a side
TABLE: dict[str, Object] = yaml.safe_load(CASES)
EDITS = [(name, path) for name, case in TABLE.items() for path in case["edits"]]


def item(case: Object, content: Object) -> Object:
    identity = {"apiVersion": case.get("apiVersion", "v1"), "kind": case["kind"]}
    return {**identity, "metadata": {"name": "x", "namespace": "dev"}, **content}


def over(below: Any, above: Any) -> Any:
    """`below` with `above` laid over it; null empties a map."""
    if isinstance(below, dict):
        laid = {key: over(below.get(key), value) for key, value in (above or {}).items()}
        return {**below, **laid} if above is not None else {}
    if isinstance(below, list) and below and isinstance(below[0], dict):
        return [over(*each) for each in zip(below, above, strict=True)]
    return above


@pytest.mark.parametrize("name", TABLE)
def test_what_the_server_fills_in_is_no_drift(name: str) -> None:
    declared, live = (item(TABLE[name], TABLE[name][side]) for side in ("declared", "live"))
    assert paths(compare(declared, live)) == []
    assert paths(compare(declared, written(live))) == []


@pytest.mark.parametrize(("name", "path"), EDITS)
def test_an_edit_of_it_is_found(name: str, path: str) -> None:
    case = TABLE[name]
    live = item(case, over(case["live"], case["edits"][path]))
    assert path in paths(compare(item(case, case["declared"]), live))
    books = book("kubectl-edit", {"f:spec": {}, "f:data": {}})
    assert path in paths(compare(item(case, case["declared"]), written(live, books)))


@pytest.mark.parametrize("manager", ["helm", "kubectl-edit"])
def test_a_port_of_the_node_is_allotted_unless_a_person_chose_it(manager: str) -> None:
    ports = [{"port": 80, "protocol": "TCP", "nodePort": 0}]
    declared = item({"kind": "Service"}, {"spec": {"type": "NodePort", "ports": ports}})
    live = item({"kind": "Service"}, {"spec": {"type": "NodePort", "ports": [{**ports[0], "nodePort": 31000}]}})
    key = 'k:{"port":80,"protocol":"TCP"}'
    books = book(manager, {"f:spec": {"f:ports": {key: {".": {}, "f:nodePort": {}}}}})
    found = [".spec.ports[port=80,protocol=TCP].nodePort"] if manager == "kubectl-edit" else []
    assert paths(compare(declared, written(live, books))) == found


@pytest.mark.parametrize("name", ["labels", "annotations"])
def test_an_empty_label_is_a_value(name: str) -> None:
    declared = item({"kind": "ConfigMap"}, {"data": {"type": ""}})
    declared["metadata"] = {**declared["metadata"], name: {"type": ""}}
    live = {**declared, "data": {"type": "Opaque"}, "metadata": {**declared["metadata"], name: {"type": "Opaque"}}}
    assert paths(compare(declared, live)) == [f".metadata.{name}.type", ".data.type"]


def test_an_empty_value_of_a_custom_resource_is_one() -> None:
    declared = item({"apiVersion": "example.org/v1", "kind": "Widget"}, {"spec": {"type": "", "replicas": 0}})
    live = {**declared, "spec": {"type": "ClusterIP", "replicas": 1}}
    assert paths(compare(declared, live)) == [".spec.type", ".spec.replicas"]
