"""Telling systemd how the service is (sd_notify(3)): datagrams to the socket it names; silence without one."""

import os
import socket

__all__ = ["notify", "watchdog_seconds"]


def notify(*assignments: str) -> bool:
    """Send ``READY=1``, ``WATCHDOG=1``, ``STOPPING=1``, ``STATUS=...``; False where nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    # systemd writes a socket in the abstract namespace with @ for the leading zero byte.
    target = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.sendto("\n".join(assignments).encode(), target)
        except OSError:
            return False
    return True


def watchdog_seconds() -> float | None:
    """How often at least systemd wants to hear ``WATCHDOG=1`` from this process; None where it does not."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    text = os.environ.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isdigit() and int(text) > 0 else None
