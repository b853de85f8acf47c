"""The configuration: defaults, overrides, and errors that help."""

import json
import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dacycle.cycler.config import Config
from dacycle.cycler.config_file import load_config
from dacycle.cycler.config_text import default_toml, schema_json
from dacycle.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "dacycle.toml"


def message(file: Path, text: str, environ: dict[str, str] | None = None) -> str:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(file, environ or {})
    told = str(caught.value)
    assert "\n" not in told
    return told


def test_defaults_are_those_of_the_contract() -> None:
    config = load_config(None, {})
    assert config.paths.state == Path("state")
    assert (config.cycle.interval_hours, config.cycle.cutoff_hours, config.cycle.cutoff_max_hours) == (12, 72, 240)
    assert (config.ensemble.members, config.ensemble.chunk, config.assimilation.calls) == (8, 4, 8)
    assert (config.service.host, config.service.port) == ("127.0.0.1", 8642)
    assert config.source.location.startswith("https://www.ncei.noaa.gov/")


def test_file_sets_and_environment_overrides(file: Path) -> None:
    file.write_text("[service]\nport = 9000\n[ensemble]\nmembers = 4\n[cycle]\nfirst = 2005-08-26T00:00:00Z\n")
    environ = {"DACYCLE_SERVICE__PORT": "9001", "DACYCLE_PRODUCTS__FORMATS": '["netcdf"]', "DACYCLE_REAL_DATA": "/x"}
    config = load_config(file, environ)
    assert load_config(file, environ | {"DACYCLE_CYCLE__FIRST": "2005-08-26T00:00:00Z"}) == config
    assert config.service.port == 9001
    assert config.ensemble.members == 4
    assert config.products.formats == ("netcdf",)
    assert config.cycle.first == datetime(2005, 8, 26, tzinfo=UTC)


def test_unknown_key_names_the_nearest_neighbour(file: Path) -> None:
    told = message(file, "[ensemble]\nmember = 8\n")
    assert str(file) in told
    assert "unknown key ensemble.member; did you mean ensemble.members?" in told


def test_key_in_the_wrong_section_is_found_in_the_right_one(file: Path) -> None:
    assert "did you mean ensemble.members or products.members?" in message(file, "[cycle]\nmembers = 8\n")


def test_unknown_section_names_the_nearest(file: Path) -> None:
    assert "unknown key ensembel; did you mean ensemble?" in message(file, "[ensembel]\nmembers = 8\n")


def test_unknown_key_in_a_list_of_tables(file: Path) -> None:
    told = message(file, '[[assimilation.model_observations]]\nkind = "grib"\nlocaton = "x"\n')
    assert "did you mean assimilation.model_observations.0.location?" in told


def test_unknown_environment_variable_is_named(file: Path) -> None:
    told = message(file, "", {"DACYCLE_SERVICE__PROT": "1"})
    assert told == "DACYCLE_SERVICE__PROT: unknown key service.prot; did you mean service.port?"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[service]\nport = "many"\n', "service.port: expected a whole number, got 'many'"),
        ("[service]\nport = 70000\n", "service.port: expected less than or equal to 65535, got 70000"),
        ('[log]\nformat = "xml"\n', "log.format: expected 'auto', 'json' or 'console', got 'xml'"),
        ("[cycle]\nfirst = 2005-08-26T00:00:00\n", "as 2005-08-26T00:00:00Z, got 2005-08-26T00:00:00"),
        ('[cycle]\nfirst = "2005-08-26"\n', "cycle.first: expected a time with its zone, as 2005-08-26T00:00:00Z, got"),
        ('[cycle]\nfirst = "yesterday"\n', "cycle.first: expected a time with its zone, as 2005-08-26T00:00:00Z, got"),
        ("[cycle]\nlast = 2005\n", "cycle.last: expected a time with its zone, as 2005-08-26T00:00:00Z, got 2005"),
        ("[cycle]\nlast = 2005-08-26\n", "cycle.last: expected a time with its zone, as 2005-08-26T00:00:00Z, got"),
        ("[cycle]\n\nfirst = 2005-08-26T00\n", "not valid TOML"),
        ("[cycle]\n\nfirst = 2005-08-26T00\n", "; a time is written as 2005-08-26T00:00:00Z"),
        ("[cycle]\ninterval_hours = 5\n", "cycle.interval_hours: expected hours that divide a day"),
        ("[cycle]\ncutoff_hours = 300\n", "expected cutoff_max_hours >= cutoff_hours, got 240 < 300"),
        ("[assimilation]\nwithhold_folds = 3\nwithhold_fold = 3\n", "expected withhold_fold < withhold_folds"),
        ('[assimilation]\nmethod = "sdaa"\n', "assimilation method 'sdaa' is unknown; expected one of sda, "),
        ('[assimilation]\nsolver = "rk4"\n', "assimilation solver 'rk4' is unknown; expected one of multistep, "),
        (
            "[assimilation]\nlevels = [1.0, 2.0]\n",
            "levels: expected noise levels above 0 in decreasing order, got [1.0",
        ),
        ('[assimilation]\nmethod = "letkf"\n[ensemble]\nmembers = 1\n', "expected ensemble.members >= 2"),
        ("cycle = 3\n", "cycle: expected a table, got 3"),
        ("[[assimilation.model_observations]]\n", "model_observations.0.location: expected a value, got none"),
        ("[cycle\n", "not valid TOML"),
    ],
)
def test_errors_say_file_key_expected_and_got(file: Path, text: str, expected: str) -> None:
    told = message(file, text)
    assert told.startswith(f"{file}: ")
    assert expected in told


def test_unreadable_files_are_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such configuration file"):
        load_config(tmp_path / "absent.toml", {})
    with pytest.raises(ConfigError, match=r"expected a file, found a folder; is it .*/dacycle.toml\?"):
        load_config(tmp_path, {})
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "binary.toml", {})


def test_default_file_reads_back_as_the_defaults(file: Path) -> None:
    file.write_text(default_toml())
    assert load_config(file, {}) == Config()
    assert set(tomllib.loads(default_toml())) == set(Config.model_fields)
    for choice in ("one of bundle, float32, bfloat16", "any of grib2, netcdf", "one of debug, info, warning, error"):
        assert choice in default_toml()


UNSET = [line for line in default_toml().splitlines() if re.match(r"# [a-z_]+( =| +#|$)", line)]


@pytest.mark.parametrize("line", UNSET)
def test_every_key_that_is_unset_shows_an_example_that_can_be_set(file: Path, line: str) -> None:
    key = line.split()[1]
    lines = default_toml().replace(line, line.removeprefix("# "))
    file.write_text(lines)
    chosen = load_config(file, {})
    (section,) = (name for name in Config.model_fields if key in tomllib.loads(lines)[name])
    assert getattr(getattr(chosen, section), key) != getattr(getattr(Config(), section), key)


def test_every_key_is_described() -> None:
    schema = json.loads(schema_json())
    for definition in schema["$defs"].values():
        for key, described in definition["properties"].items():
            assert described.get("description"), f"{definition['title']}.{key} says nothing of itself"


def test_analysis_times_lie_on_the_grid() -> None:
    config = Config()
    assert config.on_grid(datetime(2005, 8, 26, 12, tzinfo=UTC))
    assert not config.on_grid(datetime(2005, 8, 26, 6, tzinfo=UTC))
    assert config.floor(datetime(2005, 8, 26, 23, tzinfo=UTC)) == datetime(2005, 8, 26, 12, tzinfo=UTC)
