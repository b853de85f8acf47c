"""One file over HTTP: conditional, bounded in size and time, retried with back-off, resumed where the server can."""

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

__all__ = ["UNREACHABLE", "Limits", "Reply", "TransferError", "Validators", "transfer"]

UNREACHABLE = "cannot reach "
"""How the text of a TransferError begins where there was no connection at all."""

_RETRIED = {408, 425, 429, 500, 502, 503, 504}


class TransferError(Exception):
    """What was expected could not be had, of a file that the caller names; ``server`` is False where the fault is this
    file's alone."""

    def __init__(self, message: str, server: bool = True) -> None:
        super().__init__(message)
        self.server = server


@dataclass(frozen=True)
class Limits:
    """Bounds of one transfer: bytes, seconds in all, attempts, seconds of the first back-off and of the longest."""

    size: int
    seconds: float = 300.0
    attempts: int = 4
    backoff: float = 0.5
    longest: float = 30.0


@dataclass(frozen=True)
class Validators:
    """What a server said of the version that is at hand."""

    etag: str = ""
    last_modified: str = ""

    def headers(self) -> dict[str, str]:
        """The headers of a conditional request."""
        both = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in both.items() if value}

    @property
    def resumable(self) -> str:
        """What If-Range takes: a strong tag or a date."""
        return self.last_modified if not self.etag or self.etag.startswith("W/") else self.etag


@dataclass(frozen=True)
class Reply:
    """``content`` is None when the version at hand is still the newest."""

    content: bytes | None
    validators: Validators


@dataclass
class _Progress:
    """What arrived before an interruption, and of which version."""

    content: bytearray = field(default_factory=bytearray)
    validators: Validators = field(default_factory=Validators)


def transfer(
    client: httpx.Client,
    url: str,
    known: Validators,
    limits: Limits,
    pause: Callable[[float], None] = time.sleep,
) -> Reply:
    """The content at ``url``, or None when the server says that ``known`` is current; TransferError otherwise.

    Connection trouble, truncation and the statuses that ask to come back are retried with jittered, doubling pauses
    (a server's Retry-After goes before, within the longest pause); what had arrived is not asked for again where the
    server offers ranges.
    """
    deadline = time.monotonic() + limits.seconds
    progress = _Progress()
    trouble = ""
    for attempt in range(limits.attempts):
        wait = 0.0
        try:
            return _attempt(client, url, known, limits, deadline, progress)
        except _ComeBackError as error:
            trouble, wait = str(error), error.wait
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            reason = re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or type(error).__name__
            trouble = f"{UNREACHABLE}{httpx.URL(url).netloc.decode()}: {reason}"
        except httpx.TransportError as error:
            trouble = str(error) or type(error).__name__
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise TransferError(str(error) or type(error).__name__, server=False) from error
        wait = min(max(wait, limits.backoff * 2**attempt * random.uniform(0.5, 1.5)), limits.longest)
        if attempt + 1 == limits.attempts or time.monotonic() + wait > deadline:
            break
        pause(wait)
    raise TransferError(f"{trouble} (after {attempt + 1} attempts)")


class _ComeBackError(Exception):
    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


def _attempt(
    client: httpx.Client, url: str, known: Validators, limits: Limits, deadline: float, progress: _Progress
) -> Reply:
    headers = known.headers()
    if progress.content and progress.validators.resumable:
        headers = {"Range": f"bytes={len(progress.content)}-", "If-Range": progress.validators.resumable}
    # What is stored must be the bytes that were sent: no transparent compression.
    with client.stream("GET", url, headers={**headers, "Accept-Encoding": "identity"}) as response:
        status = response.status_code
        if status == 304 and known.headers():
            return Reply(None, known)
        if status in _RETRIED:
            raise _ComeBackError(f"status {status}", _retry_after(response))
        if status not in (200, 206):
            raise TransferError(f"expected status 200, got {status}", server=False)
        resumed = status == 206 and _resumes(response, len(progress.content))
        if status == 206 and not resumed:
            progress.content.clear()
            raise _ComeBackError("a range other than the one asked for")
        if not resumed:
            progress.content.clear()
        progress.validators = Validators(response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""))
        expected = _length(response)
        if expected is not None and len(progress.content) + expected > limits.size:
            raise TransferError(f"{expected} bytes; expected at most {limits.size}", server=False)
        before = len(progress.content)
        for chunk in response.iter_raw():
            progress.content += chunk
            if len(progress.content) > limits.size:
                raise TransferError(f"more than the {limits.size} bytes expected at most", server=False)
            if time.monotonic() > deadline:
                raise TransferError(f"not complete after {limits.seconds:.0f} s")
        if expected is not None and len(progress.content) - before != expected:
            raise _ComeBackError(f"expected {expected} bytes, got {len(progress.content) - before}")
        return Reply(bytes(progress.content), progress.validators)


def _length(response: httpx.Response) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdigit() else None


def _resumes(response: httpx.Response, at: int) -> bool:
    return at > 0 and str(response.headers.get("Content-Range", "")).startswith(f"bytes {at}-")


def _retry_after(response: httpx.Response) -> float:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdigit() else 0.0
