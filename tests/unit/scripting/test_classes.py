"""What the cases as data cannot show: impersonation, keys of certificates, loading, host calls."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509 import load_pem_x509_certificate
from cryptography.x509.oid import NameOID

from midspan.attachments import NewFile
from midspan.instance import Instance
from midspan.records import RIGHTS, insert
from midspan.sandbox import JsonValue, Limits, Script, ScriptError
from midspan.scripting import PerWrite, ScriptRunner
from midspan.security import SYSTEM, Actor

Run = Callable[[str], JsonValue]
ADA, BOB, ROOT = ("c" * 31 + letter for letter in "123")


@pytest.fixture(scope="module", autouse=True)
def users(instance: Instance) -> None:
    """Ada may impersonate, Bob is nobody special, Root is an administrator."""
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        role = transaction.apply(insert("sys_user_role", {"name": "impersonator"})).sys_id
        admin = transaction.first("sys_user_role", "name=admin")
        assert admin is not None
        for sys_id, name in ((ADA, "ada"), (BOB, "bob"), (ROOT, "root")):
            transaction.apply(insert("sys_user", {"user_name": name, "name": name}, sys_id=sys_id))
        for user, held in ((ADA, role), (ROOT, admin.sys_id)):
            transaction.apply(insert("sys_user_has_role", {"user": user, "role": held}))


def act_as(instance: Instance, sys_id: str) -> Actor:
    return instance.identities.actor(sys_id, instance.holder.current().part(RIGHTS))


def run_as(instance: Instance, runner: ScriptRunner, sys_id: str, text: str) -> JsonValue:
    unit = PerWrite(instance.records, act_as(instance, sys_id))
    return runner.run(Script("test", text), unit=unit)


def test_an_impersonator_acts_as_another_and_comes_back(
    instance: Instance, runner: ScriptRunner
) -> None:
    text = f"""
        var i = new GlideImpersonate(), out = [i.canImpersonate('{BOB}')];
        out.push(i.canImpersonate('{ROOT}'));
        out.push(i.impersonate('{BOB}'), gs.getUserName(), gs.getSession().isImpersonating());
        var gr = new GlideRecord('sys_user_preference'); gr.name = 'x.who'; gr.insert();
        out.push(gr.getValue('sys_created_by'), i.canImpersonate('{ADA}'));
        out.push(i.impersonate('{ADA}'), gs.getUserName(), gs.getSession().isImpersonating());
        out
    """
    found = run_as(instance, runner, ADA, text)
    assert found == [True, False, ADA, "bob", True, "bob", False, BOB, "ada", False]


def test_a_script_learns_who_acts_as_the_user_of_the_session(
    instance: Instance, runner: ScriptRunner
) -> None:
    text = f"""
        function who() {{
            return [gs.getUserName(), gs.getImpersonatingUserName(), gs.getImpersonatingUserID()];
        }}
        var out = [who()], i = new GlideImpersonate();
        i.impersonate('{BOB}'); out.push(who(), i.isImpersonating());
        i.impersonate('{ADA}'); out.push(who(), i.isImpersonating());
        out
    """
    alone = ["ada", None, None]
    found = run_as(instance, runner, ADA, text)
    assert found == [alone, ["bob", "ada", ADA], True, alone, False]


@pytest.mark.parametrize(("who", "target"), [(BOB, ADA), (ADA, ROOT), (ADA, "no such user")])
def test_nobody_becomes_more_than_he_may(
    instance: Instance, runner: ScriptRunner, who: str, target: str
) -> None:
    with pytest.raises(ScriptError, match="cannot impersonate"):
        run_as(instance, runner, who, f"new GlideImpersonate().impersonate('{target}')")


def test_an_administrator_may_become_anybody(instance: Instance, runner: ScriptRunner) -> None:
    text = f"new GlideImpersonate().impersonate('{ADA}'); [gs.getUserName(), gs.hasRole('admin')]"
    assert run_as(instance, runner, ROOT, text) == ["ada", False]


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate(instance: Instance, key: rsa.RSAPrivateKey, pem: str) -> str:
    """Store a certificate record with a key file; return its id."""
    sealed = serialization.BestAvailableEncryption(b"open sesame")
    file = pkcs12.serialize_key_and_certificates(b"k", key, None, None, sealed)
    with instance.records.write(SYSTEM, enforce=False) as transaction:
        values = {"name": "partner", "pem_certificate": pem}
        sys_id = transaction.apply(insert("sys_certificate", values)).sys_id
        new = NewFile(table="sys_certificate", record=sys_id, name="key.p12")
        instance.attachments.add(transaction, new, file)
    return sys_id


@pytest.fixture(scope="module")
def pem(key: rsa.RSAPrivateKey) -> str:
    """Return a certificate of the key by itself."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "partner")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(7)
    built = built.not_valid_before(start).not_valid_after(start + timedelta(days=3650))
    signed = built.public_key(key.public_key()).sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def test_a_text_is_signed_with_the_attached_key(
    instance: Instance, run: Run, key: rsa.RSAPrivateKey, pem: str
) -> None:
    sys_id = certificate(instance, key, pem)
    call = f"CertificateEncryption.sign('{sys_id}', 'k', 'open sesame', 'SHA256withRSA', 'text')"
    signature = base64.b64decode(str(run(call)))
    key.public_key().verify(signature, b"text", padding.PKCS1v15(), hashes.SHA256())
    for wrong, message in (
        (call.replace("open sesame", "guess"), "does not open"),
        (call.replace("withRSA", "withECDSA"), "cannot sign with SHA256withECDSA"),
        (call.replace("SHA256", "SHA3"), "no algorithm 'sha3'"),
    ):
        with pytest.raises(ScriptError, match=message):
            run(wrong)
    known = load_pem_x509_certificate(pem.encode()).fingerprint(hashes.SHA1())  # noqa: S303
    print_of = f"CertificateEncryption.getThumbPrint('{sys_id}', 'SHA-1')"
    assert run(print_of) == base64.b64encode(known).decode()


def test_a_class_is_loaded_when_it_is_named_and_only_then(run: Run) -> None:
    how = "typeof Object.getOwnPropertyDescriptor(globalThis, 'Glide' + '%s').get"
    assert run(f"gs.nil(''); {how % 'DateTime'}") == "function"
    text = f"""new GlideTime(0).getValue(); var kept = GlideTime;
        [{how % "Time"}, {how % "DateTime"}, {how % "User"}, kept === GlideTime,
        new GlideDateTime('2026-01-01').getValue(), {how % "DateTime"}]"""
    loaded, waits = "undefined", "function"
    assert run(text) == [loaded, waits, waits, True, "2026-01-01 00:00:00", loaded]


def test_a_script_gets_at_nothing_of_a_class_that_loads(run: Run) -> None:
    text = """
        var seen = [];
        function trap(object, name) {
            Object.defineProperty(object, name, {
                get: function () { seen.push('get ' + name); },
                set: function (value) { seen.push('set ' + name, value); },
            });
        }
        trap(globalThis, 'value');
        ['made', '__made', 'loaded', 'shared', 'part'].forEach(function (name) {
            trap(Object.prototype, name); trap(globalThis, name);
        });
        var shown = new GlideDateTime('2026-01-01').getValue();
        [shown, seen.length, String(GlideDateTime).indexOf('[native code]') > 0]
    """
    assert run(text) == ["2026-01-01 00:00:00", 0, True]


def test_a_class_loads_into_a_scope_that_is_frozen(run: Run) -> None:
    text = "Object.freeze(globalThis); new GlideDateTime('2026-01-01').getValue()"
    assert run(text) == "2026-01-01 00:00:00"


def test_every_class_loads(run: Run) -> None:
    """Those that wait behind a getter; names in lower case are the records of rules and maps.

    Names with ``g_`` are what a processor is given; without a request there is nothing behind.
    """
    waiting = """Object.getOwnPropertyNames(globalThis).filter(function (name) {
        const found = Object.getOwnPropertyDescriptor(globalThis, name);
        return found.get !== undefined && /^[A-Z]|_/.test(name) && !name.startsWith("g_");
    })"""
    names = run(waiting)
    assert isinstance(names, list)
    assert {"GlideDateTime", "XMLDocument2", "sn_cc", "GlideUser", "ArrayUtil"} <= {
        *map(str, names)
    }
    found = run(f"{waiting}.map(function (name) {{ return typeof globalThis[name]; }})")
    assert found == ["object" if str(name).islower() else "function" for name in names]


def test_a_class_loads_although_the_script_changed_what_it_is_made_with(run: Run) -> None:
    text = """
        var kept = [Object.create, Object.defineProperty, Math.floor, Map, RegExp], seen = [];
        function taken() { seen.push(arguments); throw new Error('taken'); }
        Object.create = Object.defineProperty = Math.floor = taken; Map = WeakMap = taken;
        var g = new GlideDateTime('2026-01-31 08:00:00'); g.addMonthsLocalTime(1);
        var x = new XMLDocument2(); x.parseXML('<a><b>t</b></a>');
        [g.getDisplayValue(), x.getNodeText('//b'), gs.getUser().getFullName(), seen.length]
    """
    assert run(text) == ["2026-02-28 08:00:00", "t", "System", 0]


def test_ten_thousand_dates_need_one_question_for_the_zone(
    instance: Instance, runner: ScriptRunner
) -> None:
    """Host calls are what makes a loop slow, so they are counted: class, session, zone."""
    actor = Actor(sys_id="d" * 32, user_name="berlin", time_zone="Europe/Berlin")
    text = """
        var g = new GlideDateTime('2011-08-31 08:00:00');
        for (var i = 0; i < 10000; i++) { g.addDaysLocalTime(1); g.getDisplayValue(); }
        '' + g
    """
    limits = Limits(wall=timedelta(seconds=120), cpu=timedelta(seconds=120), host_calls=3)
    unit = PerWrite(instance.records, actor)
    found = runner.run(Script("dates", text), unit=unit, limits=limits)
    assert found == "2039-01-16 09:00:00"


def test_sleep_waits_outside_of_transactions(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "midspan.script")
    assert run("gs.sleep(1); gs.sleep(-5); gs.sleep('x'); 1") == 1
    assert caplog.records == []


def test_methods_of_gs_that_few_use_are_there_before_the_first_use(run: Run) -> None:
    text = """[typeof gs.endOfToday, 'tableDrop' in gs, 'noSuch' in gs, typeof gs.noSuch,
        Object.getOwnPropertyNames(Object.getPrototypeOf(gs)).includes('daysAgo'), gs + '']"""
    assert run(text) == ["function", True, False, "undefined", True, "[object Object]"]


def test_a_script_may_put_its_own_method_in_the_place_of_one_of_gs(run: Run) -> None:
    assert run("gs.endOfToday = function () { return 'mine'; }; gs.endOfToday()") == "mine"
