"""The client: one object, one group of calls for each noun of the API."""

from collections.abc import Callable, Iterable
from types import TracebackType

import httpx

from atalaia.connectors.atalaia.access import AccessCalls
from atalaia.connectors.atalaia.answers import Health, Prediction, Predictions
from atalaia.connectors.atalaia.assets import AssetCalls
from atalaia.connectors.atalaia.audit import AuditCalls
from atalaia.connectors.atalaia.connection import Connection, Retry
from atalaia.connectors.atalaia.events import EventCalls
from atalaia.connectors.atalaia.incidents import IncidentCalls
from atalaia.connectors.atalaia.privacy import PrivacyCalls
from atalaia.connectors.atalaia.requests import Moment, Point, point_body, segment
from atalaia.connectors.atalaia.signals import AnomalyCalls, FleetCalls, PointCalls, SeriesCalls
from atalaia.connectors.atalaia.thresholds import BudgetCalls, ThresholdCalls
from atalaia.connectors.atalaia.training import JobCalls, ModelCalls, TrainingCalls
from atalaia.connectors.atalaia.waves import WaveCalls


class Client:
    """Speaks to one Atalaia.

    Parameters
    ----------
    base_url
        Where it listens, e.g. ``http://127.0.0.1:8460``.
    timeout_s
        Seconds without an answer after which a call counts as failed.
    token
        Sent as a bearer token, if the service asks for one.
    transport
        Another way to the service than a socket, for tests.
    retry
        How calls that may be repeated are.
    on_answer
        Called with the body of every successful answer, as it came.

    Raises
    ------
    AtalaiaError
        From every call: the error of `core.errors` whose kind the service named; Unavailable (``unreachable``)
        when there is no service; Broken (``bad_answer``) when the answer is not one of Atalaia.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float = 30.0,
        token: str | None = None,
        transport: httpx.BaseTransport | None = None,
        retry: Retry | None = None,
        on_answer: Callable[[bytes], None] | None = None,
    ) -> None:
        self._connection = Connection(
            base_url,
            timeout_s=timeout_s,
            token=token,
            transport=transport,
            retry=retry or Retry(),
            on_answer=on_answer,
        )
        self.base_url = self._connection.base_url
        self.points = PointCalls(self._connection)
        self.series = SeriesCalls(self._connection)
        self.fleets = FleetCalls(self._connection)
        self.assets = AssetCalls(self._connection)
        self.anomalies = AnomalyCalls(self._connection)
        self.thresholds = ThresholdCalls(self._connection)
        self.budgets = BudgetCalls(self._connection)
        self.training = TrainingCalls(self._connection)
        self.waves = WaveCalls(self._connection)
        self.jobs = JobCalls(self._connection)
        self.models = ModelCalls(self._connection)
        self.access = AccessCalls(self._connection)
        self.audit = AuditCalls(self._connection)
        self.events = EventCalls(self._connection)
        self.incidents = IncidentCalls(self._connection)
        self.privacy = PrivacyCalls(self._connection)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def health(self) -> Health:
        """Return how the service is."""
        return self._connection.get("/health", Health, prefix="")

    def predict(self, series_id: str, value: float, timestamp: Moment | None = None) -> Prediction:
        """Return the score of one value; without a timestamp, of one that was seen now."""
        body = point_body(Point(series_id, timestamp, value))
        del body["series_id"]
        return self._connection.ask(f"/predict/{segment(series_id)}", Prediction, body)

    def predict_batch(self, points: Iterable[Point]) -> list[Prediction]:
        """Return the scores of many points, in their order; each answers for itself (see `Prediction.error`)."""
        body = {"points": [point_body(point) for point in points]}
        return self._connection.ask("/predict/batch", Predictions, body).predictions
