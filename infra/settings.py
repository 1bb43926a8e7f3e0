"""Plumbline's own settings: one tree, every field described and bounded, prefix PLUMBLINE_."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent
"""The checkout."""

Port = Annotated[int, Field(ge=1, le=65535)]


class Settings(BaseSettings):
    """What a site sets once. `.sandbox/env` sets it for the sandbox."""

    model_config = SettingsConfigDict(env_prefix="PLUMBLINE_", extra="ignore", frozen=True)

    environments_repository: str = Field(
        default=str(ROOT / ".sandbox/git/environments.git"),
        description="Git repository with environments/<name>.yaml: a path, or an https:// or ssh:// URL.",
    )
    environments_revision: str = Field(default="main", min_length=1, description="Branch, tag or commit to read.")
    secrets_dir: Path = Field(
        default=ROOT / ".sandbox/secrets",
        description="Folder of secrets: one folder per secret name, one file per key, readable by us alone.",
    )
    state_dir: Path = Field(
        default=ROOT / ".sandbox/state",
        description="Where Terraform working folders, local state and the SQLite ledger live (mode 0700).",
    )
    ledger_url: str | None = Field(
        default=None, description="SQLAlchemy URL of the ledger; SQLite in state_dir when unset."
    )
    ledger_url_file: Path | None = Field(
        default=None, description="File that holds the ledger's URL, for URLs with a password."
    )
    ledger_keep: int = Field(
        default=90,
        ge=7,
        le=3660,
        description="Days for which the ledger remembers checks, cleared drift and ended runs; what is open, it always "
        "does.",
    )
    prefect_keep: int = Field(
        default=30,
        ge=7,
        le=3660,
        description="Days for which Prefect keeps flow runs with their logs and artifacts; of each environment the "
        "newest verdict stays.",
    )
    terraform_binary: str = Field(default="terraform", min_length=1, description="The terraform program.")
    terraform_providers: Literal["registry", "mirror"] = Field(
        default="registry",
        description="Where terraform's CLI configuration has providers come from. A mirror may change its package of a "
        "version: runs and looks then lock it anew. A registry never does: another package than the locked one is "
        "refused.",
    )
    terraform_backend: Literal["local", "pg", "s3", "http"] = Field(
        default="local", description="Where Terraform keeps its state, one per environment."
    )
    terraform_backend_config: dict[str, str] = Field(
        default_factory=dict,
        description="Backend arguments as a JSON object; {environment} stands for the environment's name. "
        "Credentials come from the backend's own variables (PG_CONN_STR, AWS_*, TF_HTTP_*).",
    )
    terraform_timeout: float = Field(default=5400, gt=0, le=86400, description="Seconds one terraform run may take.")
    cluster_timeout: int = Field(
        default=60, ge=1, le=1440, description="Minutes Magnum and Terraform may take for one cluster operation."
    )
    helm_binary: str = Field(default="helm", min_length=1, description="The helm program: 3.16 or newer, below 5.")
    helm_timeout: float = Field(default=900, gt=0, le=7200, description="Seconds one helm install may take.")
    chart_mirror: str | None = Field(
        default=None, description="Base URL of a chart repository to use instead of the catalogue's upstream ones."
    )
    request_timeout: float = Field(default=30, gt=0, le=600, description="Seconds a single API request may take.")
    probe_timeout: float = Field(default=600, gt=0, le=7200, description="Seconds a readiness probe may wait.")
    probe_interval: float = Field(
        default=2, gt=0, le=60, description="Seconds between two looks of a probe; the first ones follow faster."
    )
    dns_resolvers: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Resolvers as host or host:port, comma-separated; the system's when empty."
    )
    dns_port: Port = Field(default=53, description="Port of the authoritative name servers.")
    dns_ttl_min: int = Field(default=300, ge=1, le=86400, description="Smallest recordset TTL the cloud accepts, s.")
    dns_ttl_max: int = Field(default=86400, ge=1, le=2147483647, description="Largest recordset TTL, s.")
    notify: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Prefect notification blocks that are told of new and cleared drift and of failed checks, as "
        "type/name (slack-webhook/ops, sendgrid-email/ops, webhook/ops), comma-separated.",
    )
    drift_dry_run: bool = Field(
        default=False,
        description="Let checks ask dry runs where an object differs: for clusters whose admission webhooks rewrite "
        "what is declared. The group plumbline:readers then needs the verb patch, which is the right to write; the "
        "client still refuses whatever is no dry run.",
    )
    ingress_https_port: Port = Field(default=443, description="Port on which the ingress serves TLS.")
    tls_ca_file: Path | None = Field(
        default=None,
        description="CA bundle that served certificates must chain to, unless their issuer's own roots are declared or "
        "known (those of Let's Encrypt's staging); the system's when unset.",
    )
    acme_server: str | None = Field(
        default=None, description="ACME directory that the issuer `sandbox` stands for; the sandbox sets it."
    )
    acme_ca_file: Path | None = Field(
        default=None, description="CA bundle that this ACME server's own certificate must chain to."
    )

    @field_validator("dns_resolvers", "notify", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once from the environment."""
    return Settings()
