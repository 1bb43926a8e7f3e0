"""`python -m deployments.sandbox.charts FOLDER --url URL`: pack the sandbox's charts into a repository."""

from __future__ import annotations

import argparse
from pathlib import Path

from deployments.sandbox.charts import build


def main() -> None:
    """Pack the charts, and print their digests."""
    parser = argparse.ArgumentParser(prog="python -m deployments.sandbox.charts", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder to fill")
    parser.add_argument("--url", help="where the folder is served; the folder itself when left out")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    for filename, digest in build(folder, arguments.url or folder.as_uri()).items():
        print(f"{digest}  {filename}")


if __name__ == "__main__":
    main()
