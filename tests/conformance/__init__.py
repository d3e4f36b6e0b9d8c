"""One suite of answers and requests, run over all pairs of dialects and read by the vendors' own SDKs."""
