"""The sample data that ship with Atalaia, and how each series is learnt."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from atalaia.connectors.pointfiles import Reading, Shape, read
from atalaia.core.points import FloatArray, IntArray

FOLDER = Path(__file__).parent / "samples"


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of the sample data.

    Attributes
    ----------
    learn_share
        The first part of it that is learnt from; the rest is replayed.
    """

    series_id: str
    file: str
    column: str = "value"
    learn_share: float = 0.4
    algorithm: str = "statistical"
    threshold_sigma: float = 3.0

    @property
    def hyperparameters(self) -> Mapping[str, Any]:
        """What the algorithm is given."""
        return {"threshold_sigma": self.threshold_sigma}


# Chosen on these very series, to show the product: they say nothing about its accuracy elsewhere.
_ROBUST = "robust_zscore"
SAMPLES: tuple[Sample, ...] = (
    Sample("nab/ec2_cpu_utilization_825cc2", "nab_ec2_cpu_utilization_825cc2.parquet", "value", 0.4, _ROBUST, 10.0),
    Sample("nab/ec2_cpu_utilization_77c1ca", "nab_ec2_cpu_utilization_77c1ca.parquet", "value", 0.4, _ROBUST, 5.0),
    Sample("nab/ec2_cpu_utilization_ac20cd", "nab_ec2_cpu_utilization_ac20cd.parquet"),
    Sample("nab/ec2_cpu_utilization_fe7f93", "nab_ec2_cpu_utilization_fe7f93.parquet", threshold_sigma=8.0),
    Sample(
        "nab/cpu_asg_misconfiguration",
        "nab_cpu_utilization_asg_misconfiguration.parquet",
        "value",
        0.4,
        _ROBUST,
        5.0,
    ),
    Sample("nab/rds_cpu_utilization_e47b3b", "nab_rds_cpu_utilization_e47b3b.parquet"),
    Sample("nab/ec2_network_in_257a54", "nab_ec2_network_in_257a54.parquet", learn_share=0.35),
    Sample("ims/bearing-1", "ims_bearings.parquet", "v0", 0.4, _ROBUST, 8.0),
    Sample("ims/bearing-2", "ims_bearings.parquet", "v1", 0.4, _ROBUST, 8.0),
    Sample("ims/bearing-3", "ims_bearings.parquet", "v2", 0.4, _ROBUST, 8.0),
    Sample("ims/bearing-4", "ims_bearings.parquet", "v3", 0.4, _ROBUST, 8.0),
)


@dataclass(frozen=True, slots=True)
class History:
    """The points of one sample in order of time: int64[n] microseconds, float64[n]."""

    sample: Sample
    timestamps: IntArray
    values: FloatArray

    @property
    def cut(self) -> int:
        """How many points are learnt from."""
        return max(1, int(len(self.timestamps) * self.sample.learn_share))

    @property
    def learning_hours(self) -> float:
        """A window that holds all that is learnt from, with an hour to spare."""
        return float(np.ceil((self.timestamps[self.cut - 1] - self.timestamps[0]) / 3.6e9)) + 1.0


def load(sample: Sample) -> History:
    """Return the points of `sample`."""
    reading = Reading(shape=Shape.SINGLE, series=sample.series_id, value_column=sample.column)
    batches = list(read(FOLDER / sample.file, reading))
    timestamps = np.concatenate([batch.timestamps for batch in batches])
    order = np.argsort(timestamps, kind="stable")
    return History(sample, timestamps[order], np.concatenate([batch.values for batch in batches])[order])
