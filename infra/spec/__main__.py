"""`python -m infra.spec check FILE …` checks environment files; `write` publishes the schema and the reference."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from infra.settings import get_settings
from infra.spec.check import parse_text
from infra.spec.context import Rules
from infra.spec.problems import InvalidDeclaration
from infra.spec.reference import write


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; exit 0 fine, 1 not."""
    parser = argparse.ArgumentParser(prog="python -m infra.spec", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="check environment files, and name every problem")
    check.add_argument("files", nargs="+", type=Path)
    commands.add_parser("write", help="write environment.schema.json and docs/environment.md")
    options = parser.parse_args(arguments)
    if options.command == "write":
        for path in write():
            print(f"wrote {path}")
        return 0
    return max(_check(path) for path in options.files)


def _check(path: Path) -> int:
    try:
        parse_text(path.read_bytes(), what=str(path), rules=Rules.of(get_settings()), name=path.stem)
    except OSError as error:
        print(f"{path} cannot be read: {error.strerror}.", file=sys.stderr)
        return 1
    except InvalidDeclaration as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{path} is valid.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
