"""An environment with every add-on of the catalogue."""

ENVIRONMENT = """
apiVersion: plumbline.dev/v1
kind: Environment
metadata: {name: dev, owner: platform-team}
spec:
  cloud: sandbox
  cluster:
    kubernetes: v1.33.4
    image: fedora-coreos
    masters: {count: 1, flavor: m1.medium}
    nodes: {count: 3, flavor: m1.large}
    sshPublicKey: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl dev
  dns: {zone: sandbox.example., domain: dev.sandbox.example.}
  certificates: {email: ops@example.org, issuer: sandbox, challenge: dns01}
  addons:
    actions-runner-controller: {}
    argo-cd: {}
    cert-manager: {}
    external-dns: {}
    kubernetes-dashboard: {}
    nginx-ingress: {}
    rook-ceph: {}
  runners: [{name: build, url: https://github.com/example/app, min: 1, max: 4, credentials: github-app}]
"""
