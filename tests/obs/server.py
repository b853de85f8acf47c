"""A real HTTP server on loopback that can misbehave, for the tests of the archive client."""

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

__all__ = ["Site", "serving"]

Answer = Callable[["Handler"], None]


class Site:
    """What is served: the files below ``root``; ``tricks`` maps a path to what happens instead, until it is removed.

    ``asked`` counts requests by path, ``statuses`` answers by path and status. ``apache``: listings with date and
    size, as Apache makes them; else bare links. ``validators``: whether answers carry ETag and Last-Modified.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tricks: dict[str, Answer] = {}
        self.asked: Counter[str] = Counter()
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.apache = True
        self.validators = True
        self.url = ""

    def once(self, path: str, answer: Answer, times: int = 1) -> None:
        """Misbehave that many times, then behave."""
        left = times

        def trick(handler: "Handler") -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                del self.tricks[path]
            answer(handler)

        self.tricks[path] = trick


class Handler(BaseHTTPRequestHandler):
    """Serves a ``Site``."""

    site: Site

    def do_GET(self) -> None:
        self.site.asked[self.path] += 1
        try:
            if self.path in self.site.tricks:
                self.site.tricks[self.path](self)
            else:
                self.serve()
        except (BrokenPipeError, ConnectionResetError):
            pass

    def serve(self) -> None:
        """What an honest server would answer."""
        path = self.site.root / self.path.strip("/")
        if path.is_dir():
            return self.reply(200, self.listing(path))
        if not path.is_file():
            return self.reply(404, b"<html>not found</html>")
        content = path.read_bytes()
        headers = {}
        if self.site.validators:
            tag = f'"{hashlib.sha256(content).hexdigest()[:12]}"'
            headers = {"ETag": tag, "Last-Modified": formatdate(path.stat().st_mtime, usegmt=True)}
            if self.headers.get("If-None-Match") == tag:
                return self.reply(304, b"", headers)
            wanted = self.headers.get("Range", "")
            if wanted and self.headers.get("If-Range") == tag:
                first = int(wanted.removeprefix("bytes=").removesuffix("-"))
                headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
                return self.reply(206, content[first:], headers)
        return self.reply(200, content, headers)

    def reply(
        self, status: int, content: bytes, headers: dict[str, str] | None = None, claim: int | None = None
    ) -> None:
        """An answer whose Content-Length may be a lie."""
        self.site.statuses[self.path, status] += 1
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(content) if claim is None else claim))
        self.end_headers()
        self.wfile.write(content)

    def listing(self, folder: Path) -> bytes:
        """An index of ``folder``."""
        rows = ['<tr><td><a href="/">Parent Directory</a></td><td>&nbsp;</td><td align="right">  - </td></tr>']
        for path in sorted(folder.iterdir()):
            date = time.strftime("%Y-%m-%d %H:%M", time.gmtime(path.stat().st_mtime))
            cells = f'<td align="right">{date}  </td><td align="right">{path.stat().st_size}</td>'
            rows.append(f'<tr><td><a href="{path.name}">{path.name}</a></td>{cells if self.site.apache else ""}</tr>')
        return f"<html><body><table>{''.join(rows)}</table></body></html>".encode()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the terminal."""


@contextmanager
def serving(root: Path) -> Iterator[Site]:
    """A server on a free port of loopback while the block runs."""
    site = Site(root)
    handler = type("SiteHandler", (Handler,), {"site": site})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
