"""The application credential that a driver makes for each cluster, on behalf of whoever creates it.

With it the cloud provider in a real cluster signs in. Keystone makes none for somebody who has signed in with an
application credential that is restricted: then the cluster fails.
"""

from __future__ import annotations

import json
import secrets
from contextlib import suppress
from typing import Any

from keystoneauth1.exceptions import NotFound
from magnum.common import context as magnum_context
from magnum.common import keystone

from deployments.sandbox.openstack.magnum_network import AGENT

IDENTITY = {"service_type": "identity", "interface": "public"}


def make(context: Any, cluster: Any) -> str:
    """Make the cluster's credential; returns a clouds.yaml with it, in which the cloud is called `cluster`.

    Raises:
        keystoneauth1.exceptions.Forbidden: the user's own credential does not allow it.
    """
    wanted = {
        "name": _name(cluster),
        "description": f"Magnum cluster {cluster.name} ({cluster.uuid})",
        "secret": secrets.token_urlsafe(32),
    }
    session = _session(context)
    answer = session.post(
        f"/users/{cluster.user_id}/application_credentials",
        json={"application_credential": wanted},
        endpoint_filter=IDENTITY,
        user_agent=AGENT,
    )
    auth = {
        "auth_url": session.get_endpoint(**IDENTITY),
        "application_credential_id": answer.json()["application_credential"]["id"],
        "application_credential_secret": wanted["secret"],
    }
    # JSON is YAML, too.
    return json.dumps({"clouds": {"cluster": {"auth_type": "v3applicationcredential", "auth": auth}}})


def remove(cluster: Any) -> None:
    """Remove the cluster's credential, if there is one."""
    session = _session(magnum_context.make_admin_context(all_tenants=True))
    path = f"/users/{cluster.user_id}/application_credentials"
    found = session.get(f"{path}?name={_name(cluster)}", endpoint_filter=IDENTITY, user_agent=AGENT).json()
    for credential in found["application_credentials"]:
        # Magnum looks at a cluster twice at a time where one look takes long.
        with suppress(NotFound):
            session.delete(f"{path}/{credential['id']}", endpoint_filter=IDENTITY, user_agent=AGENT)


def _name(cluster: Any) -> str:
    return f"magnum-{cluster.uuid}"


def _session(context: Any) -> Any:
    return keystone.KeystoneClientV3(context).session
