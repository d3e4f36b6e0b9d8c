"""Answers and requests over all pairs of dialects, judged by the vendors' own SDKs."""
