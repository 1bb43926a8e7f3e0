"""Started by terraform through the wrapper in the mirror."""

from __future__ import annotations

import os
import signal
import sys

from deployments.sandbox.provider import zygote

MAGIC = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"
"""What terraform puts in TF_PLUGIN_MAGIC_COOKIE (go-plugin's check against being started by hand)."""

if __name__ == "__main__":
    if os.environ.get("TF_PLUGIN_MAGIC_COOKIE") != MAGIC:
        sys.exit("This program is a Terraform provider: terraform starts it.")
    # Terraform sends StopProvider instead, and needs the answers of calls in flight to write its state.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not zygote.served_by_child():
        from deployments.sandbox.provider.server import serve

        parent = os.getppid()
        serve(lambda: os.getppid() != parent)
    sys.stdout.flush()
    # Not sys.exit: it would join worker threads of calls whose caller is gone.
    os._exit(0)
