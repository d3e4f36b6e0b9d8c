"""What axe-core has against a page."""

from __future__ import annotations

from typing import Any

from tests.integration.clients import npm_file

#: The rules of WCAG 2.2, level AA, and those that axe-core calls best practices.
_RUN = """
async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  return found.violations.map(({ id, impact, help, nodes }) => ({
    id, impact, help,
    nodes: nodes.slice(0, 5).map((node) => `${node.target} ${node.html.slice(0, 160)} ${node.failureSummary}`),
  }));
}
"""


def violations(page: Any) -> list[str]:
    """Give what is serious or critical.

    :raises SkipTest: where axe-core cannot be had.
    """
    source = npm_file("axe-core", "axe-core/axe.min.js").read_text()
    # Through the debugger's door: the page's policy lets nothing else in.
    page.evaluate(source + ";0")
    return [
        f"{each['impact']} {each['id']}: {each['help']}: {each['nodes']}"
        for each in page.evaluate(_RUN)
        if each["impact"] in ("serious", "critical")
    ]
