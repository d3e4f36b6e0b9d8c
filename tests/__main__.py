"""Runs the tests with trial and says at the end what was skipped, and why.

``python -m tests`` runs everything but :mod:`tests.packaging` (which builds and installs the
project, and has a tox environment of its own), in two processes side by side: most tests of real
programs wait, and need not do so one behind the other. ``python -m tests NAME...`` runs those modules,
classes or methods in one process. A run in which half the tests were skipped looks just like a good one in
trial's own summary, so the reasons stand here grouped, and the last line has the three figures that matter.
"""

from __future__ import annotations

import argparse
import json
import os
import pkgutil
import subprocess
import sys
import tempfile
import textwrap
from collections import Counter
from pathlib import Path
from typing import cast

from attrs import asdict, define
from twisted.trial.reporter import Reporter, TextReporter, TreeReporter
from twisted.trial.runner import TestLoader, TrialRunner

import tests

#: Packages that start other programs come last, so that a plain mistake shows early.
SLOW = ("tests.acceptance", "tests.browser", "tests.integration")

#: What takes half of the time; it runs beside all the rest.
BESIDE = "tests.integration"

#: Those whose tests run real processes, and so may have a second try, and how many of them may.
REAL = (*SLOW, "tests.store", "tests.packaging")
MOST_SECOND_TRIES = 5

#: Run only when it is named.
APART = ("tests.packaging",)


@define
class Tally:
    """What came of a run.

    :ivar skipped: the reason of each test that was.
    :ivar failed: names.
    """

    passed: int
    skipped: list[str]
    failed: list[str]

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.passed + other.passed, self.skipped + other.skipped, self.failed + other.failed
        )

    def summary(self, unsteady: list[str]) -> str:
        """Word the skipped tests by reason, most frequent first, and the closing line.

        :param unsteady: tests that passed only at the second try.
        """
        lines = []
        if unsteady:
            lines += ["", "Passed only at the second try:", *(f"  {name}" for name in unsteady)]
        lasting = [name for name in self.failed if name not in unsteady]
        if lasting:
            lines += ["", "Failed:", *(f"  {name}" for name in lasting)]
        if self.skipped:
            lines += ["", "Skipped:"]
            counted = Counter(self.skipped).most_common()
            lines += [f"  {count:4}  {reason}" for reason, count in counted]
        figures = (self.passed + len(unsteady), len(lasting), len(self.skipped))
        lines += ["", "{} passed, {} failed, {} skipped".format(*figures)]
        return "\n".join(lines)


def everything() -> list[str]:
    """Name all that belongs to a plain run, the slow parts last."""
    found = [f"tests.{each.name}" for each in pkgutil.iter_modules(tests.__path__)]
    wanted = [name for name in found if name not in APART and name != "tests.__main__"]
    return sorted(wanted, key=lambda name: (SLOW.index(name) + 1 if name in SLOW else 0, name))


def run(names: list[str], options: argparse.Namespace) -> Tally:
    """Run what is named, here."""
    runner = TrialRunner(
        TreeReporter if options.verbose else TextReporter,
        workingDirectory=options.temp_directory,
    )
    suite = TestLoader().loadByNames(names, recurse=True)
    result = cast(Reporter, runner.run(suite))
    failed = [test.id() for test, _ in [*result.failures, *result.errors]]
    # An unexpected success must not stay either; trial itself lets it pass.
    failed += [test.id() for test, *_ in result.unexpectedSuccesses]
    passed = result.successes + len(result.expectedFailures)
    skipped = [str(reason) for _, reason in result.skips]
    return Tally(passed, skipped, list(dict.fromkeys(failed)))  # an error may follow a failure


def run_beside(options: argparse.Namespace) -> Tally:
    """Run everything, :data:`BESIDE` in a process of its own, whose output comes behind."""
    with tempfile.TemporaryDirectory() as folder:
        report, output = Path(folder, "report"), Path(folder, "output")
        command = [sys.executable, "-Wall", "-m", "tests", "--once", "--report", str(report)]
        command += ["--temp-directory", f"{options.temp_directory}_beside"]
        command += ["-v"] * options.verbose
        with output.open("wb") as written:
            beside = subprocess.Popen([*command, BESIDE], stdout=written, stderr=subprocess.STDOUT)
        try:
            here = run([name for name in everything() if name != BESIDE], options)
            print(f"waiting for {BESIDE}, which has run beside", flush=True)
            beside.wait()
        finally:
            beside.kill()
            beside.wait()
            sys.stdout.write(output.read_text(errors="replace"))
        if not report.exists():
            return here + Tally(0, [], [f"{BESIDE}: ended with {beside.returncode}"])
        return here + Tally(**json.loads(report.read_text()))


def second_try(failed: list[str], temp_directory: str) -> list[str]:
    """Run the failed tests of real processes once more, alone; names those that pass then.

    They depend on a machine's other work: a test that fails only beside a compiler says nothing about
    the program. One that fails twice does, and no more than a few are given this chance. What passed at the
    second try is named in the summary, so that nobody can overlook it.
    """
    if len(failed) > MOST_SECOND_TRIES or not all(name.startswith(REAL) for name in failed):
        return []
    passed = []
    for name in failed:
        again = [sys.executable, "-Wall", "-m", "tests", "--once", name]
        again += ["--temp-directory", f"{temp_directory}_again"]
        tried = subprocess.run(again, check=False, capture_output=True, text=True)
        # Indented, since whoever sums up the closing lines must not count this one.
        print(textwrap.indent(tried.stdout + tried.stderr, "  | "), flush=True)
        if tried.returncode == 0:
            passed.append(name)
    return passed


def main(arguments: list[str]) -> int:
    """Run what *arguments* name; 0 when something ran and nothing failed."""
    parser = argparse.ArgumentParser(prog="python -m tests", description=__doc__)
    parser.add_argument("names", nargs="*", help="dotted names; default: everything but packaging")
    parser.add_argument("-v", "--verbose", action="store_true", help="one line a test")
    parser.add_argument("--temp-directory", default="_trial_temp", help="where trial works")
    parser.add_argument("--once", action="store_true", help="give no test a second try")
    parser.add_argument("--serial", action="store_true", help="run all in one process")
    parser.add_argument(
        "--report", type=Path, help="write the tally there, as JSON, and sum up nothing"
    )
    options = parser.parse_args(arguments)
    if options.names or options.serial or (os.cpu_count() or 1) < 2:
        tally = run(options.names or everything(), options)
    else:
        tally = run_beside(options)
    if options.report:
        options.report.write_text(json.dumps(asdict(tally)))
        return 0
    unsteady = [] if options.once else second_try(tally.failed, options.temp_directory)
    print(tally.summary(unsteady), flush=True)
    ran = tally.passed or unsteady or tally.skipped
    return 0 if ran and len(tally.failed) == len(unsteady) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
