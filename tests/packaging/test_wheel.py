"""The wheel, built and installed as a user does it; and an editable installation."""

from __future__ import annotations

import zipfile
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.packaging.environment import ROOT, bare, copy, empty, run


class WheelTests(TestCase):
    """One build and one installation, looked at from all sides: it takes a while."""

    timeout = 900

    def setUp(self) -> None:
        """Have a copy of the project, with a plugin cache that should not travel."""
        super().setUp()
        self.folder = Path(self.mktemp()).resolve()
        self.project = copy(self.folder / "project")
        (self.project / "twisted" / "plugins" / "dropin.cache").write_bytes(b"stale")

    def test_wheel(self) -> None:
        """It holds what runs and no more, and works where nothing else is installed."""
        bin_folder = empty(self.folder / "venv")
        wheels = self.folder / "wheels"
        run(bin_folder / "pip", "wheel", "-q", "--no-deps", "-w", wheels, ".", cwd=self.project)
        [wheel] = wheels.glob("clawproxy-*.whl")
        names = set(zipfile.ZipFile(wheel).namelist())
        self.assertFalse([name for name in names if "dropin.cache" in name])
        self.assertIn("twisted/plugins/clawproxy_plugin.py", names)
        self.assertNotIn("twisted/__init__.py", names)
        self.assertNotIn("twisted/plugins/__init__.py", names)
        tops = {name.split("/")[0] for name in names}
        self.assertEqual(
            {top for top in tops if not top.endswith(".dist-info")}, {"clawproxy", "twisted"}
        )
        data = [
            str(path.relative_to(ROOT))
            for path in (ROOT / "clawproxy").rglob("*")
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
        ]
        self.assertEqual(set(data) - names, set(), "not in the wheel")

        run(bin_folder / "pip", "install", "-q", f"{wheel}[all]", cwd=self.folder)
        # Not below the project, where the plugin would be found anyway.
        listed = run(bin_folder / "twistd", "--help", cwd=Path("/"))
        self.assertRegex(listed, r"(?m)^ +clawproxy +\S")
        self.assertIn("--config", run(bin_folder / "twistd", "clawproxy", "--help", cwd=Path("/")))
        self.assertIn("check", run(bin_folder / "clawproxy", "--help", cwd=Path("/")))
        self.assertIn("providers:", run(bin_folder / "clawproxy", "check", cwd=self.folder))

        run(bin_folder / "pip", "uninstall", "-q", "-y", "clawproxy", cwd=self.folder)
        self.assertNotIn(" clawproxy ", run(bin_folder / "twistd", "--help", cwd=Path("/")))
        run(bin_folder / "pip", "install", "-q", "--no-deps", "-e", self.project, cwd=self.folder)
        listed = run(
            bin_folder / "twistd", "--help", cwd=Path("/"), env=bare(PYTHONWARNINGS="error")
        )
        self.assertRegex(listed, r"(?m)^ +clawproxy +\S")
