"""The printer columns of the built-in kinds (pkg/printers/internalversion/printers.go)."""

from __future__ import annotations

from deployments.sandbox.kubernetes.age import age
from deployments.sandbox.kubernetes.cells import (
    AGE,
    BINDING,
    CREATED,
    NAME,
    NONE,
    SELECTOR,
    Column,
    access_modes,
    addresses,
    api_service,
    at,
    available,
    claim_status,
    class_name,
    containers,
    count,
    event_object,
    ingress_hosts,
    ingress_ports,
    job_completions,
    job_status,
    join,
    label_selector,
    made,
    node_address,
    node_roles,
    node_status,
    pod_ready,
    pod_restarts,
    pod_status,
    service_external,
    service_ports,
    show_endpoints,
    show_selector,
    shown,
    slice_endpoints,
    volume_claim,
    webhook_count,
)

COLUMNS: dict[str, list[Column]] = {
    "namespaces": [NAME, Column("Status", "status.phase"), AGE],
    "pods": [
        NAME, made("Ready", pod_ready), made("Status", pod_status), made("Restarts", pod_restarts), AGE,
        made("IP", lambda item: at(item, "status.podIP", NONE), priority=1),
        made("Node", lambda item: at(item, "spec.nodeName", NONE), priority=1),
        made("Nominated Node", lambda item: at(item, "status.nominatedNodeName", NONE), priority=1),
        made("Readiness Gates", lambda item: NONE, priority=1),
    ],
    "services": [
        NAME, Column("Type", "spec.type"), made("Cluster-IP", lambda item: at(item, "spec.clusterIP", NONE)),
        made("External-IP", service_external), made("Port(s)", service_ports), AGE,
        made("Selector", label_selector, priority=1),
    ],
    "nodes": [
        NAME, made("Status", node_status), made("Roles", node_roles), AGE,
        Column("Version", "status.nodeInfo.kubeletVersion"),
        made("Internal-IP", node_address("InternalIP"), priority=1),
        made("External-IP", node_address("ExternalIP"), priority=1),
        made("OS-Image", lambda item: at(item, "status.nodeInfo.osImage") or "<unknown>", priority=1),
        made("Kernel-Version", lambda item: at(item, "status.nodeInfo.kernelVersion") or "<unknown>", priority=1),
        made("Container-Runtime", lambda item: at(item, "status.nodeInfo.containerRuntimeVersion") or "<unknown>",
              priority=1),
    ],
    "configmaps": [
        NAME, made("Data", lambda item: len(item.get("data") or ()) + len(item.get("binaryData") or ()), "string"), AGE
    ],
    "secrets": [NAME, Column("Type", "type"), made("Data", lambda item: len(item.get("data") or ())), AGE],
    "serviceaccounts": [NAME, made("Secrets", lambda item: len(item.get("secrets") or ())), AGE],
    "endpoints": [NAME, made("Endpoints", show_endpoints), AGE],
    "events": [
        made("Last Seen", lambda item: age(item.get("lastTimestamp"))), Column("Type", "type"), Column("Reason",
            "reason"),
        made("Object", event_object), made("Subobject", lambda item: at(item, "involvedObject.fieldPath"), priority=1),
        made("Source", lambda item: at(item, "source.component"), priority=1), Column("Message", "message"),
        made("First Seen", lambda item: age(item.get("firstTimestamp")), priority=1),
        made("Count", lambda item: str(item.get("count", 1)), priority=1), Column("Name", "metadata.name", "string",
            "name", 1),
    ],
    "persistentvolumeclaims": [
        NAME, made("Status", claim_status), made("Volume", lambda item: at(item, "spec.volumeName")),
        made("Capacity", lambda item: at(item, "status.capacity", {}).get("storage", "")),
        made("Access Modes", access_modes), made("StorageClass", lambda item: at(item, "spec.storageClassName")),
        made("VolumeAttributesClass", lambda item: "<unset>"), AGE, Column("VolumeMode", "spec.volumeMode", priority=1),
    ],
    "persistentvolumes": [
        NAME, made("Capacity", lambda item: at(item, "spec.capacity", {}).get("storage", "")),
        made("Access Modes", access_modes), Column("Reclaim Policy", "spec.persistentVolumeReclaimPolicy"),
        made("Status", claim_status), made("Claim", volume_claim),
        made("StorageClass", lambda item: at(item, "spec.storageClassName")),
        made("VolumeAttributesClass", lambda item: "<unset>"), made("Reason", lambda item: at(item, "status.reason")),
        AGE, Column("VolumeMode", "spec.volumeMode", priority=1),
    ],
    "deployments.apps": [
        NAME, made("Ready", lambda item: f"{at(item, 'status.readyReplicas', 0)}/{at(item, 'spec.replicas', 0)}"),
        shown("Up-to-date", "status.updatedReplicas"), shown("Available", "status.availableReplicas"), AGE,
        *containers("spec.template.spec"), SELECTOR,
    ],
    "replicationcontrollers": [
        NAME, count("Desired", "spec.replicas"), count("Current", "status.replicas"),
        count("Ready", "status.readyReplicas"), AGE, *containers("spec.template.spec"),
        made("Selector", label_selector, priority=1),
    ],
    "replicasets.apps": [
        NAME, count("Desired", "spec.replicas"), count("Current", "status.replicas"),
        count("Ready", "status.readyReplicas"), AGE, *containers("spec.template.spec"), SELECTOR,
    ],
    "statefulsets.apps": [
        NAME, made("Ready", lambda item: f"{at(item, 'status.readyReplicas', 0)}/{at(item, 'spec.replicas', 0)}"),
        AGE, *containers("spec.template.spec"),
    ],
    "daemonsets.apps": [
        NAME, count("Desired", "status.desiredNumberScheduled"), count("Current", "status.currentNumberScheduled"),
        count("Ready", "status.numberReady"), count("Up-to-date", "status.updatedNumberScheduled"),
        count("Available", "status.numberAvailable"),
        made("Node Selector", lambda item: join(
            f"{key}={value}" for key, value in at(item, "spec.template.spec.nodeSelector", {}).items())),
        AGE, *containers("spec.template.spec"), SELECTOR,
    ],
    "jobs.batch": [
        NAME, made("Status", job_status), made("Completions", job_completions), made("Duration", lambda item: ""),
        AGE, *containers("spec.template.spec"), SELECTOR,
    ],
    "cronjobs.batch": [
        NAME, Column("Schedule", "spec.schedule"), made("Timezone", lambda item: at(item, "spec.timeZone", NONE)),
        made("Suspend", lambda item: str(at(item, "spec.suspend", False))),
        made("Active", lambda item: len(at(item, "status.active", [])), "integer"),
        made("Last Schedule", lambda item: NONE), AGE, *containers("spec.jobTemplate.spec.template.spec"),
    ],
    "horizontalpodautoscalers.autoscaling": [
        NAME, made("Reference",
            lambda item: f"{at(item, 'spec.scaleTargetRef.kind')}/{at(item, 'spec.scaleTargetRef.name')}"),
        made("Targets", lambda item: "<unknown>"), made("MinPods", lambda item: str(at(item, "spec.minReplicas",
            "<unset>"))),
        count("MaxPods", "spec.maxReplicas"), count("Replicas", "status.currentReplicas"), AGE,
    ],
    "poddisruptionbudgets.policy": [
        NAME, made("Min Available", lambda item: str(at(item, "spec.minAvailable", "N/A"))),
        made("Max Unavailable", lambda item: str(at(item, "spec.maxUnavailable", "N/A"))),
        count("Allowed Disruptions", "status.disruptionsAllowed"), AGE,
    ],
    "ingresses.networking.k8s.io": [
        NAME, made("Class", lambda item: at(item, "spec.ingressClassName", NONE)), made("Hosts", ingress_hosts),
        made("Address", addresses), made("Ports", ingress_ports), AGE,
    ],
    "ingressclasses.networking.k8s.io": [
        NAME, Column("Controller", "spec.controller"), made("Parameters", lambda item: NONE), AGE
    ],
    "networkpolicies.networking.k8s.io": [
        NAME, made("Pod-Selector", lambda item: show_selector(at(item, "spec.podSelector", None))), AGE
    ],
    "storageclasses.storage.k8s.io": [
        Column("Name", "", "string", "name", 0, "", class_name), Column("Provisioner", "provisioner"),
        Column("ReclaimPolicy", "reclaimPolicy"), Column("VolumeBindingMode", "volumeBindingMode"),
        made("AllowVolumeExpansion", lambda item: bool(item.get("allowVolumeExpansion"))), AGE,
    ],
    "roles.rbac.authorization.k8s.io": [NAME, CREATED],
    "clusterroles.rbac.authorization.k8s.io": [NAME, CREATED],
    "rolebindings.rbac.authorization.k8s.io": BINDING,
    "clusterrolebindings.rbac.authorization.k8s.io": BINDING,
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": [NAME, made("Webhooks", webhook_count, "integer"),
        AGE],
    "validatingwebhookconfigurations.admissionregistration.k8s.io": [NAME, made("Webhooks", webhook_count, "integer"),
        AGE],
    "customresourcedefinitions.apiextensions.k8s.io": [NAME, CREATED],
    "apiservices.apiregistration.k8s.io": [
        NAME, made("Service", api_service), made("Available", available), AGE
    ],
    "priorityclasses.scheduling.k8s.io": [
        NAME, made("Value", lambda item: item.get("value", 0), "integer"),
        made("Global-Default", lambda item: bool(item.get("globalDefault")), "boolean"), AGE,
        Column("PreemptionPolicy", "preemptionPolicy"),
    ],
    "leases.coordination.k8s.io": [NAME, made("Holder", lambda item: at(item, "spec.holderIdentity")), AGE],
    "endpointslices.discovery.k8s.io": [
        NAME, Column("AddressType", "addressType"),
        made("Ports", lambda item: join((p.get("port", "*") for p in item.get("ports") or ()), "<unset>")),
        made("Endpoints", slice_endpoints), AGE,
    ],
    "controllerrevisions.apps": [
        NAME, made("Controller", lambda item: next(
            (f"{o['kind'].lower()}.apps/{o['name']}" for o in at(item, "metadata.ownerReferences",
                []) if o.get("controller")), NONE)),
        made("Revision", lambda item: item.get("revision", 0)), AGE,
    ],
}  # fmt: skip
