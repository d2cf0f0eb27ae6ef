"""Which form an answer has: what the Accept header prefers among those a resource offers."""

from __future__ import annotations

from functools import lru_cache

from midspan.api.errors import NotAcceptable, UnsupportedMediaType
from midspan.api.request import Request

_FORMS = {
    "application/json": "json",
    "text/json": "json",
    "application/xml": "xml",
    "text/xml": "xml",
    "text/html": "html",
    "application/xhtml+xml": "html",
}
_SHORT = 300
"""Characters of an Accept header up to which its meaning is remembered."""
_WILD = frozenset({"*/*", "application/*", "*"})


def response_form(request: Request) -> str:
    """Return ``json`` or ``xml`` for an API resource.

    Raises:
        NotAcceptable: neither is wanted.
    """
    return form_of(request.headers.get("accept", ""))


def form_of(accept: str) -> str:
    """Return ``json`` or ``xml`` for the Accept header of a request for an API resource.

    Raises:
        NotAcceptable: neither is wanted.
    """
    form = preferred(accept, ("json", "xml"))
    if form is None:
        raise NotAcceptable("Not acceptable", hint="Accept application/json or application/xml.")
    return form


def error_form(request: Request, *, page: bool) -> str:
    """Return the form of an error: never a reason for another error."""
    accept = request.headers.get("accept", "")
    if page and preferred(accept, ("json", "html")) == "html" and "html" in accept:
        return "html"
    return preferred(accept, ("json", "xml")) or "json"


def preferred(accept: str, offered: tuple[str, ...]) -> str | None:
    """Return the offered form with the highest quality; the first offered wins a draw.

    >>> preferred("", ("json", "xml")), preferred("application/xml", ("json", "xml"))
    ('json', 'xml')
    >>> preferred("text/html,application/xml;q=0.9,*/*;q=0.8", ("json", "xml"))
    'xml'
    >>> preferred("image/png", ("json", "xml")) is None
    True
    """
    return _remembered(accept, offered) if len(accept) <= _SHORT else _preferred(accept, offered)


def _preferred(accept: str, offered: tuple[str, ...]) -> str | None:
    if not accept.strip():
        return offered[0]
    quality: dict[str, float] = {}
    for entry in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in entry.split(";"))
        q = _quality(parameters)
        forms = offered if kind in _WILD else (_FORMS.get(kind, ""),)
        for form in forms:
            if form in offered and q > 0 and (kind not in _WILD or form not in quality):
                quality[form] = q if kind in _WILD else max(q, quality.get(form, 0))
    return max(quality, key=lambda form: (quality[form], -offered.index(form)), default=None)


_remembered = lru_cache(maxsize=256)(_preferred)


def body_form(request: Request) -> str:
    """Return ``json`` or ``xml``, the form of the request's body; no type at all is JSON.

    Raises:
        UnsupportedMediaType: the body has another type.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if not kind or not request.body:
        return "json"
    form = _FORMS.get(kind)
    if form not in ("json", "xml"):
        raise UnsupportedMediaType(
            "Unsupported media type", hint="Send application/json or application/xml."
        )
    return form


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0
