"""Coverage-guided fuzzing for a given time: ``python -m tests.fuzz.run --seconds 1800 [--work DIR]``.

Every oracle, and every property that hypothesis holds the ingest to, is driven by atheris in a process of its own,
one after the other, from the corpus in the tests. What was found stays in the work folder; a crash is an input file
``crash-...`` there, to be mended and then kept in the corpus. Needs the extra ``fuzz``.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

CORPUS = Path(__file__).with_name("corpus")
SLICE = 90
"""Seconds of one process: the memory of a fuzzed interpreter only grows, whatever it runs."""


def properties() -> dict[str, Callable[[bytes], object]]:
    """The hypothesis tests as functions of bytes."""
    from tests.obs import test_robustness

    tests = {name: test for name, test in vars(test_robustness).items() if name.startswith("test_")}
    return {name: test.hypothesis.fuzz_one_input for name, test in tests.items()}


def targets() -> dict[str, Callable[[bytes], object]]:
    """All that is fuzzed, by name."""
    from tests.fuzz.oracles import ORACLES

    return ORACLES | properties()


def one(name: str, seconds: int, work: Path) -> None:
    """Fuzz one target in this process; libFuzzer ends it."""
    import atheris

    with atheris.instrument_imports(include=["dacycle.obs"]):
        target = targets()[name]
    found = work / name
    found.mkdir(parents=True, exist_ok=True)
    seeds = [str(CORPUS / name)] if (CORPUS / name).is_dir() else []

    def run(data: bytes) -> None:
        target(data)  # whose answer, unlike None, would mean something to libFuzzer

    options = [f"-max_total_time={seconds}", f"-artifact_prefix={found}/", "-timeout=20", "-max_len=4096"]
    atheris.Setup([sys.argv[0], *options, "-print_final_stats=1", str(found), *seeds], run)
    atheris.Fuzz()


def fuzz(name: str, seconds: int, work: Path) -> tuple[int, int]:
    """One target in processes of its own: the exit status of the last, and how many inputs they tried."""
    log = work / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    inputs = 0
    while seconds > 0:
        command = [sys.executable, "-m", "tests.fuzz.run", "--target", name, "--work", str(work)]
        with log.open("w") as file:
            done = subprocess.run(
                [*command, "--seconds", str(min(seconds, SLICE))], stdout=file, stderr=file, check=False
            )
        inputs += sum(map(int, re.findall(r"number_of_executed_units: (\d+)", log.read_text("utf-8", "replace"))))
        if done.returncode != 0:
            return done.returncode, inputs
        seconds -= SLICE
    return 0, inputs


def main() -> int:
    """All targets in turn; 1 when one of them found something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=1800, help="for all targets together")
    parser.add_argument("--work", type=Path, default=Path("fuzz-work"))
    parser.add_argument("--target", help="only this one, in this process")
    args = parser.parse_args()
    if args.target:
        one(args.target, args.seconds, args.work)
        return 0
    from tests.fuzz.oracles import ORACLES

    shares = {name: 3 if name in ORACLES else 1 for name in targets()}
    failed = []
    for name, share in shares.items():
        code, inputs = fuzz(name, -(-args.seconds * share // sum(shares.values())), args.work)
        print(f"{name}: {'ok' if code == 0 else f'FAILED, see {args.work / name}.log'}, {inputs} inputs", flush=True)
        failed += [name] * (code != 0)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
