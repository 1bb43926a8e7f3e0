"""What the configuration of every service has in common: the cloud, databases, logs, credentials. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from configparser import ConfigParser
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

REGION = "RegionOne"
TYPES = {
    "nova": "compute",
    "glance": "image",
    "magnum": "container-infra",
    "designate": "dns",
    "neutron": "network",
    "cinder": "block-storage",
    "octavia": "load-balancer",
}
"""What the catalogue calls the services."""
USERS = ("admin", "demo", *TYPES)

Sections = dict[str, dict[str, object]]


@dataclass(frozen=True)
class Cloud:
    """What the configuration depends on.

    Args:
        home: folder of the OpenStack services' own state.
        log: folder for their logs.
        etc: the `etc` folder of the environment they are installed in (paste pipelines).
        ports: by name: the services, mdns and dns.
        behind: the address at which the services listen behind the front proxy.
        name_servers: authoritative servers, name to address.
        passwords: by user name.
    """

    home: Path
    log: Path
    etc: Path
    ports: Mapping[str, int]
    behind: str
    name_servers: Mapping[str, str]
    passwords: Mapping[str, str] = field(repr=False)

    def url(self, service: str, path: str = "") -> str:
        """The loopback URL of a service."""
        return f"http://127.0.0.1:{self.ports[service]}{path}"

    def internal_url(self, service: str, path: str = "") -> str:
        """Where services find each other, past the front proxy: faults are for those who use the cloud."""
        return f"http://{self.behind}:{self.ports[service]}{path}"

    def sqlite(self, service: str, name: str = "db") -> str:
        """The SQLAlchemy URL of one of a service's databases."""
        return f"sqlite:///{self.home / service / name}.sqlite"


def ini(sections: Sections) -> str:
    """oslo.config's dialect: a `%` or `$` in a value must not be taken for a reference."""
    parser = ConfigParser(interpolation=None, default_section="__none__")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    for name, options in sections.items():
        parser[name] = {key: str(value).replace("$", "$$") for key, value in options.items()}
    text = StringIO()
    parser.write(text)
    return text.getvalue()


def common(cloud: Cloud, service: str) -> Sections:
    quiet = ("sqlalchemy", "stevedore", "alembic", "keystonemiddleware", "oslo.messaging", "oslo_policy")
    return {
        "DEFAULT": {
            "default_log_levels": ",".join(f"{name}=WARN" for name in quiet),
            "log_file": cloud.log / f"{service}.log",
            # In memory: no broker. What that loses at a restart, the service modules take up again.
            "transport_url": "fake://",
        },
        "database": {"connection": cloud.sqlite(service)},
        "oslo_messaging_notifications": {"driver": "noop"},
        "oslo_concurrency": {"lock_path": cloud.home / service / "lock"},
    }


def credentials(cloud: Cloud, service: str) -> dict[str, object]:
    return {
        "auth_type": "password",
        "auth_url": cloud.internal_url("keystone", "/v3"),
        "username": service,
        "password": cloud.passwords[service],
        "project_name": "service",
        "user_domain_id": "default",
        "project_domain_id": "default",
        "region_name": REGION,
    }


def authtoken(cloud: Cloud, service: str) -> dict[str, object]:
    return credentials(cloud, service) | {
        "www_authenticate_uri": cloud.url("keystone", "/v3"),
        "interface": "internal",
        "service_token_roles_required": "true",
        # Without it keystonemiddleware refuses every application credential that has access rules.
        "service_type": TYPES[service],
    }
