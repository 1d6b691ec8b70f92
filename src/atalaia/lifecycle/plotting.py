"""A series, the band of its model and what lies outside, as a PNG."""

from collections.abc import Mapping, Sequence
from datetime import UTC
from io import BytesIO
from typing import Any

from atalaia.core.clock import from_us

_INK, _BAND, _STRANGE = "#1f3a5f", "#9db8d6", "#c0392b"


def render(title: str, buckets: Sequence[Mapping[str, Any]]) -> bytes:
    """Return a PNG, 1200 by 500 pixels, of buckets as `lifecycle.service.Lifecycle.plot` returns them."""
    import matplotlib.dates
    import matplotlib.font_manager
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5), dpi=100, layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
    axes: Any = figure.add_subplot()
    times = [from_us(bucket["at_us"]) for bucket in buckets]
    banded = [bucket for bucket in buckets if bucket["lower"] is not None]
    if banded:
        band_times = [from_us(bucket["at_us"]) for bucket in banded]
        low, high = [b["lower"] for b in banded], [b["upper"] for b in banded]
        axes.fill_between(band_times, low, high, color=_BAND, alpha=0.5, linewidth=0, label="expected band")
    axes.plot(times, [b["mean"] for b in buckets], color=_INK, linewidth=1, label="seen")
    axes.fill_between(
        times, [b["min"] for b in buckets], [b["max"] for b in buckets], color=_INK, alpha=0.2, linewidth=0
    )
    strange = [bucket for bucket in buckets if bucket["anomalies"]]
    if strange:
        # a triangle as well as a colour, for those who do not see the colour
        strange_times = [from_us(bucket["at_us"]) for bucket in strange]
        marks = [b["max"] if b["above"] else b["min"] for b in strange]
        axes.plot(strange_times, marks, "v", color=_STRANGE, markersize=5, label="outside the band")
    locator = matplotlib.dates.AutoDateLocator(tz=UTC)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(matplotlib.dates.ConciseDateFormatter(locator, tz=UTC))
    fonts: Any = matplotlib.font_manager
    font = fonts.get_font(fonts.findfont("DejaVu Sans"))
    known = "".join(c if font.get_char_index(ord(c)) else "□" for c in title)  # scripts that the font lacks
    axes.set_title(known, loc="left", fontsize=11, parse_math=False)
    axes.set_xlabel("time (UTC)")
    axes.grid(alpha=0.25)
    if buckets:
        axes.legend(loc="upper left", fontsize=8, framealpha=0.8)
    sink = BytesIO()
    canvas.print_png(sink)
    return sink.getvalue()
