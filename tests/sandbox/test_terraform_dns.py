"""The provider's zones and recordsets on real Designate, through terraform."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.platform import Platform

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.timeout(300),
    # openstacksdk warns of what it does itself.
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK50Warning"),
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK60Warning"),
]

MODULE = """
terraform {
  required_providers {
    openstack = { source = "terraform-provider-openstack/openstack", version = "~> 3.0" }
  }
}
provider "openstack" { cloud = "sandbox" }
variable "zone" { type = string }
variable "records" { type = set(string) }
resource "openstack_dns_zone_v2" "zone" {
  name  = var.zone
  email = "ops@example.org"
  ttl   = 300
}
resource "openstack_dns_recordset_v2" "www" {
  zone_id = openstack_dns_zone_v2.zone.id
  name    = "www.${var.zone}"
  type    = "A"
  ttl     = 300
  records = var.records
}
data "openstack_dns_zone_v2" "same" {
  name       = openstack_dns_zone_v2.zone.name
  depends_on = [openstack_dns_recordset_v2.www]
}
output "found" { value = data.openstack_dns_zone_v2.same.id }
output "made" { value = openstack_dns_zone_v2.zone.id }
output "recordset" { value = openstack_dns_recordset_v2.www.id }
"""


class Module:
    """The module above in a folder."""

    def __init__(self, folder: Path, zone: str, home: Path) -> None:
        self.folder = folder
        self.home = home
        self.zone = zone
        (folder / "main.tf").write_text(MODULE)

    def run(self, *arguments: str, accept: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "OS_CLIENT_CONFIG_FILE": str(self.home / "clouds.yaml"),
            "TF_CLI_CONFIG_FILE": str(self.home / "terraformrc"),
            "CHECKPOINT_DISABLE": "1",
            "TF_VAR_zone": self.zone,
        }
        command = ["terraform", *arguments]
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode in accept, done.stdout + done.stderr
        return done

    def apply(self, *records: str) -> dict[str, str]:
        self.run("apply", "-auto-approve", "-input=false", f"-var=records={json.dumps(records)}")
        shown = json.loads(self.run("output", "-json").stdout)
        return {name: output["value"] for name, output in shown.items()}

    def differs(self, *records: str) -> bool:
        arguments = ("plan", "-detailed-exitcode", "-input=false", f"-var=records={json.dumps(records)}")
        return self.run(*arguments, accept=(0, 2)).returncode == 2


@pytest.fixture
def module(tmp_path: Path, platform: Platform) -> Iterator[Module]:
    made = Module(tmp_path, f"t{secrets.token_hex(3)}.example.", platform.home)
    made.run("init", "-input=false")
    yield made
    made.run("destroy", "-auto-approve", "-input=false", "-var=records=[]")


@pytest.fixture
def designate(platform: Platform) -> Any:
    return platform.connection().dns


def test_zones_and_recordsets_live_through_terraform(module: Module, designate: Any) -> None:
    outputs = module.apply("10.0.0.2", "10.0.0.1")
    zone, recordset = outputs["recordset"].split("/")
    assert outputs["made"] == outputs["found"] == zone
    seen = designate.get_recordset(recordset, zone)
    assert (seen.name, sorted(seen.records), seen.ttl, seen.status) == (
        f"www.{module.zone}",
        ["10.0.0.1", "10.0.0.2"],
        300,
        "ACTIVE",
    )
    assert not module.differs("10.0.0.1", "10.0.0.2")

    module.apply("10.0.0.3")
    assert designate.get_recordset(recordset, zone).records == ["10.0.0.3"]

    designate.update_recordset(recordset, zone_id=zone, records=["10.9.9.9"])
    assert module.differs("10.0.0.3")
    module.apply("10.0.0.3")
    assert designate.get_recordset(recordset, zone).records == ["10.0.0.3"]

    module.run("state", "rm", "openstack_dns_recordset_v2.www")
    records = '-var=records=["10.0.0.3"]'
    module.run("import", "-input=false", records, "openstack_dns_recordset_v2.www", outputs["recordset"])
    module.apply("10.0.0.3")
    assert not module.differs("10.0.0.3")
    assert [item.id for item in designate.recordsets(zone) if item.type == "A"] == [recordset]
