"""All objects of a store, looked at one by one: which cannot be opened, and which want the current key."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from atalaia.core.errors import AtalaiaError, Broken, Missing
from atalaia.kit.blobs.folder import PART, Blobs
from atalaia.kit.blobs.objects import Listed
from atalaia.kit.blobs.seals import State
from atalaia.kit.envelopes import HEAD

_AT_A_TIME = 8
Report = Callable[[int, int], object]


def unheard(*_: int) -> None:
    """Take no notice."""


@dataclass(slots=True)
class Renewed:
    """What a renewal has done, or would do.

    Attributes
    ----------
    states
        How many objects lay there in each way before.
    done
        How many are sealed with the current key now that were not.
    failed
        Those that cannot be opened or were not written, and why.
    """

    states: Counter[State] = field(default_factory=Counter[State])
    done: int = 0
    failed: dict[str, AtalaiaError] = field(default_factory=dict[str, AtalaiaError])


def renew(
    blobs: Blobs,
    folders: Sequence[str],
    *,
    dry_run: bool = False,
    report: Report = unheard,
    go_on: Callable[[], object] = unheard,
) -> Renewed:
    """Wrap the keys of all sealed objects with the current key, and seal those in `folders` that are not sealed.

    Each object is replaced whole or not at all, so that whatever interrupts this, it can be done again, and what is
    done already is only looked at. One that is deleted while it is replaced is back, and named by nothing, until
    the next sweep; `go_on` is called before each, and raises when somebody else deletes for good (see `turns`).
    """
    result = Renewed()
    for found, state in _looked_at(blobs, report):
        if isinstance(state, AtalaiaError):
            result.failed[found.key] = state
            continue
        result.states[state] += 1
        is_clear = state is State.CLEAR and blobs.seals.writes and found.key.split("/")[0] in folders
        if not is_clear and state is not State.EARLIER:
            continue
        if not dry_run:
            go_on()
            try:
                blobs.replace(found.key, blobs.seals.renewed(found.key, blobs.stored(found.key)))
            except (Missing, FileNotFoundError):
                continue  # deleted meanwhile
            except AtalaiaError as error:
                result.failed[found.key] = error
                continue
        result.done += 1
    return result


def unopened(blobs: Blobs) -> dict[str, Broken]:
    """Return the objects that could not be read, by their heads, and why."""
    found: dict[str, Broken] = {}
    for listed, state in _looked_at(blobs, unheard):
        try:
            if state is State.CLEAR:
                blobs.seals.check_clear(listed.key)
            elif isinstance(state, Broken):
                raise state
        except Broken as error:
            found[listed.key] = error
    return found


def _looked_at(blobs: Blobs, report: Report) -> Iterator[tuple[Listed, State | AtalaiaError]]:
    listed = [found for found in blobs.list() if not found.key.endswith(PART)]

    def look(found: Listed) -> State | AtalaiaError | None:
        try:
            head = blobs.begin(found.key, HEAD) if found.size_bytes else b""
            return blobs.seals.state(found.key, head)
        except Missing:
            return None
        except AtalaiaError as error:
            return error

    with ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="atalaia-seals") as pool:
        for done, (found, state) in enumerate(zip(listed, pool.map(look, listed), strict=True), 1):
            if state is not None:
                yield found, state
            report(done, len(listed))
