"""Audit: what makes a score a lie before anything is trained. Nothing is changed; what is found is shown."""

from chiliad.data.audit.audit import Audit, Drift, audit
from chiliad.data.audit.contradictions import Contradiction, NearContradiction
from chiliad.data.audit.leaks import Known, Leak, Overlap
from chiliad.data.audit.timeline import TimeSplit, time_split
from chiliad.data.audit.wrong_labels import Doubt, Doubts

__all__ = [
    "Audit",
    "Contradiction",
    "Doubt",
    "Doubts",
    "Drift",
    "Known",
    "Leak",
    "NearContradiction",
    "Overlap",
    "TimeSplit",
    "audit",
    "time_split",
]
