"""The services' configuration files, rendered from one description of the cloud. Pure."""

from __future__ import annotations

import json
from pathlib import Path

from deployments.sandbox.openstack.config_common import (
    REGION,
    TYPES,
    Cloud,
    Sections,
    authtoken,
    common,
    credentials,
    ini,
)
from deployments.sandbox.openstack.config_infrastructure import cinder, neutron, octavia


def conf(home: Path, service: str) -> Path:
    """A service's configuration file."""
    return home / service / ("glance-api.conf" if service == "glance" else f"{service}.conf")


def files(cloud: Cloud) -> dict[Path, str]:
    """Every configuration file, by path. They hold passwords: write them for the owner alone."""
    return {
        **{conf(cloud.home, service): ini(make(cloud)) for service, make in MAKERS.items()},
        cloud.home / "designate/pools.yaml": json.dumps(pools(cloud), indent=2) + "\n",
        cloud.home / "bootstrap.json": json.dumps(bootstrap(cloud), indent=2) + "\n",
    }


def folders(cloud: Cloud) -> list[Path]:
    """Folders the services expect to find."""
    names = (
        *("keystone/fernet", "keystone/credential", "glance/images", "glance/staging", "glance/tasks"),
        *(f"{service}/lock" for service in ("nova", "magnum", "designate", "neutron", "cinder", "octavia")),
        *("cinder/coordination", "cache"),
    )
    return [cloud.home / name for name in names]


def links(cloud: Cloud) -> dict[Path, Path]:
    """Links to make, and where they lead: paste pipelines that are looked for beside the configuration only."""
    return {cloud.home / name / "api-paste.ini": cloud.etc / name / "api-paste.ini" for name in ("nova", "designate")}


def keystone(cloud: Cloud) -> Sections:
    """Identity: fernet tokens, an in-process cache."""
    sections = common(cloud, "keystone")
    sections["DEFAULT"]["public_endpoint"] = cloud.url("keystone")
    keys = cloud.home / "keystone/fernet"
    return sections | {
        "token": {"provider": "fernet"},
        "fernet_tokens": {"key_repository": keys},
        "fernet_receipts": {"key_repository": keys},
        "credential": {"key_repository": cloud.home / "keystone/credential"},
        # The passwords are 192 random bits; slow hashing would only slow every start.
        "identity": {"password_hash_rounds": 4},
        "cache": {"enabled": "true", "backend": "oslo_cache.dict"},
    }


def nova(cloud: Cloud) -> Sections:
    """The compute API alone: keypairs, flavors, quotas."""
    sections = common(cloud, "nova")
    sections["DEFAULT"] |= {"state_path": cloud.home / "nova", "host": "sandbox", "my_ip": "127.0.0.1"}
    sections["database"] = {"connection": cloud.sqlite("nova", "cell1")}
    return sections | {
        "api_database": {"connection": cloud.sqlite("nova", "api")},
        "api": {"auth_strategy": "keystone"},
        "quota": {"driver": "nova.quota.DbQuotaDriver"},
        "glance": {"endpoint_override": cloud.internal_url("glance")},
        "keystone_authtoken": authtoken(cloud, "nova"),
        "service_user": credentials(cloud, "nova") | {"send_service_user_token": "true"},
        "placement": credentials(cloud, "nova"),
    }


def glance(cloud: Cloud) -> Sections:
    """Images in a folder."""
    sections = common(cloud, "glance")
    sections["DEFAULT"] |= {"enabled_backends": "local:file", "worker_self_reference_url": cloud.url("glance")}
    state = cloud.home / "glance"
    return sections | {
        "glance_store": {"default_backend": "local"},
        "local": {"filesystem_store_datadir": state / "images"},
        "os_glance_staging_store": {"filesystem_store_datadir": state / "staging"},
        "os_glance_tasks_store": {"filesystem_store_datadir": state / "tasks"},
        "paste_deploy": {"flavor": "keystone", "config_file": cloud.etc / "glance/glance-api-paste.ini"},
        "keystone_authtoken": authtoken(cloud, "glance"),
    }


def magnum(cloud: Cloud) -> Sections:
    """Container infrastructure with our driver; certificates in its own database, for want of Barbican."""
    sections = common(cloud, "magnum")
    sections["DEFAULT"] |= {
        "state_path": cloud.home / "magnum",
        "host": "sandbox",
        # What one cluster's operation waits for must not keep the others waiting.
        "executor_thread_pool_size": 8,
        "periodic_interval_max": 1,
    }
    return sections | {
        "api": {
            "host": "127.0.0.1",
            "port": cloud.ports["magnum"],
            "api_paste_config": cloud.etc / "magnum/api-paste.ini",
        },
        "certificates": {"cert_manager_type": "x509keypair"},
        # No cache of certificates: a health poll of a cluster that has none yet leaves an empty folder there, and every
        # later one fails on it. Load balancers go within a second here, or never.
        "cluster": {"temp_cache_dir": "", "pre_delete_lb_timeout": 30},
        "cluster_template": {"kubernetes_allowed_network_drivers": "all"},
        "drivers": {"default_driver": "sandbox_k8s"},
        # Each look decrypts a private key: half a second's work.
        "kubernetes": {"health_polling_interval": 30},
        "quotas": {"max_clusters_per_project": 100},
        **{
            f"{service}_client": {"endpoint_type": "internalURL", "region_name": REGION}
            for service in ("nova", "glance", "neutron", "cinder", "octavia")
        },
        "keystone_authtoken": authtoken(cloud, "magnum"),
        "keystone_auth": authtoken(cloud, "magnum"),
    }


def designate(cloud: Cloud) -> Sections:
    """DNS: two name servers; a change is ACTIVE when the first of them has it, see `pools`."""
    sections = common(cloud, "designate")
    sections["DEFAULT"] |= {"state_path": cloud.home / "designate", "host": "sandbox", "executor_thread_pool_size": 1}
    return sections | {
        "service:api": {
            "api_base_uri": cloud.url("designate", "/"),
            "listen": f"127.0.0.1:{cloud.ports['designate']}",
            "auth_strategy": "keystone",
            "enable_api_v2": "true",
            "enable_host_header": "true",
            "api_paste_config": cloud.home / "designate/api-paste.ini",
        },
        "service:central": {"managed_resource_email": "hostmaster@example.org"},
        "service:mdns": {"listen": f"127.0.0.1:{cloud.ports['mdns']}"},
        "service:worker": {
            "enabled": "true",
            "poll_delay": 0,
            "poll_retry_interval": 1,
            "poll_max_retries": 3,
            "poll_timeout": 2,
            "threads": 8,
        },
        "producer_task:zone_purge": {"interval": 3600},
        "producer_task:worker_periodic_recovery": {"interval": 5},
        "producer_task:delayed_notify": {"interval": 2},
        "producer_task:increment_serial": {"interval": 1},
        "storage:sqlalchemy": {"connection": cloud.sqlite("designate")},
        "network_api": {},
        "keystone_authtoken": authtoken(cloud, "designate"),
    }


MAKERS = {
    **{"keystone": keystone, "nova": nova, "glance": glance, "magnum": magnum},
    **{"designate": designate, "neutron": neutron, "cinder": cinder, "octavia": octavia},
}
SERVICES = tuple(MAKERS)


def pools(cloud: Cloud) -> list[dict[str, object]]:
    """Designate's one pool: every name server is a target, so it gets each NOTIFY, but only the first is polled.

    As in clouds whose servers are not all Designate's own: ACTIVE does not mean "everywhere". Polling a server that
    lags would not tell more: Designate asks for the serial before the change and takes the lowest it is given.
    """
    first = next(iter(cloud.name_servers.values()))
    port = cloud.ports["dns"]
    return [
        {
            "name": "default",
            "description": "The sandbox's name servers",
            "attributes": {},
            "ns_records": [
                {"hostname": f"{name}.sandbox.example.", "priority": number}
                for number, name in enumerate(cloud.name_servers, 1)
            ],
            "nameservers": [{"host": first, "port": port}],
            "targets": [
                {
                    "type": "sandbox",
                    "description": name,
                    "masters": [{"host": "127.0.0.1", "port": cloud.ports["mdns"]}],
                    "options": {"host": address, "port": port, "name": name},
                }
                for name, address in cloud.name_servers.items()
            ],
        }
    ]


def bootstrap(cloud: Cloud) -> dict[str, object]:
    """What Keystone has to know before anybody can log in."""
    paths = {"nova": "/v2.1", "magnum": "/v1", "cinder": "/v3"}
    return {
        "region": REGION,
        "identity": _addresses(cloud, "keystone", "/v3"),
        "passwords": dict(cloud.passwords),
        "catalog": {
            name: {"type": kind, "urls": _addresses(cloud, name, paths.get(name, ""))} for name, kind in TYPES.items()
        },
    }


def _addresses(cloud: Cloud, service: str, path: str) -> dict[str, str]:
    """A service's endpoints by interface."""
    return {"public": cloud.url(service, path), "internal": cloud.internal_url(service, path)}


def clouds(cloud: Cloud) -> dict[str, object]:
    """The content of clouds.yaml: `sandbox` (demo, a member) and `sandbox-admin`."""

    def entry(user: str) -> dict[str, object]:
        auth = {
            "auth_url": cloud.url("keystone", "/v3"),
            "username": user,
            "password": cloud.passwords[user],
            "project_name": user,
            "user_domain_id": "default",
            "project_domain_id": "default",
        }
        return {"auth": auth, "region_name": REGION, "identity_api_version": "3"}

    return {"clouds": {"sandbox": entry("demo"), "sandbox-admin": entry("admin")}}
