"""The built-in apps in a real database: installed once, the same afterwards."""

from __future__ import annotations

from midspan.apps.bootstrap import upgrade
from midspan.apps.installer import Installer, installable
from midspan.apps.load import builtin_apps
from midspan.security import SYSTEM
from midspan.testing import open_instance


def test_installing_again_changes_nothing() -> None:
    apps = builtin_apps()
    specs = [spec for app in apps for spec in app.tables]
    with open_instance() as instance:
        assert upgrade(instance.records, apps) == []
        with instance.records.write(SYSTEM, enforce=False) as records:
            for app in apps:
                found = Installer(records, app).differences(installable(app, specs))
                assert found
                assert {difference.kind for difference in found} == {"same"}


def test_what_clients_look_up_first_is_there() -> None:
    with open_instance() as instance, instance.records.write(SYSTEM, enforce=False) as records:
        (kind,) = records.find("sys_glide_object", "name=integer")
        assert kind.get("sys_id") == "integer"
        element = "name=incident^element=impact^ORelement=caller_id"
        assert [row.get("element") for row in records.find("sys_dictionary", element)] == [
            "caller_id"
        ]
        (table,) = records.find("sys_db_object", "name=incident")
        (parent,) = records.find("sys_db_object", "name=task")
        assert table.get("super_class") == parent.get("sys_id")
        states = records.find("sys_choice", "name=incident^element=state^language=en")
        assert {row.get("label") for row in states} >= {"New", "In Progress", "Resolved"}
        admins = records.find("sys_user_has_role", "user.user_name=admin^role.name=admin")
        assert len(admins) == 1
