"""Gives an instance that nobody used yet what seed files say, all of it or nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from midspan.api.deployment import KnownKeys, builtin_keys, install_app
from midspan.api.setup import setup_needed
from midspan.apps.definition import RecordDefinition
from midspan.apps.installer import located
from midspan.apps.seed import Secret, Seed, Values, seed_app, seed_digest
from midspan.dictionary import Dictionary
from midspan.kernel.errors import (
    Conflict,
    InvalidDefinition,
    MidspanError,
    did_you_mean,
)
from midspan.records import PROPERTIES, RecordStore, RecordTransaction, insert, update
from midspan.security import SYSTEM

SEEDED = "midspan.seed.applied"
"""System property: which seeds the instance began with."""

log = logging.getLogger(__name__)


def apply_seeds(records: RecordStore, seeds: Sequence[Seed], values: Values) -> bool:
    """Apply seeds in their order and in one transaction; tell whether that was done.

    An instance that began with seeds is left as it is.

    Raises:
        InvalidDefinition: names file and line of what is wrong; nothing was written.
        Conflict: the instance was used before and never seeded.
    """
    wanted = seed_digest(seeds)
    before = records.holder.current().part(PROPERTIES).get(SEEDED)
    if before is not None:
        if before != wanted:
            log.warning("the seeds are not those of the first start; they are not applied again")
        return False
    if not setup_needed(records):
        raise Conflict(
            "This instance was used before, and a seed is for an instance that begins",
            hint="Leave --seed out, name a new directory with --data, or install an app folder"
            " with: midspan apply",
        )
    named = builtin_keys()
    with records.write(SYSTEM, enforce=False) as transaction:
        keys = KnownKeys(named, transaction)
        for seed in seeds:
            app, secrets = seed_app(seed, keys, values)
            own = {spec.name: {field.name for field in spec.fields} for spec in app.tables}
            _check_columns(app.columns, transaction.dictionary, own)
            install_app(transaction, app, locate=True)
            for secret in secrets:
                _write(transaction, secret)
        note = {"name": SEEDED, "value": wanted, "type": "string"}
        transaction.apply(insert("sys_properties", note))
    return True


def _check_columns(
    columns: Sequence[RecordDefinition], dictionary: Dictionary, own: dict[str, set[str]]
) -> None:
    """Refuse columns of tables, and choices of columns, that there are not."""
    added: set[tuple[str, str]] = set()
    for each in columns:
        table, name = each.values["name"], each.values["element"]
        if table in own:
            raise InvalidDefinition(
                f"{each.file}: {table} is a table of this seed",
                hint=f"Describe {name} among its fields.",
            )
        if table not in dictionary:
            raise InvalidDefinition(
                f"{each.file}: there is no table {table}",
                hint=did_you_mean(table, dictionary.tables),
            )
        fields = dictionary.table(table).fields
        if each.table == "sys_dictionary":
            if name in fields:
                raise InvalidDefinition(
                    f"{each.file}: {table} has a column {name} already",
                    hint="Give it another name, or only add to its choices.",
                )
            added.add((table, name))
        elif name not in fields and (table, name) not in added:
            raise InvalidDefinition(
                f"{each.file}: {table} has no column {name}", hint=did_you_mean(name, fields)
            )


def _write(transaction: RecordTransaction, secret: Secret) -> None:
    fields = transaction.dictionary.table(secret.table).fields
    if secret.field not in fields:
        raise InvalidDefinition(
            f"{secret.place}: {secret.table} has no field {secret.field}",
            hint=did_you_mean(secret.field, fields),
        )
    try:
        transaction.apply(update(secret.table, secret.sys_id, {secret.field: secret.text}))
    except MidspanError as error:
        raise located(error, secret.place) from error
