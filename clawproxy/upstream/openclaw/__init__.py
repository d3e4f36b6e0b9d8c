"""OpenClaw agents as models, in three rings.

1. Values, without I/O: :mod:`.frames`, :mod:`.handshake`, :mod:`.refusal`, :mod:`.session` (the
   gateway's protocol), :mod:`.backoff` (when to try again), :mod:`.cumulative`, :mod:`.blocks`,
   :mod:`.progress`, :mod:`.result` and :mod:`.runs` (a run's events and responses into an
   answer's events), :mod:`.audience` (who hears them),
   :mod:`.history`, :mod:`.faults`, :mod:`.errand` (a turn into what an agent is asked) with
   :mod:`.session_key` and :mod:`.attachment`, :mod:`.dispatch` (that into what is sent),
   :mod:`.agents`, :mod:`.approvals`, :mod:`.conversation`, :mod:`.wire` (frames for the record).
2. Twisted: :mod:`.websocket`, :mod:`.attempt`, :mod:`.redial`, :mod:`.waiting`, :mod:`.pending` and
   :mod:`.connection` (the one connection), :mod:`.gateway_run`, :mod:`.conclusion` and
   :mod:`.abort` (one run at the gateway), :mod:`.underway` (all of them), :mod:`.directory` (which
   agents there are), :mod:`.questions` and :mod:`.desk` (approvals), :mod:`.introduction` (both, on
   a new connection), :mod:`.call` and :mod:`.settlement` (one caller's turn).
3. :mod:`.provider` joins them behind the seam of turn providers.
"""
