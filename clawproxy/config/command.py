"""Subcommands about the configuration: ``clawproxy check`` and ``clawproxy keys``."""

from __future__ import annotations

import getpass
import secrets
import sys
from argparse import Namespace
from importlib.util import find_spec
from io import TextIOWrapper
from typing import TYPE_CHECKING

from clawproxy.cli import add_config_options, load_config
from clawproxy.config import show

if TYPE_CHECKING:
    from clawproxy.cli import Subparsers

KEY_BYTES = 32
"""Random bytes in a new key: as many as nobody can guess, in 43 characters."""


def add_check(subparsers: Subparsers) -> None:
    """Add ``clawproxy check``."""
    parser = subparsers.add_parser(
        "check",
        help="validate the configuration and print it, secrets masked",
        description="Validate the configuration and print what is in effect, secrets masked. "
        "Exit code 1 if it is wrong.",
    )
    add_config_options(parser)
    parser.set_defaults(run=check)


def check(arguments: Namespace) -> int:
    """Print the effective configuration on stdout, where it came from and warnings on stderr."""
    loaded = load_config(arguments)
    for source in loaded.sources:
        sys.stderr.write(f"from {source}\n")
    for warning in loaded.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    sys.stderr.flush()
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may know less than UTF-8
    sys.stdout.write(show.to_yaml(loaded.config))
    sys.stdout.flush()
    return 0


def add_keys(subparsers: Subparsers) -> None:
    """Add ``clawproxy keys new`` and ``clawproxy keys hash``."""
    parser = subparsers.add_parser("keys", help="make keys and password hashes for the config")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    new = actions.add_parser("new", help="print a new random key for auth.api_keys")
    new.set_defaults(run=new_key)
    hashing = actions.add_parser(
        "hash",
        help="print the argon2 hash of a password for dashboard.password",
        description="Read a password from the terminal, or a line of standard input, and print "
        "its argon2 hash.",
    )
    hashing.set_defaults(run=hash_password)


def new_key(arguments: Namespace) -> int:
    """Print a key that nobody can guess; its prefix lets scanners for leaked secrets find it."""
    sys.stdout.write(f"sk-claw-{secrets.token_urlsafe(KEY_BYTES)}\n")
    return 0


def hash_password(arguments: Namespace) -> int:
    """Print a password's argon2 hash."""
    if find_spec("argon2") is None:
        sys.stderr.write("this needs argon2-cffi: pip install 'clawproxy[all]'\n")
        return 1
    from argon2 import PasswordHasher

    try:
        password = _ask_twice() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
        if password is None:
            sys.stderr.write("these were not the same\n")
            return 1
        hashed = PasswordHasher().hash(password)
    except EOFError:
        password = ""
    except UnicodeError:
        sys.stderr.write("this is no text in this terminal's encoding\n")
        return 1
    if not password:
        sys.stderr.write("an empty password opens nothing\n")
        return 1
    sys.stdout.write(f"{hashed}\n")
    return 0


def _ask_twice() -> str | None:
    """Ask for a password at the terminal.

    :raises EOFError: there was none (Ctrl-D).
    """
    password = getpass.getpass("Password: ")
    return password if password == getpass.getpass("Again: ") else None
