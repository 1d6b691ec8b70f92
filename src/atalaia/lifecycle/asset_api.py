"""HTTP doors of assets: what there is, trainings, versions."""

from fastapi import APIRouter

from atalaia.core.models import ModelKey, Scope
from atalaia.kit.auth.permissions import needs
from atalaia.kit.web.wire import Cursor, IdempotencyKey, Limit
from atalaia.lifecycle import schemas
from atalaia.lifecycle.api import deployment_of, promote, train
from atalaia.lifecycle.asset_schemas import AssetDetailOut, AssetOut, AssetPage, TrainAsset
from atalaia.lifecycle.assets import AssetViews
from atalaia.lifecycle.service import Lifecycle


def assets_router(lifecycle: Lifecycle) -> APIRouter:
    """Return the doors of assets, which stand before those of series with paths alike."""
    router, views = APIRouter(prefix="/api/v1"), AssetViews(lifecycle)

    @router.get("/assets", tags=["assets"])
    @needs("models.read")
    def list_assets(cursor: Cursor = None, limit: Limit = 100) -> AssetPage:
        """List assets in order of name, as the labels of series tell them."""
        with lifecycle.database.read() as session:
            items, following = views.page(session, cursor, limit)
        return AssetPage(items=[AssetOut.of(item) for item in items], next=following)

    @router.get("/assets/{asset_id:id}", tags=["assets"])
    @needs("models.read")
    def get_asset(asset_id: str) -> AssetDetailOut:
        """Show the sensors of an asset, and what the version in Production has learnt of each."""
        with lifecycle.database.read() as session:
            return AssetDetailOut.shown(views.one(session, asset_id))

    @router.post("/training/assets/{asset_id:id}", status_code=202, tags=["training"])
    @needs("models.train")
    def train_asset(
        asset_id: str, body: TrainAsset | None = None, key: IdempotencyKey = None
    ) -> schemas.JobAccepted:
        """Train an asset on stored history: one model of all its sensors together."""
        return train(lifecycle, ModelKey(Scope.ASSET, asset_id), body or TrainAsset(), key)

    @router.get("/models/assets/{asset_id:id}", tags=["models"])
    @needs("models.read")
    def get_asset_model(asset_id: str) -> schemas.ModelOut:
        """Show the model of an asset."""
        with lifecycle.database.read() as session:
            return schemas.ModelOut.of(*lifecycle.model(session, ModelKey(Scope.ASSET, asset_id)))

    @router.post("/models/assets/{asset_id:id}/versions/{version}/promote", tags=["models"])
    @needs("models.promote")
    def promote_asset(
        asset_id: str, version: str, body: schemas.PromoteIn | None = None, key: IdempotencyKey = None
    ) -> schemas.PromotedOut:
        """Put a version of an asset's model into Production."""
        return promote(lifecycle, ModelKey(Scope.ASSET, asset_id), version, body, key)

    @router.get("/models/assets/{asset_id:id}/deployment-config", tags=["models"])
    @needs("models.read")
    def get_asset_deployment(asset_id: str) -> schemas.DeploymentOut:
        """Show how the model of an asset is deployed."""
        return deployment_of(lifecycle, ModelKey(Scope.ASSET, asset_id))

    return router
