"""The ``clawproxy`` command: everything but running the proxy, which is ``twistd clawproxy``.

Each subcommand comes from a function in :data:`COMMANDS` that adds its parser and sets ``run`` to
what it does: ``parser.set_defaults(run=function)``, ``function(arguments) -> exit code``. Exit
codes: 0 all is well, 1 it failed or the configuration is wrong, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, TypeAlias

import clawproxy
from clawproxy.config import ConfigError, Loaded, load

if TYPE_CHECKING:
    Subparsers: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]

COMMANDS = (
    "clawproxy.config.command:add_check",
    "clawproxy.config.command:add_keys",
    "clawproxy.store.export:add_command",
    "clawproxy.store.imports:add_command",
)
"""Functions that add subcommands; a module that an installation lacks adds none."""


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Give a subcommand the options that ``twistd clawproxy`` has for its configuration."""
    parser.add_argument("--config", metavar="FILE", help="the config file")
    parser.add_argument(
        "--set",
        dest="sets",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="set a dotted key to a value in YAML; may be repeated",
    )
    parser.add_argument(
        "--listen",
        action="append",
        default=[],
        metavar="ENDPOINT",
        help="a Twisted endpoint to listen on, in place of server.listen; may be repeated",
    )


def load_config(arguments: argparse.Namespace) -> Loaded:
    """Load the configuration that a subcommand's options name.

    :raises ConfigError: it is wrong; :func:`main` says how and ends with 1.
    """
    return load(arguments.config, arguments.listen, arguments.sets)


def parser() -> argparse.ArgumentParser:
    """Make the parser with all subcommands that are there."""
    root = argparse.ArgumentParser(
        prog="clawproxy",
        description="Tools around ClawProxy. The proxy itself runs as: twistd -n clawproxy",
    )
    root.add_argument("--version", action="version", version=f"clawproxy {clawproxy.__version__}")
    subparsers = root.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        add = _find(name)
        if add is not None:
            add(subparsers)
    return root


def _find(name: str) -> Callable[[Subparsers], None] | None:
    module, _, function = name.partition(":")
    try:
        found: Callable[[Subparsers], None] = getattr(import_module(module), function)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            return None
        raise
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    :param argv: without the program's name; the process's own unless given.
    :returns: the exit code.
    """
    _open_streams()
    arguments = parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        code = run(arguments)
        # What cannot be written is told here; at the interpreter's exit it would be a traceback.
        sys.stdout.flush()
        return code
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read the output has enough.
        _give_up_output()
        return 1
    except OSError as error:
        sys.stderr.write(f"{error.filename or 'standard output'}: {error.strerror or error}\n")
        _give_up_output()
        return 1


def _open_streams() -> None:
    """Put the null device in place of what the process was started without (``>&-``)."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123


def _give_up_output() -> None:
    """Nothing more can be written, not even at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
