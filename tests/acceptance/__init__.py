"""The program as its users have it: ``twistd -n clawproxy`` in a process of its own, seen from outside only.

Nothing here looks into the program. Each test holds a sentence of what is promised to operators, clients
and load balancers, and quotes it.
"""
