"""`python -m infra.drift` writes the JSON Schemas of the documents about drift."""

from __future__ import annotations

from infra.drift.schemas import write

if __name__ == "__main__":
    for path in write():
        print(f"wrote {path}")
