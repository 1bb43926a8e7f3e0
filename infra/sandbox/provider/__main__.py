"""Started by terraform through the wrapper in the mirror."""

from __future__ import annotations

from infra.sandbox.provider.server import serve

if __name__ == "__main__":
    serve()
