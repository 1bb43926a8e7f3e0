"""The filesystem mirror."""

from __future__ import annotations

from pathlib import Path

from deployments.sandbox.provider.mirror import cli_config, install


def wrapper(mirror: Path) -> Path:
    (found,) = mirror.rglob("terraform-provider-openstack_v*")
    return found


def test_the_wrapper_is_constant_and_executable(tmp_path: Path) -> None:
    text = install(tmp_path / "mirror", Path("/venv/bin/python"), Path("/re po"))
    file = wrapper(tmp_path / "mirror")
    assert str(file.relative_to(tmp_path / "mirror")) == (
        "registry.terraform.io/terraform-provider-openstack/openstack/3.4.0/linux_amd64/"
        "terraform-provider-openstack_v3.4.0"
    )
    assert file.stat().st_mode & 0o111
    assert "PYTHONPATH='/re po'" in file.read_text()
    assert "exec env" in file.read_text()
    before = file.stat().st_mtime_ns
    assert install(tmp_path / "mirror", Path("/venv/bin/python"), Path("/re po")) == text
    assert file.stat().st_mtime_ns == before


def test_another_interpreter_is_another_wrapper(tmp_path: Path) -> None:
    install(tmp_path, Path("/a/python"), Path("/repo"))
    install(tmp_path, Path("/b/python"), Path("/repo"))
    assert "/b/python" in wrapper(tmp_path).read_text()
    assert list(tmp_path.rglob("*.new")) == []


def test_the_cli_configuration_takes_only_this_provider_from_the_mirror() -> None:
    text = cli_config(Path('/a "b"'))
    assert 'path    = "/a \\"b\\""' in text
    assert text.count("registry.terraform.io/terraform-provider-openstack/openstack") == 2
    assert "disable_checkpoint = true" in text
