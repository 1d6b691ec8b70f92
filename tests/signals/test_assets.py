"""Which series are sensors of which asset: their labels say so."""

import pytest

from atalaia.signals.assets import Assets
from tests.signals.builders import signals_in


def label(place, series_id, **labels):
    place.send((series_id, 0.0, 1.0))
    with place.database.write() as session:
        place.signals.label(session, series_id, labels)


@pytest.fixture
def assets(place):
    for name in ("b", "a", "c"):
        label(place, name, asset="press 3", hall="2")
    label(place, "d", asset="mill")
    label(place, "e", unlike="press 3", note='"asset": "mill"')
    return Assets(place.signals)


def test_sensors_are_those_with_the_label_in_order_of_name(assets):
    assert assets.sensors("press 3", 10) == ["a", "b", "c"]
    assert len(assets.sensors("press 3", 2)) == 2
    assert assets.sensors("nobody", 10) == []


def test_assets_are_listed_in_order_with_how_many_series_they_have(assets):
    assert assets.assets(None, 10) == [("mill", 1), ("press 3", 3)]
    assert assets.assets(None, 1) == [("mill", 1)]
    assert assets.assets("mill", 10) == [("press 3", 3)]


def test_another_label_can_say_it(open_place):
    place = open_place(asset_label='the "machine"')
    label(place, "a", **{'the "machine"': "x", "asset": "y"})
    assert Assets(place.signals).assets(None, 9) == [("x", 1)]
    assert Assets(place.signals).sensors("x", 9) == ["a"]


def test_an_asset_whose_name_is_hidden_is_found_by_either_name(tmp_path):
    with signals_in(tmp_path, rules=[{"match": "asset", "action": "hash"}]) as place:
        label(place, "a", asset="of ada")
        assets = Assets(place.signals)
        assert assets.sensors("of ada", 9) == ["a"]
        hidden = assets.name("of ada")
        assert hidden.startswith("anon-")
        assert assets.sensors(hidden, 9) == ["a"]
        assert assets.assets(None, 9) == [(hidden, 1)]
