"""What happened and what is known: runs, their steps, a write-ahead journal of every external write, environments.

And drift: every check, and every onset of a finding, which are given out as the records of `infra.drift.history`.
"""

from __future__ import annotations

from infra.ledger.checks import CANARY
from infra.ledger.clusters import BriefClusters, Clusters
from infra.ledger.journal import Journal, JournalEntry, ReadOnlyJournal
from infra.ledger.ledger import Ledger
from infra.ledger.records import EnvironmentRecord, JournalRecord, RunRecord, StepRecord
from infra.ledger.run import LedgerRun

__all__ = [
    "CANARY",
    "BriefClusters",
    "Clusters",
    "EnvironmentRecord",
    "Journal",
    "JournalEntry",
    "JournalRecord",
    "Ledger",
    "LedgerRun",
    "ReadOnlyJournal",
    "RunRecord",
    "StepRecord",
]
