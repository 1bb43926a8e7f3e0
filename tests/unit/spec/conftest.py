"""A complete declaration, and git repositories that hold it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from dulwich.objects import Blob, Commit, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop platform"
FULL = yaml.safe_load(f"""
apiVersion: plumbline.dev/v1
kind: Environment
metadata: {{name: dev, owner: platform-team}}
spec:
  cloud: sandbox
  cluster:
    kubernetes: v1.33.4
    image: fedora-coreos
    masters: {{count: 1, flavor: m1.medium}}
    nodes: {{count: 3, flavor: m1.large}}
    nodeGroups: [{{name: build, count: 1, flavor: m1.xlarge, min: 1, max: 5}}]
    sshPublicKey: {KEY}
    labels: {{auto_healing_enabled: "true"}}
  storage: {{availabilityZone: nova}}
  dns: {{zone: sandbox.example., domain: dev.sandbox.example., ttl: 300, hostnames: []}}
  certificates: {{email: ops@example.org, issuer: letsencrypt-staging, challenge: http01}}
  addons:
    cert-manager: {{}}
    nginx-ingress: {{}}
    argo-cd: {{}}
    actions-runner-controller: {{values: {{}}}}
    rook-ceph: {{enabled: false}}
  delivery: {{repository: https://git.example.org/apps.git, path: environments/dev, revision: main}}
  runners: [{{name: build, url: https://github.com/example/app, min: 0, max: 5, credentials: github-app}}]
  policy: {{drift: {{every: 15m}}}}
""")


@pytest.fixture
def document() -> dict[str, Any]:
    """The design's example, complete."""
    return copy.deepcopy(FULL)


Committer = Callable[..., str]


@pytest.fixture
def commit() -> Committer:
    """Commit files to a repository: `commit(path, {"environments/dev.yaml": b"…"}, branch="main")` gives the id."""

    def write(path: Path, files: dict[str, bytes], branch: str = "main", mode: int = 0o100644) -> str:
        repo = Repo(str(path)) if path.exists() else Repo.init_bare(str(path), mkdir=True)
        folders: dict[bytes, Tree] = {}
        root = Tree()
        for name, content in files.items():
            folder, _, leaf = name.rpartition("/")
            blob = Blob.from_string(content)
            repo.object_store.add_object(blob)
            target = folders.setdefault(folder.encode(), Tree()) if folder else root
            target.add(leaf.encode(), mode, blob.id)
        for folder_name, tree in folders.items():
            repo.object_store.add_object(tree)
            root.add(folder_name, 0o040000, tree.id)
        repo.object_store.add_object(root)
        ref = Ref(b"refs/heads/" + branch.encode())
        made = Commit()
        made.tree = root.id
        made.parents = [repo.refs[ref]] if ref in repo.refs else []
        made.author = made.committer = b"Ops <ops@example.org>"
        made.author_time = made.commit_time = 1_700_000_000 + len(made.parents)
        made.author_timezone = made.commit_timezone = 0
        made.message = b"declare"
        repo.object_store.add_object(made)
        repo.refs[ref] = made.id
        repo.refs.set_symbolic_ref(Ref(b"HEAD"), ref)
        repo.close()
        return made.id.decode()

    return write


@pytest.fixture
def yaml_of() -> Callable[[dict[str, Any]], bytes]:
    """Write a declaration as YAML."""
    return lambda document: yaml.safe_dump(document, sort_keys=False).encode()
