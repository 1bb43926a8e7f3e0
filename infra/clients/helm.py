"""The Helm client: releases brought to a chart and values, one writer at a time, and dead writers' remains closed.

Reads take the release records from the cluster (helm_records); writes run helm through pyhelm3 (helm_command) while
holding a Lease (helm_lease).

A revision whose writer died stays `pending-…` for ever. Once the writer is proven dead, its record is marked
`failed`, which is what helm does itself when it is interrupted, and the ordinary `helm upgrade --install` goes on
from there: helm upgrades from the last deployed revision, or, where none was ever deployed, from the failed
first one, adopting the objects that exist. Nothing is uninstalled, and no object is rolled back and forth. What only
revisions that never became deployed had made is forgotten by Helm; it is removed here (helm_prune).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict

from infra.clients.calling import retried
from infra.clients.errors import Conflict, InvalidInput, NotFound, PlumblineError, Refused, Unavailable
from infra.clients.helm_chart import ChartFile, description, read_chart, same
from infra.clients.helm_lease import MARGIN, Held, Now, ReleaseLease
from infra.clients.helm_program import version_of
from infra.clients.helm_prune import left_behind, prune
from infra.clients.helm_records import HelmRelease, closed, release_of, revision_of
from infra.clients.helm_schemas import check_values, schemas_alone
from infra.clients.kubernetes import KubernetesClient, Object, UnknownKind
from infra.clients.private import PrivateFolder
from infra.settings import Settings, get_settings

if TYPE_CHECKING:
    from infra.clients.helm_command import HelmCommand

__all__ = ["ChartFile", "Ensured", "HelmClient", "HelmRelease"]

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
OWNED = "owner=helm"
ATTEMPTS = 6
"""Runs of one helm where the API server did not answer: of its eighty requests it repeats hardly any."""
DEAD = "Plumbline: the writer of this revision ended before it was done."


class Ensured(BaseModel):
    """What `ensure` did."""

    model_config = ConfigDict(frozen=True)

    action: Literal["unchanged", "installed", "upgraded"]
    release: HelmRelease
    recovered: str | None = None
    """The status a dead writer had left, where it had to be closed first."""
    unchecked: tuple[str, ...] = ()
    """Addresses that the chart's schemas point to, and that nothing was asked of."""
    pruned: tuple[str, ...] = ()
    """Objects that only revisions which never became deployed had made, and that were removed."""


class HelmClient:
    """Releases in one cluster.

    Args:
        kubeconfig: of the cluster.
        settings: `helm_binary`, `helm_timeout`, `state_dir`.
        kubernetes: a client of the same cluster to share; one of its own otherwise.
        now: the wall clock, replaced in tests.
    """

    def __init__(
        self,
        kubeconfig: Path,
        settings: Settings | None = None,
        *,
        kubernetes: KubernetesClient | None = None,
        now: Now | None = None,
    ) -> None:
        self._settings = settings or get_settings()
        self._kubernetes = kubernetes or KubernetesClient(kubeconfig, self._settings)
        self._owns_kubernetes = kubernetes is None
        self._kubeconfig = kubeconfig.absolute()
        self._now: Now = now or (lambda: datetime.now(UTC))
        self._home = PrivateFolder(self._settings.state_dir / "private", "helm")

    async def release(self, name: str, namespace: str) -> HelmRelease | None:
        """The latest revision of a release, whatever its status; None when there is none."""
        secrets = await self._secrets(namespace, f"{OWNED},name={_checked(name)}")
        return release_of(secrets[-1]) if secrets else None

    async def history(self, name: str, namespace: str) -> tuple[HelmRelease, ...]:
        """Every revision Helm kept of a release, oldest first."""
        secrets = await self._secrets(namespace, f"{OWNED},name={_checked(name)}")
        return tuple(release_of(secret) for secret in secrets)

    async def releases(self, namespace: str | None = None) -> tuple[HelmRelease, ...]:
        """The latest revision of every release, by namespace and name."""
        latest: dict[tuple[str, str], Object] = {}
        for secret in await self._secrets(namespace, OWNED):
            metadata = secret["metadata"]
            latest[metadata["namespace"], metadata.get("labels", {}).get("name", "")] = secret
        return tuple(release_of(secret) for _, secret in sorted(latest.items(), key=lambda item: item[0]))

    async def ensure(
        self,
        name: str,
        namespace: str,
        chart: Path,
        values: Mapping[str, Any],
        *,
        wait: bool = True,
        timeout: float | None = None,
        create_namespace: bool = True,
    ) -> Ensured:
        """Bring a release to a chart and values; with nothing to do, nothing is written.

        Unchanged means: the latest revision is deployed, with the same chart (name, version and, where we recorded
        it, content) and the same values. Whether its objects are still as Helm made them is not looked at here.

        Args:
            chart: a packed chart (.tgz).
            wait: until its workloads are ready.
            timeout: seconds helm may wait; `helm_timeout` of the settings by default.

        Raises:
            Conflict: another writer is, or may be, at work.
            WebhookUnavailable, Unavailable: try again.
            DeadlineExceeded: the workloads were not ready in time; the revision is `failed`.
            InvalidInput, Refused, Denied, Failed: as helm said.
        """
        file = await asyncio.to_thread(read_chart, chart)
        history = await self.history(name, namespace)
        if history and same(history[-1], file, values) and not await left_behind(self._kubernetes, history):
            return Ensured(action="unchanged", release=history[-1])
        unchecked = await self._check_values(name, namespace, file, values)
        action: Literal["unchanged", "installed", "upgraded"] = "unchanged"
        recovered = None
        async with self._writing(name, namespace, timeout) as (helm, lease):

            async def attempt() -> None:
                nonlocal action, recovered
                found = await self.release(name, namespace)
                if found is not None and found.pending:
                    await self._close(found, lease)
                    recovered = recovered or found.status
                if found is not None and same(found, file, values):
                    return
                action = "installed" if found is None or action == "installed" else "upgraded"
                helm.command.server_side = found is None or found.server_side
                helm.command.skip_schemas = bool(unchecked)
                async with self._judged(lease):
                    await helm.install_or_upgrade(
                        name,
                        str(file.path),
                        dict(values),
                        namespace=namespace,
                        wait=wait,
                        create_namespace=create_namespace and found is None,
                        # Without it, helm takes the old values where the new ones are empty.
                        reset_values=True,
                        description=description(file),
                    )

            await retried(attempt, on=(Unavailable,), attempts=ATTEMPTS, first_pause=0.5)
            history = await self.history(name, namespace)
            if not history:
                raise NotFound(f"The release {namespace}/{name} vanished while it was being written.")
            pruned = await prune(self._kubernetes, history)
        return Ensured(action=action, release=history[-1], recovered=recovered, unchecked=unchecked, pruned=pruned)

    async def uninstall(self, name: str, namespace: str, *, wait: bool = True, timeout: float | None = None) -> bool:
        """Uninstall a release with its history; False when it was gone already.

        Raises:
            Conflict: another writer is, or may be, at work.
        """
        if await self.release(name, namespace) is None:
            return False
        async with self._writing(name, namespace, timeout) as (helm, lease):
            found = await self.release(name, namespace)
            if found is None:
                return False
            if found.pending:
                await self._close(found, lease)
            try:
                await helm.uninstall(name, namespace=namespace, wait=wait)
            except NotFound:
                return False
        return True

    async def rollback(
        self, name: str, namespace: str, revision: int, *, wait: bool = True, timeout: float | None = None
    ) -> HelmRelease:
        """Make a new revision that is what `revision` was."""
        async with self._writing(name, namespace, timeout) as (helm, lease):
            found = await self.release(name, namespace)
            if found is None:
                raise NotFound(f"There is no release {namespace}/{name}.")
            if found.pending:
                await self._close(found, lease)
            helm.command.server_side = found.server_side
            await helm.rollback(name, revision, namespace=namespace, wait=wait)
        done = await self.release(name, namespace)
        if done is None:
            raise NotFound(f"The release {namespace}/{name} vanished while it was being written.")
        return done

    async def version(self) -> str:
        """The helm program's version; errors as for `helm_program.version_of`."""
        return str(await version_of(self._settings.helm_binary, self._home.path))

    def close(self) -> None:
        """Close the connections and remove helm's private folder."""
        if self._owns_kubernetes:
            self._kubernetes.close()
        self._home.remove()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _check_values(
        self, name: str, namespace: str, chart: ChartFile, values: Mapping[str, Any]
    ) -> tuple[str, ...]:
        """Where a chart's schemas point outside, check values against the rest; see `helm_schemas.check_values`."""
        outside, copy = await asyncio.to_thread(schemas_alone, chart.path)
        if outside:
            helm = self._command(None)
            helm.kube_version = await self._kubernetes.version()
            await check_values(helm, _checked(name), _checked(namespace), copy, values)
        return outside

    def _command(self, timeout: float | None) -> HelmCommand:
        # Most processes only read, which takes no helm: pyhelm3 is loaded by those that run it.
        from infra.clients.helm_command import HelmCommand  # noqa: PLC0415

        timeout = timeout or self._settings.helm_timeout
        return HelmCommand(self._settings.helm_binary, self._kubeconfig, self._home.path, timeout)

    @contextlib.asynccontextmanager
    async def _writing(
        self, name: str, namespace: str, timeout: float | None
    ) -> AsyncIterator[tuple[Held, ReleaseLease]]:
        """Hold the Lease of a release, and say on leaving whether a revision was left unfinished."""
        if self._kubernetes.read_only:
            raise Refused(f"This run only looks: the release {namespace}/{name} was not written.")
        timeout = timeout or self._settings.helm_timeout
        lease = ReleaseLease(
            self._kubernetes, _checked(namespace), _checked(name), runs_for=timeout + MARGIN, now=self._now
        )
        await lease.take()
        helm = self._command(timeout)
        helm.writer = lease.identity
        try:
            yield Held(helm, lease), lease
        except BaseException:
            # Our helm has ended by now (infra.clients.process waits for it), whatever its record says.
            with contextlib.suppress(PlumblineError):
                await asyncio.shield(self._leave(lease, name, namespace))
            raise
        await lease.give_back()

    @contextlib.asynccontextmanager
    async def _judged(self, lease: ReleaseLease) -> AsyncIterator[None]:
        """Run our helm: once it has ended, a revision that looks unfinished is its, and may be closed.

        Helm leaves kinds out when it does not get an answer about their group, and then says that there are no such
        kinds: that is believed only when the API server says so, too.
        """
        try:
            yield
        except UnknownKind as error:
            kinds = re.findall(r'no matches for kind "([^"]+)" in version "([^"]+)"', error.detail or "")
            known = [await self._kubernetes.resource(version, kind) is not None for kind, version in kinds]
            if not known or not all(known):
                raise
            lease.previous_died = True
            raise Unavailable(f"{error.summary} The API server has them all.", detail=error.detail) from error
        except Unavailable:
            lease.previous_died = True
            raise

    async def _leave(self, lease: ReleaseLease, name: str, namespace: str) -> None:
        found = await self.release(name, namespace)
        await lease.give_back(found.revision if found is not None and found.pending else None)

    async def _close(self, found: HelmRelease, lease: ReleaseLease) -> None:
        """Mark a dead writer's revision failed.

        Raises:
            Conflict: nothing proves that the writer is dead.
        """
        if not lease.previous_died and lease.ended_revision != found.revision:
            # Somebody else's helm: it ends by itself after its --timeout, of which we know only our own.
            since = found.updated or datetime.min.replace(tzinfo=UTC)
            free = since + timedelta(seconds=self._settings.helm_timeout + MARGIN) - self._now()
            if free > timedelta():
                raise Conflict(
                    f"Release {found.namespace}/{found.name} is {found.status} since {since:%H:%M:%S} UTC: "
                    "another helm may be at work.",
                    retry_after=free.total_seconds(),
                )
        secrets = await self._secrets(found.namespace, f"{OWNED},name={found.name}")
        if secrets and revision_of(secrets[-1]) == found.revision:
            # With its resourceVersion: should the writer live after all, one of us gets a Conflict.
            await self._kubernetes.replace(closed(secrets[-1], DEAD))

    async def _secrets(self, namespace: str | None, selector: str) -> list[Object]:
        if namespace is not None:
            _checked(namespace)
        found = await self._kubernetes.list("v1", "Secret", namespace, label_selector=selector)
        return sorted(found, key=revision_of)


def _checked(name: str) -> str:
    """A release name or namespace that Helm and Kubernetes take (and that no command line could misread)."""
    if len(name) > 63 or not _NAME.fullmatch(name):
        raise InvalidInput(f"{name!r} is no release name or namespace: lower-case letters, digits, '-' and '.'.")
    return name
