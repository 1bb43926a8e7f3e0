"""cert-manager's part: issuers, certificates, the webhook, the CA injector and the ingress shim."""
