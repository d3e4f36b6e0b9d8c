"""What the tests of the configuration share: loading apart from this machine's own files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import dedent

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.config import Config, ConfigError, Loaded, Mistake, load

HOME = Path("/home/nobody")


class ConfigTestCase(SynchronousTestCase):
    """A test case with a folder of its own and nothing from outside."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)

    def loaded(
        self,
        text: str | None = None,
        environ: Mapping[str, str] | None = None,
        sets: Sequence[str] = (),
        listen: Sequence[str] = (),
    ) -> Loaded:
        """Load a file with this text, or none at all."""
        path = None
        if text is not None:
            path = self.folder / "test.yaml"
            path.write_text(dedent(text))
        return load(path, listen, sets, environ or {}, self.folder, HOME, self.folder / "none")

    def config(
        self,
        text: str | None = None,
        environ: Mapping[str, str] | None = None,
        sets: Sequence[str] = (),
        listen: Sequence[str] = (),
    ) -> Config:
        """Load a configuration."""
        return self.loaded(text, environ, sets, listen).config

    def mistakes(
        self,
        text: str | None = None,
        environ: Mapping[str, str] | None = None,
        sets: Sequence[str] = (),
        listen: Sequence[str] = (),
    ) -> list[Mistake]:
        """Load what is wrong, and give all that is."""
        error: ConfigError = self.assertRaises(
            ConfigError, self.loaded, text, environ, sets, listen
        )
        return error.mistakes

    def mistake(
        self,
        text: str | None = None,
        environ: Mapping[str, str] | None = None,
        sets: Sequence[str] = (),
        listen: Sequence[str] = (),
    ) -> Mistake:
        """Load what has one mistake, and give it."""
        mistakes = self.mistakes(text, environ, sets, listen)
        self.assertEqual(len(mistakes), 1, mistakes)
        return mistakes[0]
