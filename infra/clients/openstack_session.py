"""One signed-in connection to a cloud of clouds.yaml, and the one place where OpenStack's errors become ours."""

from __future__ import annotations

import json as jsonlib
import os
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import openstack.config
import openstack.connection
import requests
import yaml
from keystoneauth1 import exceptions as keystone
from openstack import exceptions as sdk
from openstack.warnings import RemovedInSDK50Warning, RemovedInSDK60Warning

from infra.clients import openstack_guard
from infra.clients.calling import Caller, error_for, retry_after
from infra.clients.errors import Denied, Misconfigured, NotFound, PlumblineError, Unavailable
from infra.clients.masking import MASKER
from infra.clients.waiting import Clock, SystemClock
from infra.settings import Settings, get_settings

SERVICES: Mapping[str, str] = {
    "compute": "Nova",
    "image": "Glance",
    "container_infrastructure_management": "Magnum",
    "dns": "Designate",
    "block_storage": "Cinder",
    "network": "Neutron",
    "load_balancer": "Octavia",
}
"""The SDK's proxies we ask, and what a person calls them."""

_SIGNS_IN = ("password", "token", "application_credential_secret", "passcode", "client_secret", "access_token")
"""The keys of clouds.yaml's `auth` that hold secrets."""

Json = Any
"""A decoded JSON document."""


class ServiceAbsent(NotFound):
    """The cloud's catalogue has no such service: it was not looked at, which is not the same as finding nothing."""

    category = "ServiceAbsent"


class OpenStackSession:
    """Requests to one cloud's services by its catalogue, signed in by clouds.yaml.

    Args:
        cloud: a name in clouds.yaml.
        settings: `request_timeout` bounds every single request.
        config_file: clouds.yaml; by default what OS_CLIENT_CONFIG_FILE names, then the SDK's usual places.
        read_only: refuse everything but reads, signing in, and Magnum's signature (see openstack_guard).
        clock: replaced in tests.
    """

    def __init__(
        self,
        cloud: str,
        settings: Settings | None = None,
        *,
        config_file: Path | None = None,
        read_only: bool = False,
        clock: Clock | None = None,
    ) -> None:
        for kind in (RemovedInSDK50Warning, RemovedInSDK60Warning):
            # The SDK warns of what it does itself: its empty InfluxDB section, arguments of its own constructors.
            warnings.filterwarnings("ignore", category=kind)
        self.cloud = cloud
        self.settings = settings or get_settings()
        self.clock: Clock = clock or SystemClock()
        self._config_file = config_file
        self._read_only = read_only
        self._caller = Caller(f"openstack-{cloud}", clock=self.clock)
        self._lock = threading.Lock()
        self._connection: openstack.connection.Connection | None = None

    async def get(
        self,
        service: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        """GET `path` of `service` with the short retries; None on 404."""
        try:
            return await self._caller.read(lambda: self._request(service, "GET", path, params=params, headers=headers))
        except ServiceAbsent:
            raise
        except NotFound:
            return None

    async def send(
        self,
        service: str,
        method: str,
        path: str,
        *,
        json: Json = None,
        headers: Mapping[str, str] | None = None,
        harmless_twice: bool = False,
    ) -> Json:
        """Send a write.

        Args:
            harmless_twice: repeat it after timeouts and 5xx as well, for what comes to the same when done twice.

        Raises:
            Refused: the client only reads, and this is no read.
        """
        if self._read_only:
            openstack_guard.check(service, method, path)
        attempt = self._caller.read if harmless_twice else self._caller.write
        return await attempt(lambda: self._request(service, method, path, json=json, headers=headers))

    async def delete(self, service: str, path: str, *, headers: Mapping[str, str] | None = None) -> bool:
        """DELETE `path`; True when the service took it on, False when it was gone already."""
        try:
            await self.send(service, "DELETE", path, headers=headers, harmless_twice=True)
        except ServiceAbsent:
            raise
        except NotFound:
            return False
        return True

    async def project_id(self) -> str:
        """The project we are signed in to."""
        return str(await self._caller.read(self._project_id))

    async def user_id(self) -> str:
        """The user we are signed in as."""
        return str(await self._caller.read(self._user_id))

    async def restricted_credential(self) -> str | None:
        """The name of the application credential we have signed in with, if it is a restricted one.

        Keystone makes neither trusts nor application credentials for whoever signs in with such a one.
        """
        name = await self._caller.read(self._restricted_credential)
        return None if name is None else str(name)

    async def authorize(self) -> None:
        """Sign in now, so that a wrong credential is found before anything else is done."""
        MASKER.learn(
            await self._caller.read(lambda: self._guarded("Keystone", "sign in", self._connect().session.get_token))
        )

    def close(self) -> None:
        """Close the connections."""
        self._caller.close()
        if self._connection is not None:
            self._connection.close()

    def _project_id(self) -> str:
        return str(self._guarded("Keystone", "sign in", self._connect().session.get_project_id))

    def _user_id(self) -> str:
        return str(self._guarded("Keystone", "sign in", self._connect().session.get_user_id))

    def _restricted_credential(self) -> str | None:
        session = self._connect().session
        access = self._guarded("Keystone", "sign in", lambda: session.auth.get_access(session))
        # An older identity API knows no application credentials.
        if not getattr(access, "application_credential_id", None):
            return None
        used = access.application_credential
        return str(used.get("name") or used["id"]) if used.get("restricted") else None

    def _connect(self) -> openstack.connection.Connection:
        # The SDK makes its service proxies on first use, which two threads must not do at once.
        with self._lock:
            if self._connection is None:
                self._connection = connect(self.cloud, self._config_file, self.settings.request_timeout)
                if self._read_only:
                    openstack_guard.guard(self._connection.session.session)
            return self._connection

    def _proxy(self, service: str) -> Any:
        connection = self._connect()
        with self._lock:
            return getattr(connection, service)

    def _request(
        self,
        service: str,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Json = None,
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        name = SERVICES[service]

        def ask() -> requests.Response:
            answer: requests.Response = self._proxy(service).request(
                path,
                method,
                raise_exc=False,
                connect_retries=0,
                params=dict(params or {}),
                headers={"Accept": "application/json", **(headers or {})},
                **({} if json is None else {"json": json}),
            )
            return answer

        response = self._guarded(name, f"{method} {path}", ask)
        if response.status_code >= 400:
            raise refusal(response, f"{name} answered {response.status_code} to {method} {path}.", self.cloud)
        if not response.content:
            return None
        try:
            return response.json()
        except requests.JSONDecodeError as error:
            raise Unavailable(
                f"{name} answered {method} {path} with something that is not JSON.", detail=response.text[:200]
            ) from error

    def _guarded(self, name: str, doing: str, call: Any) -> Any:
        try:
            return call()
        except PlumblineError:
            raise
        except (keystone.ClientException, sdk.SDKException, requests.RequestException, OSError) as error:
            raise translate(error, name, doing, self.cloud, clouds_file(self._config_file)) from error


def clouds_file(config_file: Path | None = None) -> str:
    """The clouds.yaml in use, for sentences."""
    if config_file is not None:
        return str(config_file)
    named = os.environ.get("OS_CLIENT_CONFIG_FILE")
    if named:
        return named
    found = [name for name in openstack.config.loader.CONFIG_FILES if Path(name).is_file()]
    return found[0] if found else "clouds.yaml"


def connect(cloud: str, config_file: Path | None, timeout: float) -> openstack.connection.Connection:
    """Read clouds.yaml; nothing is asked of the network yet.

    Raises:
        Misconfigured: the file cannot be read, or has no such cloud.
    """
    file = clouds_file(config_file)
    named = config_file is not None or "OS_CLIENT_CONFIG_FILE" in os.environ
    if named and not os.access(file, os.R_OK):
        raise Misconfigured(
            f"The clouds file {file} cannot be read.", hint="Set OS_CLIENT_CONFIG_FILE to a clouds.yaml of yours."
        )
    secure = os.environ.get("OS_CLIENT_SECURE_FILE")
    try:
        # Variables such as OS_USERNAME would be mixed into the cloud that is named: only the file counts.
        config = openstack.config.OpenStackConfig(
            config_files=[file] if named else None,
            secure_files=[secure] if secure else None,
            load_envvars=False,
            app_name="plumbline",
        )
        known = sorted(config.get_cloud_names())
        if cloud not in known:
            raise Misconfigured(
                f"There is no cloud {cloud!r} in {file}.", hint=f"It has: {', '.join(known) or 'none'}."
            )
        region = config.get_one(cloud=cloud, api_timeout=timeout)
        _learn(region.get_auth_args())
        return openstack.connection.Connection(config=region)
    except (sdk.SDKException, keystone.ClientException, yaml.YAMLError, TypeError) as error:
        raise Misconfigured(f"The cloud {cloud!r} in {file} cannot be used.", detail=str(error)) from error


def _learn(credentials: Mapping[str, Any]) -> None:
    """Have what signs us in masked wherever it might be quoted."""
    MASKER.learn(*(str(credentials[key]) for key in _SIGNS_IN if credentials.get(key)))


UNREACHED = "unexpected client error occurred"
"""In a 403 of Magnum: it could not reach a service that it asks in turn (its `wrap_keystone_exception`)."""


def refusal(response: requests.Response, summary: str, cloud: str) -> PlumblineError:
    """The error an unsuccessful answer stands for."""
    hint = None
    if response.status_code == 403:
        if UNREACHED in response.text:
            return Unavailable(summary, detail=message(response))
        hint = f"The account of cloud {cloud!r} lacks the role for this."
    if response.status_code == 413 and "quota" in response.text.lower():
        return Denied(summary, detail=message(response), hint="Raise the project's quota or free something.")
    wait = retry_after(response.headers)
    return error_for(response.status_code, summary, detail=message(response), hint=hint, retry_after=wait)


def message(response: requests.Response) -> str:
    """What the service says in its error body, whichever of OpenStack's shapes it has."""
    try:
        body = response.json()
    except requests.JSONDecodeError:
        return response.text
    if isinstance(body, dict):
        errors = body.get("errors")
        if isinstance(errors, list) and errors and isinstance(errors[0], dict):
            return str(errors[0].get("detail") or errors[0].get("title") or errors[0])
        for key in ("message", "faultstring", "detail"):
            if body.get(key):
                return str(body[key])
        inner = next(iter(body.values()), None)
        if isinstance(inner, dict) and inner.get("message"):
            return str(inner["message"])
    return jsonlib.dumps(body)


_REFUSES = "Keystone refuses the credentials of cloud {cloud!r}."
_UNUSABLE = "The cloud {cloud!r} in {file} cannot be used."
# The first row whose exceptions match; `{…}` are filled in by `translate`.
_TRANSLATIONS: tuple[tuple[tuple[type[Exception], ...], type[PlumblineError], str, str | None], ...] = (
    ((keystone.Unauthorized, keystone.AuthorizationFailure), Denied, _REFUSES, "Look at {file}."),
    (
        (keystone.EndpointNotFound, sdk.ServiceDisabledException),
        ServiceAbsent,
        "Cloud {cloud!r} has no {name} in its catalogue.",
        None,
    ),
    (
        (keystone.SSLError,),
        Misconfigured,
        "The TLS certificate of {name} in cloud {cloud!r} is not trusted.",
        "Set cacert for the cloud in {file}.",
    ),
    ((keystone.AuthPluginException, keystone.MissingAuthMethods, sdk.ConfigException), Misconfigured, _UNUSABLE, None),
)


def translate(error: Exception, name: str, doing: str, cloud: str, file: str) -> PlumblineError:
    """The error an exception of the SDK stands for."""
    detail = str(error)
    for kinds, kind, summary, hint in _TRANSLATIONS:
        if isinstance(error, kinds):
            words = {"cloud": cloud, "file": file, "name": name}
            return kind(summary.format(**words), detail=detail, hint=hint and hint.format(**words))
    status = getattr(error, "http_status", None) or getattr(error, "status_code", None)
    if isinstance(error, (keystone.HttpError, sdk.HttpException)) and status:
        response = getattr(error, "response", None)
        wait = retry_after(response.headers) if response is not None else None
        return error_for(status, f"{name} answered {status} to {doing}.", detail=detail, retry_after=wait)
    return Unavailable(f"{name} of cloud {cloud!r} did not answer to {doing}.", detail=detail)


def segment(text: str) -> str:
    """A name or id as one segment of a path."""
    return quote(text, safe="")
