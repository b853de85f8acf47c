"""Coverage-guided fuzzing for a given time: ``python -m tests.fuzz.run --seconds 1800 [--work DIR]``.

Every oracle, and every property that hypothesis holds the ingest to, is driven by atheris in a process of its own,
one after the other, from the corpus in the tests. What was found stays in the work folder; a crash is an input file
``crash-...`` there, to be mended and then kept in the corpus. Needs the extra ``fuzz``.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

CORPUS = Path(__file__).with_name("corpus")


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
        seconds = -(-args.seconds * share // sum(shares.values()))
        command = [sys.executable, "-m", "tests.fuzz.run", "--target", name, "--work", str(args.work)]
        log = args.work / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as file:
            done = subprocess.run([*command, "--seconds", str(seconds)], stdout=file, stderr=file, check=False)
        runs = [line.split()[-1] for line in log.read_text("utf-8", "replace").splitlines() if "number_of_exec" in line]
        print(f"{name}: {'ok' if done.returncode == 0 else 'FAILED, see ' + str(log)}, {' '.join(runs)} inputs")
        sys.stdout.flush()
        failed += [name] * (done.returncode != 0)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
