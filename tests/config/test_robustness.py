"""Whatever an operator writes, loading gives a configuration or a list of mistakes."""

from __future__ import annotations

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from clawproxy.config import ConfigError
from clawproxy.config.show import key_rows, to_yaml
from tests.config.loading import ConfigTestCase

WORDS = sorted({part for row in key_rows() for part in row.key.split(".")} - {"N", "NAME"})
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.dates()
    | st.sampled_from(
        (
            "",
            "anthropic",
            "openclaw",
            "demo",
            "tcp:0",
            "https://h/v1",
            "sqlite:x.db",
            "5m",
            "10 GiB",
            "${HOME}",
            "${NOPE}",
            "*",
            "$argon2x",
            "info",
        )
    )
    | st.text(max_size=5)
)
NAMES = st.sampled_from([*WORDS, "anthropic", "openai", "demo", "openclaw", "v1", "x y"])
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
SECTIONS = st.sampled_from(("server", "auth", "providers", "routes", "default_provider", "storage"))


class Anything(ConfigTestCase):
    """A configuration that loads is one that loads again; one that does not says why."""

    @settings(max_examples=250, deadline=None)
    @given(
        st.dictionaries(SECTIONS | NAMES, TREES, max_size=4),
        st.lists(st.tuples(st.lists(NAMES, min_size=1, max_size=3), TREES), max_size=2),
    )
    def test_a_config_or_mistakes(
        self, tree: dict[str, object], sets: list[tuple[list[str], object]]
    ) -> None:
        options = [
            f"{'.'.join(path)}={yaml.safe_dump(value, default_flow_style=True)}"
            for path, value in sets
        ]
        environ = {"HOME": "/h", "PORT": "1", "CLAWPROXY_GATEWAY_TOKEN": "t", "OPENAI_API_KEY": "k"}
        self.check(yaml.safe_dump(tree, allow_unicode=True), environ, options)

    def test_a_glob_that_is_a_list(self) -> None:
        self.check("routes: [{match: [x], provider: {}}]", {}, [])

    def test_an_index_that_is_no_ascii_digit(self) -> None:
        self.check("routes: []", {}, ["routes.\u00b2.match=x"])

    def check(self, text: str, environ: dict[str, str], sets: list[str]) -> None:
        try:
            config = self.loaded(text, environ, sets).config
        except ConfigError as error:
            self.assertTrue(error.mistakes)
            self.assertEqual(len(str(error).splitlines()), len(error.mistakes))
        else:
            self.assertIn("server:", to_yaml(config))
