"""What cert-manager's webhook refuses (pkg/apis/certmanager/validation). Pure."""

from __future__ import annotations

from deployments.sandbox.controllers.cert_manager.spec import go_duration
from deployments.sandbox.controllers.kube.resources import Obj

ISSUER_TYPES = ("acme", "ca", "vault", "selfSigned", "venafi")
SHORTEST = 3600
"""Seconds a certificate has to be valid at least."""

NAMES = ("commonName", "dnsNames", "uris", "emailAddresses", "ipAddresses", "otherNames", "literalSubject")
KEY_SIZES = {"RSA": (2048, 4096, 8192), "ECDSA": (256, 384, 521)}


def refusal(request: Obj) -> str | None:
    """Why an AdmissionReview's request is refused, or None."""
    obj = request.get("object") or {}
    kind = obj.get("kind") or request.get("kind", {}).get("kind")
    spec = obj.get("spec") or {}
    checks = {
        "Certificate": certificate_errors,
        "Issuer": issuer_errors,
        "ClusterIssuer": issuer_errors,
        "CertificateRequest": request_errors,
    }
    check = checks.get(kind or "")
    errors = check(spec) if check else []
    old = (request.get("oldObject") or {}).get("spec")
    if kind == "CertificateRequest" and old is not None and old != spec:
        errors.append("spec: Forbidden: cannot change spec after creation")
    return ", ".join(errors) or None


def certificate_errors(spec: Obj) -> list[str]:
    """What is wrong with a Certificate's spec."""
    errors = []
    if not spec.get("secretName"):
        errors.append("spec.secretName: Required value: must be specified")
    errors += _issuer_reference(spec)
    if not any(spec.get(name) for name in NAMES):
        errors.append(
            "spec: Invalid value: at least one of commonName (from the commonName field or from a literalSubject), "
            "dnsNames, uriSANs, ipAddresses, emailSANs or otherNames must be set"
        )
    if len(spec.get("commonName", "")) > 64:
        errors.append("spec.commonName: Too long: may not be longer than 64")
    private = spec.get("privateKey") or {}
    algorithm, size = private.get("algorithm", "RSA"), private.get("size")
    if size and algorithm in KEY_SIZES:
        allowed = KEY_SIZES[algorithm]
        fits = 2048 <= size <= 8192 if algorithm == "RSA" else size in allowed
        if not fits:
            errors.append(
                f"spec.privateKey.size: Invalid value: {size}: must be between 2048 & 8192 for rsa keyAlgorithm"
                if algorithm == "RSA"
                else f"spec.privateKey.size: Unsupported value: {size}: supported values: {allowed}"
            )
    return errors + _durations(spec)


def _durations(spec: Obj) -> list[str]:
    try:
        lasting = go_duration(spec["duration"]).total_seconds() if spec.get("duration") else 90 * 86400
        ahead = go_duration(spec["renewBefore"]).total_seconds() if spec.get("renewBefore") else None
    except ValueError as error:
        return [f"spec.duration: Invalid value: {error}"]
    errors = []
    if lasting < SHORTEST:
        errors.append(
            f"spec.duration: Invalid value: {spec['duration']}: certificate duration must be greater than 1h0m0s"
        )
    if ahead is not None and ahead >= lasting:
        errors.append(
            f"spec.renewBefore: Invalid value: {spec['renewBefore']}: "
            "certificate duration must be greater than renewBefore"
        )
    return errors


def _issuer_reference(spec: Obj) -> list[str]:
    reference = spec.get("issuerRef") or {}
    errors = []
    if not reference.get("name"):
        errors.append("spec.issuerRef.name: Required value: must be specified")
    ours = reference.get("group") in {None, "", "cert-manager.io"}
    if ours and reference.get("kind") not in {None, "", "Issuer", "ClusterIssuer"}:
        errors.append("spec.issuerRef.kind: Invalid value: must be one of Issuer or ClusterIssuer")
    return errors


def issuer_errors(spec: Obj) -> list[str]:
    """What is wrong with an Issuer's or ClusterIssuer's spec."""
    chosen = [name for name in ISSUER_TYPES if name in spec]
    if not chosen:
        return ["spec: Required value: at least one issuer must be configured"]
    errors = [f"spec.{name}: Forbidden: may not specify more than one issuer type" for name in chosen[1:]]
    if "ca" in spec and not (spec["ca"] or {}).get("secretName"):
        errors.append("spec.ca.secretName: Required value")
    acme = spec.get("acme")
    if acme is not None:
        if not (acme.get("privateKeySecretRef") or {}).get("name"):
            errors.append(
                "spec.acme.privateKeySecretRef.name: Required value: private key secret name is a required field"
            )
        if not acme.get("server"):
            errors.append("spec.acme.server: Required value: acme server URL is a required field")
        for index, each in enumerate(acme.get("solvers") or []):
            if not each.get("http01") and not each.get("dns01"):
                errors.append(f"spec.acme.solvers[{index}]: Required value: no solver type configured")
    return errors


def request_errors(spec: Obj) -> list[str]:
    """What is wrong with a CertificateRequest's spec."""
    errors = _issuer_reference(spec)
    if not spec.get("request"):
        errors.append("spec.request: Required value: must be specified")
    return errors
