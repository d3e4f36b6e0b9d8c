"""Runs the tests with trial and says at the end what was skipped, and why.

``python -m tests`` runs everything but :mod:`tests.packaging` (which builds and installs the
project, and has a tox environment of its own); ``python -m tests NAME...`` runs those modules,
classes or methods. A run in which half the tests were skipped looks just like a good one in trial's
own summary, so the reasons stand here grouped, and the last line has the three figures that matter.
"""

from __future__ import annotations

import argparse
import pkgutil
import subprocess
import sys
import textwrap
from collections import Counter
from typing import cast

from twisted.trial.reporter import Reporter, TextReporter, TreeReporter
from twisted.trial.runner import TestLoader, TrialRunner

import tests

#: Packages that start other programs come last, so that a plain mistake shows early.
SLOW = ("tests.acceptance", "tests.integration", "tests.browser")

#: Those whose tests run real processes, and so may have a second try, and how many of them may.
REAL = ("tests.acceptance", "tests.integration", "tests.browser", "tests.store", "tests.packaging")
MOST_SECOND_TRIES = 5

#: Run only when it is named.
APART = ("tests.packaging",)


def everything() -> list[str]:
    """Name all that belongs to a plain run, the slow parts last."""
    found = [f"tests.{each.name}" for each in pkgutil.iter_modules(tests.__path__)]
    wanted = [name for name in found if name not in APART and name != "tests.__main__"]
    return sorted(wanted, key=lambda name: (SLOW.index(name) + 1 if name in SLOW else 0, name))


def failures(result: Reporter) -> int:
    """Count what must not stay; trial itself lets an unexpected success pass."""
    return len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)


def summary(result: Reporter, unsteady: list[str]) -> str:
    """Word the skipped tests by reason, most frequent first, and the closing line.

    :param unsteady: tests that passed only at the second try.
    """
    lines = []
    if unsteady:
        lines += ["", "Passed only at the second try:", *(f"  {name}" for name in unsteady)]
    reasons = Counter(str(reason) for _, reason in result.skips)
    if reasons:
        lines += ["", "Skipped:"]
        lines += [f"  {count:4}  {reason}" for reason, count in reasons.most_common()]
    passed = result.successes + len(result.expectedFailures) + len(unsteady)
    failed = failures(result) - len(unsteady)
    lines += ["", f"{passed} passed, {failed} failed, {len(result.skips)} skipped"]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Run what *arguments* name; 0 when something ran and nothing failed."""
    parser = argparse.ArgumentParser(prog="python -m tests", description=__doc__)
    parser.add_argument("names", nargs="*", help="dotted names; default: everything but packaging")
    parser.add_argument("-v", "--verbose", action="store_true", help="one line a test")
    parser.add_argument("--temp-directory", default="_trial_temp", help="where trial works")
    parser.add_argument("--once", action="store_true", help="give no test a second try")
    options = parser.parse_args(arguments)
    runner = TrialRunner(
        TreeReporter if options.verbose else TextReporter,
        workingDirectory=options.temp_directory,
    )
    suite = TestLoader().loadByNames(options.names or everything(), recurse=True)
    result = cast(Reporter, runner.run(suite))
    unsteady = [] if options.once else second_try(result, options.temp_directory)
    print(summary(result, unsteady), flush=True)
    return 0 if result.testsRun and failures(result) == len(unsteady) else 1


def second_try(result: Reporter, temp_directory: str) -> list[str]:
    """Run the failed tests of real processes once more, alone; names those that pass then.

    They depend on a machine's other work: a test that fails only beside a compiler says nothing about
    the program. One that fails twice does, and no more than a few are given this chance. What passed at the
    second try is named in the summary, so that nobody can overlook it.
    """
    failed = {test.id() for test, _ in [*result.failures, *result.errors]}
    if not failed or len(failed) > MOST_SECOND_TRIES or len(failed) != failures(result):
        return []
    if not all(name.startswith(REAL) for name in failed):
        return []
    passed = []
    for name in sorted(failed):
        again = [sys.executable, "-Wall", "-m", "tests", "--once", name]
        again += ["--temp-directory", f"{temp_directory}_again"]
        tried = subprocess.run(again, check=False, capture_output=True, text=True)
        # Indented, since whoever sums up the closing lines must not count this one.
        print(textwrap.indent(tried.stdout + tried.stderr, "  | "), flush=True)
        if tried.returncode == 0:
            passed.append(name)
    return passed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
