"""Configuration of networks, volumes and load balancers: Neutron, Cinder and Octavia. Pure."""

from __future__ import annotations

from deployments.sandbox.openstack.config_common import Cloud, Sections, authtoken, common, credentials

EXTERNAL = "public"
"""The network that floating IPs come from, and the physical network it lies on."""
ZONE = "nova"
"""The one availability zone that Neutron and Cinder know."""


def neutron(cloud: Cloud) -> Sections:
    """Networks, with a mechanism driver that binds every port at once: nothing carries packets."""
    sections = common(cloud, "neutron")
    sections["DEFAULT"] |= {
        "state_path": cloud.home / "neutron",
        "core_plugin": "ml2",
        "service_plugins": "router",
        "api_paste_config": cloud.etc / "neutron/api-paste.ini",
        "dhcp_agent_notification": "false",
        "notify_nova_on_port_status_changes": "false",
        "notify_nova_on_port_data_changes": "false",
    }
    return sections | {
        "ml2": {
            "type_drivers": "flat,vxlan",
            "tenant_network_types": "vxlan",
            "mechanism_drivers": "sandbox",
            "extension_drivers": "port_security",
        },
        "ml2_type_flat": {"flat_networks": EXTERNAL},
        "ml2_type_vxlan": {"vni_ranges": "1:4000"},
        "keystone_authtoken": authtoken(cloud, "neutron"),
    }


def cinder(cloud: Cloud) -> Sections:
    """Volumes on a backend that keeps no bytes."""
    sections = common(cloud, "cinder")
    etc = cloud.etc / "cinder"
    sections["DEFAULT"] |= {
        "state_path": cloud.home / "cinder",
        "host": "sandbox",
        "auth_strategy": "keystone",
        "enabled_backends": "sandbox",
        "storage_availability_zone": ZONE,
        "api_paste_config": etc / "api-paste.ini",
        "rootwrap_config": etc / "rootwrap.conf",
        "resource_query_filters_file": etc / "resource_filters.json",
        # The scheduler waits this long for a first word of the volume manager, which starts after it; by default 60 s.
        "scheduler_driver_init_wait_time": 1,
        # Deletions that a restart cut off are taken up beside the start: one that hangs must not hold up all others.
        "volume_service_inithost_offload": "true",
        "glance_api_servers": cloud.url("glance"),
    }
    return sections | {
        "coordination": {"backend_url": f"file://{cloud.home / 'cinder/coordination'}"},
        "sandbox": {
            "volume_driver": "deployments.sandbox.openstack.cinder_driver.SandboxVolumeDriver",
            "volume_backend_name": "sandbox",
        },
        "keystone_authtoken": authtoken(cloud, "cinder"),
        "service_user": credentials(cloud, "cinder") | {"send_service_user_token": "true"},
        # Whether a server still uses a volume is asked before an attachment goes.
        "nova": credentials(cloud, "cinder") | {"interface": "internal"},
    }


def octavia(cloud: Cloud) -> Sections:
    """Load balancers by a provider of ours, with real ports in Neutron."""
    sections = common(cloud, "octavia")
    return sections | {
        "api_settings": {
            "auth_strategy": "keystone",
            "bind_host": "127.0.0.1",
            "bind_port": cloud.ports["octavia"],
            "enabled_provider_drivers": "sandbox:The sandbox's provider",
            "default_provider_driver": "sandbox",
        },
        "controller_worker": {"network_driver": "allowed_address_pairs_driver"},
        "service_auth": credentials(cloud, "octavia"),
        "neutron": credentials(cloud, "octavia") | {"valid_interfaces": "internal"},
        "keystone_authtoken": authtoken(cloud, "octavia"),
        # By default nothing is limited, and a quota that is never reached is never tried.
        "quotas": {"default_load_balancer_quota": 200},
    }
