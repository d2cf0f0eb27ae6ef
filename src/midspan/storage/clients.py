"""A PostgreSQL database before it is opened as an instance's: dumped, restored, looked at."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from midspan.kernel.errors import Unavailable


def is_unused(url: str) -> bool:
    """Tell whether a database has no tables; nothing is made in it.

    Raises:
        Unavailable: it cannot be reached.
    """
    import psycopg  # noqa: PLC0415 - an instance on SQLite starts without the driver

    sql = "SELECT 1 FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            return connection.execute(sql).fetchone() is None
    except psycopg.OperationalError as error:
        raise Unavailable(
            "Cannot reach the PostgreSQL database",
            detail=str(error),
            hint="Check --database: postgresql://USER:PASSWORD@HOST:PORT/NAME",
        ) from error


def run_client(program: str, arguments: Sequence[str], url: str) -> None:
    """Run ``pg_dump`` or ``pg_restore`` on a database.

    The password travels in the environment: an argument could be read by every user of the machine.

    Raises:
        Unavailable: the program is missing or failed; the detail is what it said.
    """
    from psycopg.conninfo import conninfo_to_dict, make_conninfo  # noqa: PLC0415 - as above

    parts = conninfo_to_dict(url)
    environment = dict(os.environ)
    password = parts.pop("password", None)
    if password is not None:
        environment["PGPASSWORD"] = str(password)
    where = make_conninfo("", **parts)
    command = [program, *arguments, f"--dbname={where}"]
    try:
        subprocess.run(  # noqa: S603 - a fixed program, the database is the operator's own
            command, check=True, capture_output=True, text=True, env=environment
        )
    except FileNotFoundError as error:
        raise Unavailable(
            f"{program} is not installed", hint="Install the PostgreSQL client programs."
        ) from error
    except subprocess.CalledProcessError as error:
        said = str(error.stderr).strip()
        hint = None
        if "server version" in said:
            hint = f"Put the {program} of the server's release before others in PATH."
        raise Unavailable(f"{program} failed", detail=said, hint=hint) from error
