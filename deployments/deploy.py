"""Bring a Prefect server's deployments to what prefect.yaml says.

python -m deployments.deploy        # to the server of PREFECT_API_URL, with PREFECT_API_AUTH_STRING
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path

import httpx

from deployments import automations, pausing
from deployments.patience import Patient
from deployments.settings import PrefectSettings, get_prefect_settings
from infra.clients.errors import Failed, Misconfigured, PlumblineError, mask
from infra.settings import ROOT

PREFECT = str(Path(sys.executable).with_name("prefect"))
PACKAGE = Path(str(distribution("prefect").locate_file("prefect")))
"""Prefect's files; importing it takes three seconds."""


def deploy(settings: PrefectSettings, environment: Mapping[str, str]) -> None:
    """Make the work pool where there is none, deploy, and add missing automations; nothing changes the second time.

    What people have switched on or off stays so.

    Args:
        environment: of the `prefect` program; names the server and how to sign in.

    Raises:
        Misconfigured: it names no server.
        Failed: Prefect refused, with its words.
    """
    url = environment.get("PREFECT_API_URL")
    if not url:
        raise Misconfigured(
            "PREFECT_API_URL is not set.", hint="Set it to the server's API, such as http://…:4200/api."
        )
    user, _, password = environment.get("PREFECT_API_AUTH_STRING", "").partition(":")
    auth = (user, password) if user else None
    with httpx.Client(base_url=f"{url}/", auth=auth, timeout=30, transport=Patient()) as api:
        if api.get(f"work_pools/{settings.work_pool}").status_code == httpx.codes.NOT_FOUND:
            create_pool(api, settings.work_pool)
        with pausing.kept(api):
            variables = {**environment, "PLUMBLINE_PREFECT_WORK_POOL": settings.work_pool}
            _prefect(variables, "--no-prompt", "deploy", "--all")
        close_parameters(api)
        automations.add_missing(api)


def create_pool(api: httpx.Client, name: str) -> None:
    """Make a work pool for processes, as `prefect work-pool create` does; that program takes four seconds for it.

    Args:
        api: a client whose base URL is the Prefect API.

    Raises:
        Failed: Prefect refused it, with its words.
    """
    workers = json.loads((PACKAGE / "server/api/collections_data/views/aggregate-worker-metadata.json").read_text())
    template = workers["prefect"]["process"]["default_base_job_configuration"]
    made = api.post("work_pools/", json={"name": name, "type": "process", "base_job_template": template})
    # Another deployment may have made the same pool meanwhile.
    if made.status_code not in (httpx.codes.CREATED, httpx.codes.CONFLICT):
        raise Failed(f"Prefect refused the work pool {name!r}.", detail=made.text)


def close_parameters(api: httpx.Client) -> None:
    """Let the server refuse parameters that a flow does not have, instead of starting a run that crashes on them.

    Prefect derives the schema from the flow's signature and leaves it open to further properties.

    Args:
        api: a client whose base URL is the Prefect API.
    """
    for deployment in pausing.deployments(api):
        schema = {**deployment["parameter_openapi_schema"], "additionalProperties": False}
        api.patch(f"deployments/{deployment['id']}", json={"parameter_openapi_schema": schema}).raise_for_status()


def _prefect(environment: Mapping[str, str], *arguments: str) -> None:
    done = subprocess.run(
        [PREFECT, *arguments],
        env=dict(environment),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    if done.returncode:
        raise Failed(f"`prefect {' '.join(arguments)}` failed.", detail=mask(done.stdout[-2000:] + done.stderr[-2000:]))


def main() -> int:
    """Deploy to the server that the environment names."""
    try:
        deploy(get_prefect_settings(), os.environ)
    except PlumblineError as error:
        print(error, file=sys.stderr)
        return 1
    print("Deployed.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
