import struct

import pytest

from atalaia.lifecycle.plotting import render


def bucket(at, mean=1.0, anomalies=0, band=(0.0, 2.0), above=True):
    lower, upper = band
    told = {"at_us": 1_700_000_000_000_000 + at * 60_000_000, "min": mean - 0.5, "mean": mean, "max": mean + 0.5}
    return {**told, "lower": lower, "upper": upper, "anomalies": anomalies, "above": above}


@pytest.mark.parametrize(
    "buckets",
    [
        [bucket(i, anomalies=i % 2, above=i % 4 == 1) for i in range(50)],
        [bucket(i, band=(None, None)) for i in range(50)],
        [bucket(0)],
        [],
    ],
    ids=["with a band", "without a model", "one bucket", "nothing"],
)
def test_a_plot_is_a_png_of_the_promised_size(buckets):
    picture = render("pump/7 $x_^2$ 日本", buckets)
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", picture[16:24]) == (1200, 500)
