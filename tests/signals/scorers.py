"""Scorers that are interrupted, that break, that have to teach models, and one with a trained model behind it."""

from types import SimpleNamespace

import numpy as np

from atalaia.core.points import Points
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
        return Speechless(block.points, block.score, block.alarm)


class OneModel(ThresholdScorer):
    """Scores with one trained model, as serving does; the series have the numbers 1, 2, ... in its order."""

    def __init__(self, model):
        super().__init__()
        self.model_of_all = model

    def watch_block(self, numbers, timestamps, values, *, replayed=False):
        scores = self.model_of_all.score(numbers.astype(np.int64) - 1, timestamps, values)
        return OneModelBlock(self.model_of_all, scores, Points(numbers, timestamps, values))


class OneModelBlock:
    def __init__(self, model, scores, points):
        self.trained, self.scores, self.points = model, scores, points
        self.score, self.alarm = scores.score, scores.score > 1.0

    def raw(self):
        return self.score

    def explain(self, index):
        return self.trained.explain(self.scores, index, float(self.points.values[index]))

    def model(self, index):
        return ModelRef("fleet:pumps", "v1", self.trained.detector.name)

    def relations(self, index):
        return ()


class School(ThresholdScorer):
    """Has models that have to learn what was received: each of some series, in one share."""

    def __init__(self, *models):
        super().__init__()
        self.untaught = [np.array(numbers, np.int32) for numbers in models]
        self.names = [f"fleet:{i}/v1" for i in range(len(models))]
        self.taught = []

    def pupils(self):
        return [
            SimpleNamespace(shares=[(numbers, 0)], teach=self.teach, done=lambda: self.untaught.pop(0))
            for numbers in list(self.untaught)
        ]

    def teach(self, numbers, timestamps, values):
        self.taught += numbers.tolist()

    def states(self):
        return [(name, name.encode()) for name in self.names]

    def restore(self, states):
        super().restore(states)
        for read in states.values():
            read()
