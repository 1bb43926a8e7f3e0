"""Settings of the local Prefect server and worker, prefix PLUMBLINE_PREFECT_."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.settings import Port


class PrefectSettings(BaseSettings):
    """How `make up` runs Prefect."""

    model_config = SettingsConfigDict(env_prefix="PLUMBLINE_PREFECT_", extra="ignore", frozen=True)

    port: Port = Field(default=4200, description="Port of the Prefect server and its UI, on loopback.")
    work_pool: str = Field(default="plumbline", pattern=r"^[a-z0-9-]+$", description="Work pool of the worker.")
    worker_limit: int = Field(default=4, ge=1, le=100, description="Flow runs the worker runs at a time.")
    start_timeout: float = Field(default=120, gt=0, le=600, description="Seconds the server may take to start.")
    run_timeout: float = Field(default=900, gt=0, le=86400, description="Seconds `make up` waits for the flow run.")

    def home(self, sandbox_home: Path) -> Path:
        """Prefect's own folder: its database, its blocks' key."""
        return sandbox_home / "prefect"

    @property
    def api_url(self) -> str:
        """The server's API."""
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def ui_url(self) -> str:
        """The server's UI."""
        return f"http://127.0.0.1:{self.port}"


@lru_cache(maxsize=1)
def get_prefect_settings() -> PrefectSettings:
    """The settings of this process, read once from the environment."""
    return PrefectSettings()
