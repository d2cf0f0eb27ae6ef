"""``/api/midspan/v1``: what the command line asks a running instance; for administrators.

Answers are ``{"result": …}`` like those of the other surfaces, errors as everywhere.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import IO, Any, BinaryIO, cast

import msgspec
import orjson
from msgspec import Struct

from midspan.api.admindescription import administration
from midspan.api.app import in_thread
from midspan.api.backup import BackupSource, backup_pieces, noted
from midspan.api.checks import Examined
from midspan.api.deployment import deploy, summary
from midspan.api.doctor import examine
from midspan.api.errors import BodyTooLarge
from midspan.api.exporting import export_app, export_records
from midspan.api.memoryfolder import memory_folder
from midspan.api.request import Request
from midspan.api.response import Response, json_response
from midspan.api.router import Role, Route
from midspan.api.setup import ADMIN, LIFETIME, setup_path
from midspan.apps.installer import Difference
from midspan.dictionary import Dictionary, Table
from midspan.dictionary.values import datetime_text
from midspan.formats import lenient_json
from midspan.importsets import ImportRun, ImportRunner
from midspan.kernel.errors import (
    InvalidDefinition,
    InvalidField,
    InvalidRequest,
    MalformedBody,
    NotFound,
    RecordNotFound,
    did_you_mean,
)
from midspan.records import RecordStore, RecordTransaction, insert
from midspan.security import SYSTEM

BASE = "/api/midspan/v1"
LARGEST_FILES = 25 * 1024 * 1024
LARGEST_UPLOAD = 2 * 1024**3
IN_MEMORY = 1024 * 1024
MOST_ERRORS = 1_000
_USER_KEYS = frozenset({"roles", "password"})


class AdminParts(Struct, frozen=True, kw_only=True):
    """What these routes work with beyond ``ApiParts``."""

    records: RecordStore
    imports: ImportRunner
    backup: BackupSource
    examined: Examined


def admin_routes(parts: AdminParts) -> tuple[Route, ...]:
    """Return the routes; all are for the role admin, imports for import_admin, too."""
    surface = _Admin(parts)
    admin = Role("admin")
    importer = Role("import_admin")
    described = administration()

    def route(name: str, method: str, path: str, handler: Callable[..., Any], **more: Any) -> Route:
        return Route(
            description=described[name],
            name=f"admin.{name}",
            methods=(method,),
            path=BASE + path,
            handler=handler,
            access=more.pop("access", admin),
            **more,
        )

    return (
        route("apply", "POST", "/apply", surface.apply, max_body=LARGEST_FILES),
        route("export", "GET", "/export", surface.export),
        route(
            "import", "POST", "/import/{source}", surface.load, access=importer, stream_body=True
        ),
        route("import_run", "GET", "/imports/{run}", surface.import_run, access=importer),
        route("add_user", "POST", "/users", surface.add_user),
        route("token", "POST", "/tokens", surface.token),
        route("backup", "POST", "/backup", surface.backup),
        route("doctor", "GET", "/doctor", surface.doctor),
        route("tables", "GET", "/tables", surface.tables),
        route("table", "GET", "/tables/{name}", surface.table),
    )


class _Admin:
    """The handlers."""

    def __init__(self, parts: AdminParts) -> None:
        self._parts = parts
        self._records = parts.records

    def apply(self, request: Request) -> Response:
        """Install the files of an app, or show what that would do."""
        body = _object(request, ("files", "dry_run"))
        folder = memory_folder(body.get("files"), "the app")
        dry_run = body.get("dry_run") is True
        app, done = deploy(self._records, request.actor, folder, dry_run=dry_run)
        dictionary = self._records.holder.current().dictionary
        return _result(
            {
                "app": app.app.name,
                "version": app.app.version,
                "dry_run": dry_run,
                "summary": summary(done),
                "differences": [_difference(each, dictionary) for each in done],
            }
        )

    def export(self, request: Request) -> Response:
        """Return files by path: of an app, or one with the records of a table."""
        app, table = request.parameter("app"), request.parameter("table")
        if bool(app) == bool(table):
            raise InvalidRequest("Name either an app or a table", hint="?app=NAME or ?table=NAME")
        if app:
            return _result({"files": export_app(self._records, request.actor, app)})
        query = request.parameter("query")
        _known_table(self._records.holder.current().dictionary, table)
        return _result({"files": export_records(self._records, request.actor, table, query)})

    async def load(self, request: Request) -> Response:
        """Import the CSV file in the body through a data source."""
        await in_thread(self._parts.imports.source, request.arguments["source"])
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as file:
            await _receive(request, cast(IO[bytes], file))
            runs = await in_thread(
                self._parts.imports.import_csv,
                cast(BinaryIO, file),
                request.arguments["source"],
                actor=request.actor,
            )
        return await in_thread(self._answer_runs, runs)

    def import_run(self, request: Request) -> Response:
        """Return the totals and errors of one run."""
        run = request.arguments["run"]
        with self._records.read(request.actor) as transaction:
            row = transaction.get("sys_import_set_run", run)
            if row is None:
                raise RecordNotFound("sys_import_set_run", run)
            names = ("total", "inserts", "updates", "ignored", "skipped", "errors")
            totals = {name: int(row.get(name) or 0) for name in names}
            found = {"sys_id": run, "state": row.get("state"), "totals": totals}
            return _result({**found, "errors": _errors(transaction, run)})

    def add_user(self, request: Request) -> Response:
        """Add a user with roles; the password is never answered."""
        body = _object(request)
        roles = body.get("roles", [])
        values = {name: value for name, value in body.items() if name not in _USER_KEYS}
        if not values.get("user_name") or not all(isinstance(v, str) for v in values.values()):
            raise InvalidRequest("A user needs a user_name, and every field is a text")
        if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
            raise InvalidRequest("roles has to be a list of names")
        if body.get("password"):
            values["user_password"] = body["password"]
        with self._records.write(request.actor) as transaction:
            fields = transaction.dictionary.table("sys_user").fields
            for name in values:
                if name not in fields:
                    raise InvalidField("sys_user", name, fields)
            ids = [_role(transaction, name) for name in roles]
            if transaction.find("sys_user", f"user_name={values['user_name']}"):
                raise InvalidRequest(f"There is a user {values['user_name']} already")
            user = transaction.apply(insert("sys_user", values)).sys_id
            for role in ids:
                grant = {"user": user, "role": role, "state": "active"}
                transaction.apply(insert("sys_user_has_role", grant))
        added = {"sys_id": user, "user_name": values["user_name"], "roles": roles}
        return _result(added, 201)

    def token(self, request: Request) -> Response:
        """Make a new set-up link for the administrator; shown once, links before stop working."""
        body = _object(request, ("purpose",))
        if body.get("purpose") != "setup":
            raise InvalidRequest(
                f"There are no tokens for {body.get('purpose')!r}",
                hint="The only purpose is 'setup': a link that sets the password of admin.",
            )
        path = setup_path(self._records, request.parts.clock, request.parts.ids)
        expires = datetime_text(request.parts.clock.now() + LIFETIME)
        made = {"purpose": "setup", "user": ADMIN, "url": request.base_url + path}
        return _result({**made, "expires": expires}, 201)

    def backup(self, request: Request) -> Response:
        """Send everything but the master key as one file."""
        now = request.parts.clock.now()
        pieces = noted(backup_pieces(self._parts.backup, now), self._records)
        first = next(pieces)
        name = f"midspan-{now:%Y%m%d-%H%M%S}.tar.zst"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(200, _streamed(first, pieces), "application/zstd", headers)

    def doctor(self, request: Request) -> Response:
        """Return the checks in their order."""
        return _result([msgspec.to_builtins(check) for check in examine(self._parts.examined)])

    def tables(self, request: Request) -> Response:
        """Return all tables by name."""
        dictionary = self._records.holder.current().dictionary
        return _result(
            [
                {"name": name, "label": table.label, "extends": table.parent or ""}
                for name, table in sorted(dictionary.tables.items())
            ]
        )

    def table(self, request: Request) -> Response:
        """Return one table with its fields."""
        dictionary = self._records.holder.current().dictionary
        table = _known_table(dictionary, request.arguments["name"])
        fields = [
            {
                "name": name,
                "label": field.label,
                "type": field.type,
                "reference": field.reference or "",
                "mandatory": field.mandatory,
                "choices": {choice.value: choice.label for choice in field.choices},
            }
            for name, field in table.fields.items()
        ]
        about = {"name": table.name, "label": table.label, "extends": table.parent or ""}
        return _result({**about, "fields": fields})

    def _answer_runs(self, runs: list[ImportRun]) -> Response:
        with self._records.read(SYSTEM) as transaction:
            found = [
                {
                    "sys_id": run.sys_id,
                    "import_set": run.import_set,
                    "map": run.map,
                    "state": run.state,
                    "totals": {"total": run.totals.total, **msgspec.to_builtins(run.totals)},
                    "errors": _errors(transaction, run.sys_id),
                }
                for run in runs
            ]
        return _result({"runs": found})


def _result(value: object, status: int = 200) -> Response:
    return json_response({"result": value}, status)


def _object(request: Request, known: tuple[str, ...] = ()) -> dict[str, Any]:
    try:
        body = lenient_json.loads(request.body or b"{}")
    except orjson.JSONDecodeError as error:
        raise MalformedBody("The body is not JSON", detail=str(error)) from error
    if not isinstance(body, dict):
        raise MalformedBody("Expected a JSON object")
    wrong = next((name for name in body if known and name not in known), None)
    if wrong is not None:
        raise InvalidRequest(
            f"Unknown member {wrong[:80]!r}",
            hint=did_you_mean(wrong, known) or f"Known: {', '.join(known)}.",
        )
    return body


def _known_table(dictionary: Dictionary, name: str) -> Table:
    """Return a table; the command line shows the nearest name, which the vendor's error hides."""
    if name not in dictionary:
        raise NotFound(
            f"There is no table {name}",
            hint=did_you_mean(name, dictionary.tables) or "List them: midspan tables",
        )
    return dictionary.table(name)


def _difference(difference: Difference, dictionary: Dictionary) -> dict[str, object]:
    known = difference.table in dictionary
    fields = dictionary.table(difference.table).fields if known else {}
    shown: Mapping[str, tuple[str, str]] = {
        name: ("***", "***") if name in fields and fields[name].kind.secret else change
        for name, change in difference.fields.items()
    }
    return {**msgspec.to_builtins(difference), "fields": shown}


async def _receive(request: Request, file: IO[bytes]) -> None:
    if request.stream is None:
        raise InvalidDefinition("This route has to stream its body")
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > LARGEST_UPLOAD:
            raise BodyTooLarge(size, LARGEST_UPLOAD)
        await in_thread(file.write, piece)
    if not size:
        raise InvalidRequest("The body is empty", hint="Send the CSV file as the body.")
    file.seek(0)


def _errors(transaction: RecordTransaction, run: str) -> list[dict[str, object]]:
    """Return the first thousand refused rows of a run in the order of the source."""
    query = f"import_set_run={run}^ORDERBYrow"
    return [
        {"row": int(row.get("row") or 0), "reason": row.get("error_message")}
        for row in transaction.find("sys_import_set_row_error", query, limit=MOST_ERRORS)
    ]


def _role(transaction: RecordTransaction, name: str) -> str:
    found = transaction.first("sys_user_role", f"name={name}")
    if found is None:
        known = [role.get("name") for role in transaction.find("sys_user_role", "")]
        raise NotFound(f"There is no role {name}", hint=did_you_mean(name, known))
    return found.sys_id


async def _streamed(first: bytes, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    while piece := await in_thread(next, pieces, b""):
        yield piece
