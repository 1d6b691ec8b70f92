"""Scorers that are interrupted, that break, and one with a trained model behind it."""

import numpy as np

from atalaia.core.scores import ModelRef
from tests.signals.builders import PlainBlock, ThresholdScorer


class Interrupted(ThresholdScorer):
    """Lets somebody else act once while it scores."""

    def __init__(self, act):
        super().__init__()
        self.act = act

    def score_block(self, series_ids, rows, timestamps, values):
        act, self.act = self.act, None
        if act is not None:
            act()
        return super().score_block(series_ids, rows, timestamps, values)


class Speechless(PlainBlock):
    def explain(self, index):
        raise RuntimeError("no words")


class Failing(ThresholdScorer):
    """Breaks when it scores, or only when it explains."""

    def __init__(self, late):
        super().__init__()
        self.late = late

    def score_block(self, series_ids, rows, timestamps, values):
        if not self.late:
            raise RuntimeError("no model")
        block = super().score_block(series_ids, rows, timestamps, values)
        return Speechless(block.scores, block.names, block.values)


class OneModel:
    """Scores with one trained model, as serving does."""

    def __init__(self, model):
        self.model_of_all = model

    def score_block(self, series_ids, rows, timestamps, values):
        places = np.array([self.model_of_all.row_of(series_ids[row]) for row in rows], np.int64)
        return OneModelBlock(self.model_of_all, self.model_of_all.score(places, timestamps, values), values)


class OneModelBlock:
    def __init__(self, model, scores, values):
        self.trained, self.scores, self.values = model, scores, values

    def explain(self, index):
        return self.trained.explain(self.scores, index, float(self.values[index]))

    def model(self, index):
        return ModelRef("fleet:pumps", "v1", self.trained.detector.name)
