"""The static files: read once, sent compressed, named by their content so that they are kept."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_DIRECTORY = Path(__file__).parent / "static"
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
_FOR_EVER = "public, max-age=31536000, immutable"

router = APIRouter(include_in_schema=False)


@dataclass(slots=True, frozen=True)
class Asset:
    """One file as it is sent."""

    content: bytes
    compressed: bytes
    media_type: str
    version: str


def _read() -> dict[str, Asset]:
    found = {}
    for path in sorted(_DIRECTORY.rglob("*")):
        if path.suffix in _TYPES:
            content = path.read_bytes()
            found[path.relative_to(_DIRECTORY).as_posix()] = Asset(
                content,
                gzip.compress(content, 9, mtime=0),
                _TYPES[path.suffix],
                hashlib.sha256(content).hexdigest()[:12],
            )
    return found


ASSETS = _read()


def url_of(name: str) -> str:
    """Return the address of a file, which changes with its content."""
    return f"/static/{name}?v={ASSETS[name].version}"


@router.get("/static/{name:path}")
async def send_asset(request: Request, name: str) -> Response:
    """Send a static file."""
    asset = ASSETS.get(name)
    if asset is None:
        raise HTTPException(404)
    headers = {"etag": f'"{asset.version}"', "vary": "accept-encoding"}
    if request.query_params.get("v") == asset.version:
        headers["cache-control"] = _FOR_EVER
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
        return Response(asset.compressed, headers=headers, media_type=asset.media_type)
    return Response(asset.content, headers=headers, media_type=asset.media_type)
