"""Helm's hooks on a real control plane: kwok completes their Jobs, and what their programs would do is done."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deployments.sandbox.charts import build
from deployments.sandbox.controllers.hooks import Hooks
from deployments.sandbox.controllers.kube.client import Client
from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controlplane.plane import ControlPlane
from infra.clients.errors import NotYet
from infra.clients.kubernetes import KubernetesClient
from infra.clients.waiting import wait_until

pytestmark = pytest.mark.envtest


@pytest.fixture
async def hooks(plane: ControlPlane, kubernetes: KubernetesClient) -> AsyncIterator[None]:
    """A node for the hooks' pods, and who plays their programs."""
    room = {"cpu": "4", "memory": "8Gi", "pods": "110"}
    status = {"capacity": room, "allocatable": room}
    await kubernetes.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}, "status": status})
    async with Client.from_kubeconfig(plane.kubeconfig) as client:
        cluster = Cluster(client, name="dev")
        Hooks(cluster)
        running = asyncio.create_task(cluster.run())
        yield
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def helm(plane: ControlPlane, *arguments: str) -> None:
    environment = {**os.environ, "KUBECONFIG": str(plane.kubeconfig)}
    child = await asyncio.create_subprocess_exec(
        "helm", *arguments, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await child.communicate()
    assert child.returncode == 0, output.decode()


@pytest.mark.usefixtures("hooks")
async def test_argo_cds_hook_makes_the_password_of_redis_once(
    plane: ControlPlane, kubernetes: KubernetesClient, tmp_path: Path
) -> None:
    name = next(name for name in build(tmp_path, tmp_path.as_uri()) if name.startswith("argo-cd-"))
    release = ("argocd", str(tmp_path / name), "--namespace", "argocd", "--timeout", "120s")
    await helm(plane, "install", *release, "--create-namespace")

    async def password() -> str:
        secret = await kubernetes.get("v1", "Secret", "argocd-redis", "argocd")
        if secret is None:
            raise NotYet("There is no Secret argocd-redis.")
        return str(secret["data"]["auth"])

    # The hook is over when its pod has completed; who plays its program may be a moment later.
    made = await wait_until(password, describe="the Secret argocd-redis", timeout=10, interval=0.1)
    await helm(plane, "upgrade", *release)
    assert await password() == made
    job = await kubernetes.get("batch/v1", "Job", "argocd-redis-secret-init", "argocd")
    assert job is not None and job["status"]["succeeded"] == 1
