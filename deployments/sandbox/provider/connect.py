"""From provider configuration to a Keystone session, the way openstacksdk reads clouds.yaml and OS_* variables."""

from __future__ import annotations

import threading
from typing import Any

from keystoneauth1 import exceptions
from openstack.config import OpenStackConfig

from deployments.sandbox.provider.cloud import Answer, Cloud, CloudError, Unsent
from deployments.sandbox.provider.tables import State

REQUEST_TIMEOUT = 60.0
"""Seconds; upstream waits as long as Go's HTTP client does."""

_AUTH = {
    "auth_url": "auth_url",
    "user_name": "username",
    "user_id": "user_id",
    "password": "password",
    "token": "token",
    "tenant_id": "project_id",
    "tenant_name": "project_name",
    "user_domain_name": "user_domain_name",
    "user_domain_id": "user_domain_id",
    "project_domain_name": "project_domain_name",
    "project_domain_id": "project_domain_id",
    "domain_id": "domain_id",
    "domain_name": "domain_name",
    "default_domain": "default_domain",
    "application_credential_id": "application_credential_id",
    "application_credential_name": "application_credential_name",
    "application_credential_secret": "application_credential_secret",
}
_OTHER = {"region": "region_name", "cacert_file": "cacert", "cert": "cert", "key": "key", "endpoint_type": "interface"}


def connect(config: State, stopping: threading.Event) -> Cloud:
    """A cloud for the provider's configuration.

    Raises:
        CloudError: the configuration names no cloud that is known.
    """
    auth = {ours: config[theirs] for theirs, ours in _AUTH.items() if config.get(theirs)}
    options: dict[str, Any] = {ours: config[theirs] for theirs, ours in _OTHER.items() if config.get(theirs)}
    if config.get("insecure"):
        options["verify"] = False
    if auth:
        options["auth"] = auth
    try:
        region = OpenStackConfig(app_name="terraform-provider-openstack").get_one(
            cloud=config.get("cloud"), api_timeout=REQUEST_TIMEOUT, **options
        )
        session = region.get_session()
    except Exception as error:  # os-client-config raises several unrelated types; all mean one thing here
        raise CloudError(f"Error loading OpenStack credentials: {error}") from error
    overrides = config.get("endpoint_overrides") or {}
    interface, name = region.get_interface("identity"), region.get_region_name()

    def send(service: str, method: str, path: str, **request: Any) -> Answer:
        override = overrides.get(service) or region.get_endpoint(service)
        signed_in = False
        try:
            session.get_token()
            signed_in = True
            return session.request(  # type: ignore[no-any-return]
                path,
                method,
                endpoint_filter={"service_type": service, "interface": interface, "region_name": name},
                endpoint_override=override.rstrip("/") if override else None,
                raise_exc=False,
                redirect=False,
                # A connection that breaks may break after the work was done: only a read is safe to repeat.
                connect_retries=3 if method == "GET" else 0,
                connect_retry_delay=0.3,
                **request,
            )
        except (exceptions.ConnectionError, exceptions.RetriableConnectionFailure) as error:
            if not signed_in:
                raise Unsent(f"Error authenticating: {error}") from error
            raise ConnectionError(str(error)) from error
        except exceptions.HttpError as error:
            raise Unsent(f"Error authenticating: {error}", error.http_status or 0) from error
        except exceptions.ClientException as error:
            raise Unsent(f"Error finding the {service} service: {error}", 400) from error

    return Cloud(send, region=name or "", stopping=stopping)
