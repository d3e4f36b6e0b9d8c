"""The laws of the house that no other test would notice being broken."""

from __future__ import annotations

import ast
import pkgutil
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import clawproxy
import clawproxy.core

PACKAGE = Path(clawproxy.__file__).parent

IMPORT_ALONE = """
import importlib, sys

class Fence:
    def find_spec(self, name, path=None, target=None):
        parts = name.split(".")
        if parts[0] in ("twisted", "zope", "treq"):
            raise ImportError(f"core must not need {name}")
        if parts[0] == "clawproxy" and parts[1:] and parts[1] != "core":
            raise ImportError(f"core must not know its neighbour {name}")
        return None

sys.meta_path.insert(0, Fence())
for name in sys.argv[1:]:
    importlib.import_module(name)
"""
"""Imports the modules it is given in an interpreter where core's neighbours cannot be imported."""


CLOCKS = frozenset(
    {"time.time", "time.monotonic", "time.perf_counter", "time.time_ns", "time.sleep"}
    | {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "os.environ", "os.getenv"}
)
"""What would tell core something that was not told to it."""


def names_in_core() -> list[str]:
    """Give every module below ``clawproxy.core``."""
    found = pkgutil.walk_packages(clawproxy.core.__path__, "clawproxy.core.")
    return [module.name for module in found]


def import_alone(*names: str) -> str:
    """Import modules behind the fence; gives the traceback's last line, empty when all went well."""
    ended = subprocess.run(
        [sys.executable, "-c", IMPORT_ALONE, *names], capture_output=True, text=True, check=False
    )
    return ended.stderr.strip().rpartition("\n")[2]


def reactor_imports(tree: ast.Module) -> list[int]:
    """Give the lines that import the global reactor as soon as the module is imported."""
    lines = []
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            continue  # a program of its own, not an import
        if isinstance(node, ast.ImportFrom) and node.module == "twisted.internet":
            lines += [node.lineno for each in node.names if each.name == "reactor"]
        elif isinstance(node, ast.Import):
            lines += [node.lineno for each in node.names if each.name == "twisted.internet.reactor"]
        waiting += ast.iter_child_nodes(node)
    return lines


class CoreTests(SynchronousTestCase):
    """Imports point inward: core stands alone."""

    def test_needs_neither_twisted_nor_a_neighbour(self) -> None:
        """Every module of core can be imported where Twisted and the rest of the program cannot."""
        names = names_in_core()
        self.assertIn("clawproxy.core.dialects.turn", names)
        self.assertEqual(import_alone(*names), "")

    def test_the_fence_holds(self) -> None:
        """What does need them cannot be imported there, so that the test above can fail."""
        self.assertIn("core must not know", import_alone("clawproxy.relay.pump"))
        self.assertIn("core must not need", import_alone("twisted.internet.defer"))

    def test_reads_no_clock(self) -> None:
        """Time is an argument in core, and so are files and the environment."""
        for path in sorted((PACKAGE / "core").rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    found = f"{node.value.id}.{node.attr}"
                    self.assertNotIn(found, CLOCKS, f"{path}:{node.lineno}")
                elif isinstance(node, ast.ImportFrom):
                    taken = {f"{node.module}.{each.name}" for each in node.names}
                    self.assertFalse(taken & CLOCKS, f"{path}:{node.lineno}")


class ReactorTests(SynchronousTestCase):
    """The reactor is a parameter."""

    def test_no_module_imports_it(self) -> None:
        """No import of a module of ours installs a reactor."""
        for path in sorted(PACKAGE.rglob("*.py")):
            lines = reactor_imports(ast.parse(path.read_text()))
            self.assertEqual(lines, [], f"{path} imports the reactor")

    def test_finds_one(self) -> None:
        """An import in a module's body is found, also below a condition; one in a function may be."""
        found = reactor_imports(
            ast.parse(
                "from twisted.internet import defer, reactor\n"
                "if True:\n    import twisted.internet.reactor\n"
                "def late():\n    from twisted.internet import reactor\n"
            )
        )
        self.assertEqual(sorted(found), [1, 3])
