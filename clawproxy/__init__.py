"""ClawProxy stands between AI clients and what answers them, and never cuts, delays or alters a stream."""

__version__ = "0.1.0"
