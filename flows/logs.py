"""Our sentences in the flow run's log, and no secret among them."""

from __future__ import annotations

import logging
import os

from infra.clients.errors import PlumblineError, Unforeseen
from infra.clients.masking import MASKER

SENTENCES = "infra"
"""The logger whose children all of `infra` speaks through; PREFECT_LOGGING_EXTRA_LOGGERS brings it into Prefect."""
PREFECT = ("prefect.flow_runs", "prefect.task_runs", "prefect.extra")


class Plain(logging.Filter):
    """Leaves out the stack of errors that explain themselves: it says where in our code, which helps nobody there."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through, an explained one without its stack."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, PlumblineError) and not isinstance(error, Unforeseen):
            record.exc_info = None
        return True


PLAIN = Plain()


def set_up() -> None:
    """Let `infra`'s sentences through, and mask whatever this run has read as secret; safe to call twice."""
    MASKER.learn_variables(os.environ)
    logging.getLogger(SENTENCES).setLevel(logging.INFO)
    for name in (SENTENCES, "", *PREFECT):
        for handler in logging.getLogger(name).handlers:
            handler.addFilter(PLAIN)
            handler.addFilter(MASKER)
