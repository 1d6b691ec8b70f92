"""From the labels of a series to its id, and to the labels that the catalogue keeps."""

import re
from collections.abc import Sequence
from hashlib import blake2b

from atalaia.core.errors import Invalid
from atalaia.core.series import MAX_ID_CHARACTERS, check_id

LabelPair = tuple[str, str]

MAX_LABELS = 64
MAX_NAME_CHARACTERS = 128
MAX_VALUE_CHARACTERS = 256
_NAME = "__name__"
_PLAIN_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_PLAIN_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_DIGEST_BYTES = 8
_MARK = "~"
"""Stands before the digest of what was cut. No whole id has it there: those end in a brace or a plain name."""


def series_id_of(labels: Sequence[LabelPair]) -> str:
    r"""Return the id of the series with these labels, as Prometheus writes a series: ``name{a="b",c="d"}``.

    Labels are sorted by name, those without a value left out; ``\``, ``"`` and line ends in values are escaped, and
    names beyond letters, digits and underscores quoted. What is too long for an id, or holds control characters, is
    cut and cleaned, and ends in ``~`` and a digest of the whole, the same in every process.
    """
    pairs = sorted((name, value) for name, value in labels if value)
    metric = next((value for name, value in pairs if name == _NAME), "")
    inside = [
        f'{_label_name(name)}="{_escaped(value)}"' for name, value in pairs if (name, value) != (_NAME, metric)
    ]
    if metric and not _PLAIN_METRIC.fullmatch(metric):
        inside.insert(0, f'"{_escaped(metric)}"')
        metric = ""
    whole = f"{metric}{{{','.join(inside)}}}" if inside or not metric else metric
    return whole if _usable(whole) else _cut(whole, metric)


def catalogue_labels(labels: Sequence[LabelPair]) -> dict[str, str]:
    """Return the labels for the catalogue: sorted by name, at most `MAX_LABELS`, each cut to a bounded length."""
    kept = sorted((name, value) for name, value in labels if name and value)[:MAX_LABELS]
    return {name[:MAX_NAME_CHARACTERS]: value[:MAX_VALUE_CHARACTERS] for name, value in kept}


def _label_name(name: str) -> str:
    return name if _PLAIN_LABEL.fullmatch(name) else f'"{_escaped(name)}"'


def _escaped(value: str) -> str:
    return value.translate(_ESCAPES) if "\\" in value or '"' in value or "\n" in value else value


def _usable(text: str) -> bool:
    try:
        check_id(text)
    except Invalid:
        return False
    return True


def _cut(whole: str, metric: str) -> str:
    if whole == metric and len(whole) <= MAX_ID_CHARACTERS:  # a word that is reserved in paths
        return f"{whole}{{}}"
    digest = blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).hexdigest()
    room = MAX_ID_CHARACTERS - len(_MARK) - len(digest)
    return f"{_CONTROLS.sub('?', whole[:room])}{_MARK}{digest}"
