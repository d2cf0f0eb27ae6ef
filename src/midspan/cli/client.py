"""Talks HTTP to a running instance; every failure becomes an error with a hint."""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from midspan.cli.address import is_loopback
from midspan.cli.options import CA, Connection
from midspan.cli.output import working
from midspan.kernel.errors import InvalidRequest, MidspanError, NotAuthenticated, Unavailable

BASE = "/api/midspan/v1"
PASSWORD = "MIDSPAN_PASSWORD"  # noqa: S105 - the name of a variable
TIMEOUT = httpx.Timeout(None, connect=10.0)
"""An import takes what it takes; only connecting is bounded."""


class Unreachable(Unavailable):
    """No instance answers at the address."""

    code = "MS620"


class Refused(MidspanError):
    """The instance said no; message and detail are its own."""

    code = "MS621"


class Client:
    """Sends requests with Basic authentication; use it as a context manager."""

    def __init__(self, connection: Connection) -> None:
        self._url = connection.url.rstrip("/")
        host = httpx.URL(self._url).host
        if self._url.startswith("http:") and not is_loopback(host):
            sys.stderr.write(f"midspan: the password travels unencrypted to {host}\n")
        self._http = httpx.Client(
            base_url=self._url,
            auth=(connection.user, _password(connection)),
            timeout=TIMEOUT,
            trust_env=not is_loopback(host),
            verify=_trust(),
            headers={"Accept": "application/json"},
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, *, doing: str = "Asking", **parameters: str) -> Any:
        """Return the result of a GET below ``/api/midspan/v1``; empty parameters are left out.

        ``doing`` is what a person sees while it takes.
        """
        given = {name: value for name, value in parameters.items() if value}
        with working(doing):
            return self._result("GET", path, params=given)

    def document(self, path: str, *, doing: str = "Asking", **parameters: str) -> bytes:
        """Return the body of a GET of a whole path; empty parameters are left out."""
        given = {name: value for name, value in parameters.items() if value}
        with working(doing), self._translated():
            response = self._http.get(path, params=given)
        _check(response)
        return response.content

    def post(self, path: str, body: object = None, *, doing: str = "Asking") -> Any:
        """Return the result of a POST of ``body`` as JSON; ``doing`` as for ``get``."""
        with working(doing):
            return self._result("POST", path, json={} if body is None else body)

    def delete(self, path: str, *, doing: str = "Asking") -> Any:
        """Return the result of a DELETE; ``doing`` as for ``get``."""
        with working(doing):
            return self._result("DELETE", path)

    def send(self, path: str, content: Iterable[bytes], headers: Mapping[str, str]) -> Any:
        """Return the result of a POST of a file; whoever gives the pieces shows how it goes."""
        return self._result("POST", path, content=content, headers=headers)

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Return the answer to any request of a whole path, whatever its status."""
        with working("Asking"), self._translated():
            return self._http.request(method, path, **more)

    def check(self, response: httpx.Response) -> None:
        """Turn an error answer of ``call`` into an error.

        Raises:
            NotAuthenticated, Refused: as the instance says.
        """
        _check(response)

    @contextmanager
    def download(self, path: str) -> Iterator[Iterator[bytes]]:
        """POST and yield the pieces of the answer."""
        with self._translated(), self._http.stream("POST", BASE + path, json={}) as response:
            if response.is_error:
                response.read()
                _check(response)
            yield response.iter_bytes()

    def _result(self, method: str, path: str, **more: Any) -> Any:
        with self._translated():
            response = self._http.request(method, BASE + path, **more)
        _check(response)
        try:
            return response.json()["result"]
        except (ValueError, KeyError, TypeError) as error:
            raise Unreachable(
                f"What answers at {self._url} is no Midspan instance",
                hint="Check --url or MIDSPAN_URL.",
            ) from error

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectError as error:
            if "CERTIFICATE_VERIFY_FAILED" not in str(error):
                raise self._unreachable(error) from error
            raise Unreachable(
                f"The certificate of {self._url} is not trusted",
                detail=str(error),
                hint=f"Name the instance's CA with midspan --ca FILE or {CA}; midspan ca prints"
                " it.",
            ) from error
        except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> Unreachable:
        return Unreachable(
            f"Cannot reach an instance at {self._url}",
            detail=str(error) or type(error).__name__,
            hint="Start one with: midspan serve. Or name another with --url or MIDSPAN_URL.",
        )


def _trust() -> ssl.SSLContext | bool:
    """Return what certificates are checked against.

    Raises:
        InvalidRequest: the file that was named holds no certificate.
    """
    file = os.environ.get(CA)
    if not file:
        return True
    try:
        return ssl.create_default_context(cafile=file)
    except (OSError, ssl.SSLError) as error:
        raise InvalidRequest(
            f"{file} holds no CA certificate", detail=str(error), hint=f"Check --ca or {CA}."
        ) from error


def _password(connection: Connection) -> str:
    given = os.environ.get(PASSWORD)
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise NotAuthenticated(
            f"No password for {connection.user}", hint=f"Set {PASSWORD} in the environment."
        )
    import getpass

    return getpass.getpass(f"Password of {connection.user} at {connection.url}: ")


def _check(response: httpx.Response) -> None:
    """Turn an error answer into an error.

    Raises:
        NotAuthenticated, Refused: as the instance says.
    """
    if not response.is_error:
        return
    try:
        error = response.json()["error"]
        message, detail = str(error["message"]), error.get("detail")
    except (ValueError, KeyError, TypeError, AttributeError):
        message, detail = f"The instance answered {response.status_code}", response.text[:500]
    if response.status_code == 401:
        raise NotAuthenticated(
            "The instance does not accept user and password",
            hint=f"Check --user or MIDSPAN_USER, and {PASSWORD}.",
        )
    hint = None
    if message.startswith("Requested URI does not"):
        hint = "This instance does not offer that; is it older than this command?"
    raise Refused(message, detail=detail, hint=hint)
