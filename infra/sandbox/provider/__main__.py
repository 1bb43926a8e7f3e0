"""Started by terraform through the wrapper in the mirror."""

from __future__ import annotations

import os
import sys

from infra.sandbox.provider import zygote

if __name__ == "__main__":
    if not zygote.served_by_child():
        from infra.sandbox.provider.server import serve

        parent = os.getppid()
        serve(lambda: os.getppid() != parent)
    sys.stdout.flush()
    # Not sys.exit: it would join worker threads of calls whose caller is gone.
    os._exit(0)
