"""The cluster's project in the cloud, as the cloud provider and the CSI driver have it: REST, by its own credential.

The calls block, so each is made in a thread.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Protocol

import yaml
from keystoneauth1 import exceptions, loading
from keystoneauth1.session import Session

USER_AGENT = "plumbline-sandbox/cloud-provider"
PATHS = {"network": "/v2.0", "load-balancer": "/v2", "block-storage": "", "dns": "/v2"}
"""What stands between a service's URL in the catalogue and the paths that its API reference gives."""
TIMEOUT = 60.0
"""Seconds a call may take."""


class CloudError(OSError):
    """A service did not do what it was asked; the message is its own.

    Args:
        status: of HTTP; 0 where there was no answer.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Cloud(Protocol):
    """What the controllers need of a cloud."""

    async def call(self, method: str, service: str, path: str, body: Any = None, **params: Any) -> Any:
        """Call a service's API; returns what the answer says.

        Raises:
            CloudError: it refuses, or does not answer.
        """


class Project:
    """One project of a cloud.

    Args:
        clouds: a clouds.yaml.
        name: which of its clouds.
        agent: the User-Agent of every request.
    """

    def __init__(self, clouds: Path, name: str, *, agent: str = USER_AGENT) -> None:
        self._clouds, self._name, self._agent = clouds, name, agent
        self._session: Session | None = None

    @classmethod
    def of(cls, cluster_home: Path, sandbox_home: Path) -> Project:
        """The project of a cluster: by the cluster's own credential, or by that of the sandbox's user."""
        own = cluster_home / "clouds.yaml"
        return cls(own, "cluster") if own.exists() else cls(sandbox_home / "clouds.yaml", "sandbox")

    async def call(self, method: str, service: str, path: str, body: Any = None, **params: Any) -> Any:
        """Call a service's API."""
        return await asyncio.to_thread(self._call, method, service, path, body, params)

    def _call(self, method: str, service: str, path: str, body: Any, params: dict[str, Any]) -> Any:
        where = {"service_type": service, "interface": "public"}
        try:
            answer = self._signed_in().request(
                PATHS[service] + path,
                method,
                json=body,
                params=params,
                endpoint_filter=where,
                user_agent=self._agent,
                headers={"Accept": "application/json"},
            )
        except exceptions.HttpError as error:
            raise CloudError(_said(error), error.http_status) from error
        except exceptions.ClientException as error:
            raise CloudError(str(error)) from error
        return answer.json() if answer.content else None

    def _signed_in(self) -> Session:
        if self._session is None:
            cloud = yaml.safe_load(self._clouds.read_text())["clouds"][self._name]
            loader = loading.get_plugin_loader(cloud.get("auth_type", "password"))
            self._session = Session(auth=loader.load_from_options(**cloud["auth"]), timeout=TIMEOUT)
        return self._session


def _said(error: exceptions.HttpError) -> str:
    """What the service says, in whichever of the services' forms."""
    try:
        body = error.response.json()
    except (AttributeError, ValueError):
        return str(error)
    match body:
        case {"faultstring": said}:  # Octavia
            return str(said)
        case dict():  # Neutron: NeutronError; Cinder: badRequest, overLimit …
            for inner in body.values():
                if isinstance(inner, dict) and "message" in inner:
                    return str(inner["message"])
    return str(error)
