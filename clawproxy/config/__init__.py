"""What an operator may say: a typed model, and loading that names every mistake at once.

::

    from clawproxy.config import Config, ConfigError, load

    try:
        loaded = load(config_path, listen=[…], sets=["log.level=debug"])
    except ConfigError as error:
        print(error)                   # a line for each of error.mistakes, none shows a secret
    loaded.config.server.listen        # ("tcp:8080:interface=127.0.0.1",)
    loaded.config.providers["openai"]  # HTTPProviderConfig | OpenClawProviderConfig | DemoProviderConfig
    loaded.warnings                    # for the log; they keep nothing from starting
    loaded.sources                     # what it was made of

``Config()`` is the default configuration; all its classes are frozen attrs classes, so
``attrs.evolve`` changes a copy. :func:`clawproxy.config.reload.keep` says what a reload may change.
"""

from __future__ import annotations

from clawproxy.config.loading import Loaded, load
from clawproxy.config.mistake import ConfigError, Mistake
from clawproxy.config.model import (
    ApiKey,
    Config,
    DemoProviderConfig,
    HTTPProviderConfig,
    OpenClawProviderConfig,
    ProviderConfig,
    RouteConfig,
)

__all__ = [
    "ApiKey",
    "Config",
    "ConfigError",
    "DemoProviderConfig",
    "HTTPProviderConfig",
    "Loaded",
    "Mistake",
    "OpenClawProviderConfig",
    "ProviderConfig",
    "RouteConfig",
    "load",
]
