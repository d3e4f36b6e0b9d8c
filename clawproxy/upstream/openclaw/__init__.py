"""OpenClaw agents as models, in three rings.

1. Values, without I/O: :mod:`.frames`, :mod:`.handshake`, :mod:`.refusal`, :mod:`.session` (the
   gateway's protocol), :mod:`.pending`, :mod:`.backoff` (when to try again), :mod:`.cumulative`,
   :mod:`.blocks` and :mod:`.runs` (a run's events into an answer's), :mod:`.history`,
   :mod:`.faults`, :mod:`.errand` (a turn into what an agent is asked), :mod:`.agents`,
   :mod:`.approvals`, :mod:`.conversation`.
2. Twisted: :mod:`.websocket` and :mod:`.connection` (the one connection), :mod:`.dispatch` (one run
   at the gateway), :mod:`.call` and :mod:`.settlement` (one caller's turn), :mod:`.desk` (deciding
   approvals).
3. :mod:`.provider` joins them behind the seam of turn providers.
"""
