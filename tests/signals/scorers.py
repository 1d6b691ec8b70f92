"""Scorers that are interrupted, that break, and one with a trained model behind it."""

import numpy as np

from atalaia.core.scores import ModelRef
from tests.signals.builders import PlainBlock, ThresholdScorer


class Interrupted(ThresholdScorer):
    """Lets somebody else act once while it scores."""

    def __init__(self, act):
        super().__init__()
        self.act = act

    def watch_block(self, numbers, timestamps, values, *, replayed=False):
        act, self.act = self.act, None
        if act is not None:
            act()
        return super().watch_block(numbers, timestamps, values, replayed=replayed)


class Speechless(PlainBlock):
    def explain(self, index):
        raise RuntimeError("no words")


class Failing(ThresholdScorer):
    """Breaks when it scores, or only when it explains."""

    def __init__(self, late):
        super().__init__()
        self.late = late

    def watch_block(self, numbers, timestamps, values, *, replayed=False):
        if not self.late:
            raise RuntimeError("no model")
        block = super().watch_block(numbers, timestamps, values, replayed=replayed)
        return Speechless(block.score, block.alarm, block.values)


class OneModel(ThresholdScorer):
    """Scores with one trained model, as serving does; the series have the numbers 1, 2, ... in its order."""

    def __init__(self, model):
        super().__init__()
        self.model_of_all = model

    def watch_block(self, numbers, timestamps, values, *, replayed=False):
        scores = self.model_of_all.score(numbers.astype(np.int64) - 1, timestamps, values)
        return OneModelBlock(self.model_of_all, scores, values)


class OneModelBlock:
    def __init__(self, model, scores, values):
        self.trained, self.scores, self.values = model, scores, values
        self.score, self.alarm = scores.score, scores.score > 1.0

    def explain(self, index):
        return self.trained.explain(self.scores, index, float(self.values[index]))

    def model(self, index):
        return ModelRef("fleet:pumps", "v1", self.trained.detector.name)
