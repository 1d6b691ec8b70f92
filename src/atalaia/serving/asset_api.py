"""HTTP door of the scores of assets."""

from fastapi import APIRouter

from atalaia.core.clock import isoformat
from atalaia.core.errors import Fault, Invalid
from atalaia.kit.auth.permissions import needs
from atalaia.kit.privacy import Privacy
from atalaia.kit.web.wire import parse_time
from atalaia.serving.asset_schemas import AssetScoreOut, DeviatingOut, MomentIn, MomentOut, ScoreAssetIn
from atalaia.serving.asset_scoring import MomentScored, score_moments, table_of
from atalaia.serving.assets import AssetModels, LoadedAsset
from atalaia.serving.schemas import ModelInfo


def asset_scores_router(assets: AssetModels, max_moments: int, privacy: Privacy | None = None) -> APIRouter:
    """Return the door; one request may bring so many moments."""
    router = APIRouter(prefix="/api/v1/assets", tags=["prediction"])
    hiding = privacy if privacy is not None and privacy.hides_ids else None

    @router.post("/{asset_id:id}/score")
    @needs("predict")
    def score_asset(asset_id: str, body: ScoreAssetIn) -> AssetScoreOut:
        """Score moments of an asset: is it strange, which sensors break with the others, and what was expected.

        The moments follow nothing. What an alarm needs is several of them in a row, as far apart as `step_s` of the
        asset says: one alone must be far off.
        """
        moments, single = body.all_moments, body.moments is None
        if len(moments) > max_moments:
            detail = f"{len(moments)} moments are too many for one request, at most {max_moments}"
            raise Invalid("too_many_points", detail, faults=[Fault("/moments", detail)])
        loaded = assets.get(asset_id)
        stamps = _times(moments, single)
        named = [
            {hiding.series_id(name) if hiding else name: value for name, value in one.values.items()}
            for one in moments
        ]
        found = score_moments(loaded, table_of(loaded, named, single))
        told = [_told(loaded, at, one) for at, one in zip(stamps, found, strict=True)]
        ref = loaded.ref
        return AssetScoreOut(
            asset_id=asset_id,
            model_info=ModelInfo(
                model_id=ref.model_id,
                version=ref.version,
                stage=loaded.deployment.stage.value,
                type=ref.algorithm,
                loaded_from=loaded.source.value,
            ),
            score=told[-1].score if told else None,
            is_anomaly=bool(told) and told[-1].is_anomaly,
            moments=told,
        )

    return router


def _times(moments: list[MomentIn], single: bool) -> list[int]:
    where = "/timestamp" if single else "/moments/{}/timestamp"
    stamps = [parse_time(one.timestamp, where.format(i)) for i, one in enumerate(moments)]
    for i in range(1, len(stamps)):
        if stamps[i] <= stamps[i - 1]:
            fault = Fault(where.format(i), "it is not later than the one before")
            raise Invalid("invalid_time", f"{fault.pointer}: {fault.message}", faults=[fault])
    return stamps


def _told(loaded: LoadedAsset, at_us: int, scored: MomentScored) -> MomentOut:
    return MomentOut(
        timestamp=isoformat(at_us),
        score=scored.score,
        is_anomaly=scored.is_anomaly,
        sensors=[
            DeviatingOut(
                series_id=loaded.model.sensors[one.sensor],
                score=one.score,
                seen=one.seen,
                expected=one.expected,
                lower=one.lower,
                upper=one.upper,
            )
            for one in scored.causes
        ],
        missing=list(scored.missing),
    )
