"""The fuzzer's seeds and findings, replayed: what once broke something must not again."""

from pathlib import Path

import pytest

from tests.fuzz.oracles import ORACLES

CORPUS = Path(__file__).with_name("corpus")
CASES = sorted(path for path in CORPUS.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_corpus_holds(path: Path) -> None:
    ORACLES[path.parent.name](path.read_bytes())


def test_every_oracle_has_seeds() -> None:
    assert {path.parent.name for path in CASES} == set(ORACLES)
