"""HTTP doors of thresholds and of budgets of false alarms."""

from fastapi import APIRouter
from sqlalchemy.orm import Session

from atalaia.kit.auth.permissions import needs
from atalaia.signals.service import Signals
from atalaia.signals.threshold_schemas import BudgetIn, BudgetOut, ThresholdIn, ThresholdOut


def thresholds_router(signals: Signals) -> APIRouter:
    """Return the doors of thresholds and budgets."""
    router = APIRouter(prefix="/api/v1")
    _add_thresholds(router, signals)
    _add_budgets(router, signals)
    return router


def _add_thresholds(router: APIRouter, signals: Signals) -> None:
    def shown(session: Session, series_id: str) -> ThresholdOut:
        row = signals.catalogue.row(session, series_id)
        columns, _ = signals.memory.statistics(session)
        return ThresholdOut.of(signals.thresholds.of(session, row.number, row.fleet_id, columns))

    @router.get("/series/{series_id:id}/threshold", tags=["series"])
    @needs("series.read")
    def get_threshold(series_id: str) -> ThresholdOut:
        """Say where the threshold of a series lies, and what moved it."""
        with signals.database.read() as session:
            return shown(session, series_id)

    @router.put("/series/{series_id:id}/threshold", tags=["series"])
    @needs("anomalies.judge")
    def set_threshold(series_id: str, body: ThresholdIn) -> ThresholdOut:
        """Move the threshold of a series, whatever was said of its anomalies."""
        with signals.database.write() as session:
            row = signals.catalogue.row(session, series_id)
            signals.thresholds.set_factor(session, row.number, series_id, body.factor)
            session.flush()
            return shown(session, series_id)

    @router.delete("/series/{series_id:id}/threshold/changes/{change_id}", tags=["series"])
    @needs("anomalies.judge")
    def undo_threshold_change(series_id: str, change_id: int) -> ThresholdOut:
        """Take back one change of the threshold of a series."""
        with signals.database.write() as session:
            row = signals.catalogue.row(session, series_id)
            signals.thresholds.undo(session, row.number, series_id, change_id)
            session.flush()
            return shown(session, series_id)


def _add_budgets(router: APIRouter, signals: Signals) -> None:
    def shown(session: Session, fleet_id: str) -> BudgetOut:
        signals.catalogue.members(session, fleet_id)  # raises what others raise for a fleet that is not there
        columns, _ = signals.memory.statistics(session)
        return BudgetOut.of(signals.thresholds.budget(session, fleet_id, columns))

    @router.get("/fleets/{fleet_id:id}/budget", tags=["series"])
    @needs("series.read")
    def get_budget(fleet_id: str) -> BudgetOut:
        """Say how many false alarms a fleet may give, and how many it gave."""
        with signals.database.read() as session:
            return shown(session, fleet_id)

    @router.put("/fleets/{fleet_id:id}/budget", tags=["series"])
    @needs("series.write")
    def set_budget(fleet_id: str, body: BudgetIn) -> BudgetOut:
        """Let a fleet give so many false alarms; the thresholds of its series follow."""
        with signals.database.write() as session:
            signals.catalogue.members(session, fleet_id)
            columns, _ = signals.memory.statistics(session)
            asked = (body.false_alarms_per_day, body.sensitivity)
            signals.thresholds.set_budget(session, fleet_id, *asked, columns)
            session.flush()
            return shown(session, fleet_id)

    @router.delete("/fleets/{fleet_id:id}/budget", status_code=204, tags=["series"])
    @needs("series.write")
    def drop_budget(fleet_id: str) -> None:
        """Let the detectors of a fleet have their own thresholds again."""
        with signals.database.write() as session:
            signals.catalogue.members(session, fleet_id)
            signals.thresholds.drop_budget(session, fleet_id)
