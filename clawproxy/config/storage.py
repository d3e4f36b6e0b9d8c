"""Records: where exchanges are kept, for how long, and who may look at them."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

from clawproxy.config import address
from clawproxy.config.collection import Nullable
from clawproxy.config.number import Number, Size
from clawproxy.config.section import described
from clawproxy.config.shape import Flag
from clawproxy.config.text import Choice, FileName, SecretText, Text
from clawproxy.core.secret import Secret


@frozen(kw_only=True)
class StorageConfig:
    """Where exchanges are recorded, and for how long.

    :ivar url: ``sqlite:PATH``, ``postgresql://…`` or ``none``; its ``repr`` shows no password.
    """

    url: str = field(
        default="sqlite:clawproxy.db",
        repr=address.mask,
        metadata=described(
            Text("sqlite:PATH, postgresql://… or none", address.storage_url, address.mask),
            "The database of records.",
            live=False,
            formerly=("db_path", "path", "database", "dsn", "requests_dir"),
        ),
    )
    retention_days: float = field(
        default=0.0,
        metadata=described(
            Number("days"), "After which records are deleted; 0 keeps all.", live=False
        ),
    )
    bodies: Literal["full", "metadata"] = field(
        default="full",
        metadata=described(
            Choice("full", "metadata"),
            "What is kept of prompts and answers: all, or nothing.",
            live=False,
        ),
    )
    max_bytes: int = field(
        default=0,
        metadata=described(
            Size(),
            "How large the database may grow before the oldest go; 0 is any size.",
            live=False,
        ),
    )
    journal: str | None = field(
        default=None,
        metadata=described(
            Nullable(FileName("a directory"), "beside the database"),
            "Where records wait for the database.",
            live=False,
        ),
    )
    journal_budget: int = field(
        default=10 * 1024**3,
        metadata=described(
            Size(1),
            "How much may wait there; beyond it records are dropped and counted.",
            live=False,
        ),
    )
    prices: str | None = field(
        default=None,
        metadata=described(
            Nullable(FileName("a file"), "the table that comes with the program"),
            "A price table of your own.",
            live=False,
        ),
    )

    @property
    def kind(self) -> Literal["sqlite", "postgresql", "none"]:
        """Which store the URL names."""
        if self.url == "none":
            return "none"
        return "sqlite" if self.url.startswith("sqlite:") else "postgresql"

    @property
    def path(self) -> str:
        """The SQLite file; empty for other stores."""
        return self.url.removeprefix("sqlite:") if self.kind == "sqlite" else ""

    @property
    def journal_directory(self) -> str:
        """The one given, else beside the SQLite file or in the working directory."""
        return self.journal or f"{self.path or 'clawproxy'}.journal"


@frozen(kw_only=True)
class DashboardConfig:
    """The web pages under ``/ui/`` and the JSON under ``/api/``."""

    enabled: bool = field(
        default=True, metadata=described(Flag(), "Serve /ui/ and /api/.", live=False)
    )
    password: Secret | None = field(
        default=None,
        metadata=described(
            Nullable(
                SecretText("a password or its argon2 hash", header_safe=False),
                "only callers on a loopback address may open it",
            ),
            "Opens the dashboard; `clawproxy keys hash` makes a hash.",
        ),
    )
