"""Lets ``twistd`` find ClawProxy; everything else is in :mod:`clawproxy.tap`."""

from twisted.application.service import ServiceMaker

clawproxy = ServiceMaker("ClawProxy", "clawproxy.tap", "An event-driven LLM proxy.", "clawproxy")
