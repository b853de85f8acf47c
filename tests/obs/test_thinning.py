"""Stations side by side."""

from dacycle.obs.quality import gross_limits
from dacycle.obs.thinning import thin
from tests.obs.batches import batch, codes

# About 22 km, 22 km, and far away.
PLACES = [(50.0, 10.0), (50.2, 10.0), (50.4, 10.0), (-50.0, 10.0)]


def test_the_fuller_of_two_neighbours_stands() -> None:
    two = batch([{"t500": 260.0}, {"t500": 260.0, "u500": 5.0}], places=PLACES[:2])
    assert codes(thin(two, 30.0)) == ["thinned", "assimilated", "assimilated"]


def test_what_only_one_of_them_has_is_kept() -> None:
    two = batch([{"t500": 260.0, "z500": 5600.0}, {"u500": 3.0}], places=PLACES[:2])
    assert codes(thin(two, 30.0)) == ["assimilated"] * 3


def test_a_chain_keeps_its_ends() -> None:
    chain = batch([{"t500": 260.0}] * 4, places=PLACES)
    assert codes(thin(chain, 30.0)) == ["assimilated", "thinned", "assimilated", "assimilated"]


def test_a_rejected_value_does_not_stand_for_another() -> None:
    two = gross_limits(batch([{"t500": 900.0, "z500": 5600.0}, {"t500": 260.0}], places=PLACES[:2]))
    assert codes(thin(two, 30.0)) == ["gross", "assimilated", "assimilated"]


def test_no_distance_thins_nothing() -> None:
    two = batch([{"t500": 260.0}] * 2, places=PLACES[:2])
    assert thin(two, 0.0) is two
    assert codes(thin(two, 5.0)) == ["assimilated"] * 2
    assert len(thin(batch([]), 30.0)) == 0
