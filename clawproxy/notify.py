"""Messages to the service manager: systemd's notification protocol (sd_notify(3)), where there is one."""

from __future__ import annotations

import os
import socket
import time


def send(message: str) -> bool:
    """Send a message to ``$NOTIFY_SOCKET``.

    :return: whether there was somebody to send it to.
    """
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return False
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.sendto(message.encode(), address)
        except OSError:
            return False  # the manager is gone; nobody is left to be told
    return True


def ready() -> None:
    """Say that requests are answered."""
    send(f"READY=1\nMAINPID={os.getpid()}")


def stopping() -> None:
    """Say that the process is leaving."""
    send("STOPPING=1")


def reloading() -> None:
    """Say that the configuration is being read again (needs :func:`ready` afterwards)."""
    send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
