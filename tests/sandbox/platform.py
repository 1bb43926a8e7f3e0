"""The end-to-end tests' platform, under the name that the tests of the embedded cloud know."""

from __future__ import annotations

from tests.platform import Finished, Platform, writes

__all__ = ["Finished", "Platform", "writes"]
