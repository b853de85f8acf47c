"""A server's directory listing: which files there are, with date and size where it tells them."""

import re
from dataclasses import dataclass
from html import unescape
from urllib.parse import unquote

from dacycle.obs.igra.zips import DataFile, data_file

__all__ = ["Listed", "parse_listing"]

MAX_FILES = 20_000
_LINK = re.compile(r"""<a\s[^>]{0,200}?href\s*=\s*["']([^"'<>]{1,300})["'][^>]{0,200}>""", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?|\d\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d(?::\d\d)?")
_SIZE = re.compile(r"[\s>](\d{1,15}(?:\.\d{1,3})?\s?[KMG]?)(?=[\s<]|$)")
_TAG = re.compile(r"<[^<>]{0,300}>")


@dataclass(frozen=True)
class Listed:
    """A sounding file in the listing; ``version``: its date and size as listed, empty where it has no date."""

    file: DataFile
    version: str


def parse_listing(page: str) -> list[Listed]:
    """The sounding files that an HTML index links to, by name; other links, and other folders', are passed over.

    The date and size are what stands between a link and the next, in Apache's table or preformatted text.
    """
    links = list(_LINK.finditer(page))
    found: dict[str, Listed] = {}
    for k, link in enumerate(links[: 2 * MAX_FILES]):
        # A name must match in full after decoding, so nothing with a slash or dots in front can pass.
        file = data_file(unquote(unescape(link[1])).removeprefix("./"))
        if file is None:
            continue
        end = links[k + 1].start() if k + 1 < len(links) else len(page)
        rest = _TAG.sub(" ", page[link.end() : min(end, link.end() + 1000)])
        date = _DATE.search(rest)
        size = _SIZE.search(rest, date.end()) if date else None
        found[file.name] = Listed(file, f"{date[0]} {size[1] if size else ''}".strip() if date else "")
    return [found[name] for name in sorted(found)]
