"""Figures of single points: how they are ranked, and how they are flagged."""

from math import nan

import numpy as np

from atalaia.algorithms.evaluation.intervals import Marks
from atalaia.algorithms.evaluation.volume import ranked_low
from atalaia.core.points import FloatArray


def auc_pr(scores: FloatArray, labels: Marks) -> float:
    """Return the average precision of a ranking, 0 to 1; equal scores are taken together; NaN without anomalies."""
    positives = int(np.count_nonzero(labels))
    if not positives:
        return nan
    s = ranked_low(scores)
    order = np.argsort(-s, kind="stable")
    last_of_equal = np.flatnonzero(np.diff(s[order], append=np.inf) != 0)
    hits = np.cumsum(np.asarray(labels, np.int64)[order])[last_of_equal]
    gained = np.diff(hits, prepend=0)
    return float((gained * hits / (last_of_equal + 1)).sum() / positives)
