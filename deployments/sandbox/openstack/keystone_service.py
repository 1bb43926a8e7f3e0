"""Keystone: tokens, users and the catalogue."""

# ruff: noqa: PLC0415 - the services' modules act on import; each is imported when its turn comes.
from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import sys
import uuid
from pathlib import Path
from typing import Any

from deployments.sandbox.openstack import migrations
from deployments.sandbox.openstack.server import serve


def run(home: Path, host: str, port: int) -> None:
    """Serve Keystone until SIGTERM."""
    folder = home / "openstack/keystone"
    for repository in ("fernet", "credential"):
        _keys(folder / repository)
    migrations.prepare("keystone", home, lambda _: True)
    os.environ["OS_KEYSTONE_CONFIG_FILES"] = str(folder / "keystone.conf")
    _load_when_used("keystone.federation.idp")
    from keystone.wsgi.api import application

    document = (home / "openstack/bootstrap.json").read_text()
    done, digest = folder / "bootstrapped", hashlib.sha256(document.encode()).hexdigest()
    if not done.exists() or done.read_text() != digest:
        bootstrap(json.loads(document))
        done.write_text(digest)
    from keystone.common.rbac_enforcer import policy

    # Not get_enforcer(): that is the command line's, and parses the configuration anew.
    policy._ENFORCER._enforcer.load_rules()
    serve(application, host, port, stop=lambda: None)


def _load_when_used(name: str) -> None:
    """Load a module when something of it is used first: SAML's schemas take a second, and nobody asks for them."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        return  # another Keystone: it loads whatever it wants
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    package, _, own = name.rpartition(".")
    setattr(sys.modules[package], own, module)
    spec.loader.exec_module(module)


def _keys(repository: Path) -> None:
    """What `keystone-manage fernet_setup` makes, without its wish for a user and a group: staged and primary."""
    for number in ("0", "1"):
        path = repository / number
        if not path.exists():
            path.write_bytes(base64.urlsafe_b64encode(os.urandom(32)))
            path.chmod(0o600)


def bootstrap(wanted: dict[str, Any]) -> None:
    """Make projects, users, roles and the catalogue what `wanted` says; run again after a change of ports.

    Args:
        wanted: see config.bootstrap.
    """
    from keystone.cmd import bootstrap as keystone_bootstrap
    from keystone.server import backends

    # The WSGI application has loaded them; twice is refused.
    backends.load_backends = lambda: None
    passwords, region = wanted["passwords"], wanted["region"]
    first = keystone_bootstrap.Bootstrapper()
    first.admin_username = first.project_name = first.admin_role_name = "admin"
    first.admin_password = passwords["admin"]
    first.service_name, first.region_id = "keystone", region
    first.immutable_roles = False
    first.public_url, first.internal_url = wanted["identity"]["public"], wanted["identity"]["internal"]
    first.bootstrap()
    service_project, demo_project = _project("service"), _project("demo")
    for name in wanted["catalog"]:
        _user(name, passwords[name], service_project, first.admin_role_id, first.service_role_id)
    _user("demo", passwords["demo"], demo_project, first.member_role_id)
    _endpoints("keystone", "identity", wanted["identity"], region)
    for name, entry in wanted["catalog"].items():
        _endpoints(name, entry["type"], entry["urls"], region)


def _apis() -> Any:
    from keystone.common import provider_api

    return provider_api.ProviderAPIs


def _project(name: str) -> str:
    from keystone import exception

    try:
        found: str = _apis().resource_api.get_project_by_name(name, "default")["id"]
    except exception.ProjectNotFound:
        found = uuid.uuid4().hex
        project = {"id": found, "name": name, "domain_id": "default", "enabled": True}
        _apis().resource_api.create_project(found, project)
    return found


def _user(name: str, password: str, project: str, *roles: str) -> None:
    from keystone import exception

    try:
        identifier = _apis().identity_api.get_user_by_name(name, "default")["id"]
        _apis().identity_api.update_user(identifier, {"password": password})
    except exception.UserNotFound:
        user = {"name": name, "password": password, "domain_id": "default", "enabled": True}
        identifier = _apis().identity_api.create_user(user | {"default_project_id": project})["id"]
    held = set(_apis().assignment_api.get_roles_for_user_and_project(identifier, project))
    for role in set(roles) - held:
        _apis().assignment_api.add_role_to_user_and_project(user_id=identifier, project_id=project, role_id=role)


def _endpoints(name: str, kind: str, urls: dict[str, str], region: str) -> None:
    catalog = _apis().catalog_api
    service = next((s["id"] for s in catalog.list_services() if s["type"] == kind), None)
    if service is None:
        service = uuid.uuid4().hex
        catalog.create_service(service, {"id": service, "name": name, "type": kind, "enabled": True})
    there = {e["interface"]: e for e in catalog.list_endpoints() if e["service_id"] == service}
    for interface, url in urls.items():
        if interface not in there:
            endpoint = uuid.uuid4().hex
            values = {"id": endpoint, "interface": interface, "url": url, "service_id": service}
            catalog.create_endpoint(endpoint, values | {"region_id": region, "enabled": True})
        elif there[interface]["url"] != url:
            catalog.update_endpoint(there[interface]["id"], {"url": url})
