"""One private key that is known hides no other."""

from __future__ import annotations

from infra.clients.masking import Masker


def key(body: str) -> str:
    return f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----"


def test_a_known_private_key_does_not_uncover_another_one() -> None:
    masker = Masker()
    masker.learn(key("MIIEabcdefgh"))
    said = masker.mask(f"this: {key('MIIEabcdefgh')} and that: {key('MIIExyzxyzxyz')} and the line MIIEabcdefgh alone")
    assert said == "this: *** and that: *** and the line *** alone"
