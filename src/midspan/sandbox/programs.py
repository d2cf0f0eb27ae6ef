"""Our own texts as bytecode: compiled once in a worker, then loaded into each new context.

A context needs the bootstrap and the prelude, thousands of lines; to compile them again takes most
of the time in which it is built. The binding has no call for bytecode, so it is made and read
through the engine's C interface, which the same shared library exports. Bytecode never comes from
outside the process. Where the interface is not what it was written for, texts are compiled each
time, as if this were not here.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import _quickjs  # type: ignore[import-not-found, unused-ignore]

from midspan.sandbox.lockdown import let_others_run

_COMPILE_ONLY = 1 << 5
_BYTECODE = 1
_NO_SOURCE = 1 << 4
"""Functions come without their text, a fifth of what is read, and show as native code."""
_EXCEPTION = 6
_MADE = "__made"


class _Value(ctypes.Structure):
    _fields_ = (("content", ctypes.c_uint64), ("tag", ctypes.c_int64))


class Programs:
    """The texts that every context begins with; each is an expression whose value is a function."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = [
            f"{_padding(text)}globalThis.{_MADE} = {text.lstrip(chr(10))}" for text in texts
        ]
        self._code: dict[int, bytes] = {}
        self._library: ctypes.CDLL | None = None
        try:
            self._library = _declared(ctypes.CDLL(_quickjs.__file__))
        except (AttributeError, OSError):
            return  # another build of the engine
        self._prove()

    def function(self, context: _quickjs.Context, number: int) -> _quickjs.Object:
        """Return the function that text ``number`` makes, in ``context``.

        Raises:
            _quickjs.JSException: the text does not compile, or no memory is left.
        """
        if not self._load(context, number):
            context.eval(self._texts[number])
        made = context.get(_MADE)
        context.eval(f"delete globalThis.{_MADE}")
        return made

    def _prove(self) -> None:
        known, self._texts = (
            self._texts,
            [f"globalThis.{_MADE} = (function () {{ return 41 + 1; }})"],
        )
        try:
            works = [self.function(_quickjs.Context(), 0)() for _ in range(2)] == [42, 42]
        except _quickjs.JSException:
            works = False
        if not works or 0 not in self._code:
            self._library = None
        self._texts, self._code = known, {}

    def _load(self, context: _quickjs.Context, number: int) -> bool:
        """Run a text from its bytecode; return whether that worked."""
        library = self._library
        if library is None:
            return False
        address = _address(context)
        code = self._code.get(number)
        if code is None:
            code = self._compile(library, address, self._texts[number].encode())
            if code is None:
                return False
            self._code[number] = code
        function = library.JS_ReadObject(address, code, len(code), _BYTECODE)
        if function.tag == _EXCEPTION:
            return self._failed(library, address)
        let_others_run()  # to read it took half a millisecond
        result = library.JS_EvalFunction(address, function)  # which takes the function
        if result.tag == _EXCEPTION:
            return self._failed(library, address)
        library.JS_FreeValue(address, result)
        return True

    def _compile(self, library: ctypes.CDLL, address: int, text: bytes) -> bytes | None:
        compiled = library.JS_Eval(address, text, len(text), b"<input>", _COMPILE_ONLY)
        if compiled.tag == _EXCEPTION:
            self._failed(library, address)
            return None
        size = ctypes.c_size_t()
        written = library.JS_WriteObject(
            address, ctypes.byref(size), compiled, _BYTECODE | _NO_SOURCE
        )
        library.JS_FreeValue(address, compiled)
        if not written:
            self._failed(library, address)
            return None
        code = ctypes.string_at(written, size.value)
        library.js_free(address, written)
        return code

    def _failed(self, library: ctypes.CDLL, address: int) -> bool:
        library.JS_FreeValue(address, library.JS_GetException(address))
        return False


def _padding(text: str) -> str:
    """Return the empty lines that ``text`` begins with."""
    return text[: len(text) - len(text.lstrip("\n"))]


def _address(context: _quickjs.Context) -> int:
    # The second field behind the object's header; the first is the runtime.
    place = id(context) + object.__basicsize__ + ctypes.sizeof(ctypes.c_void_p)
    return ctypes.c_void_p.from_address(place).value or 0


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    signatures: dict[str, tuple[object, list[object]]] = {
        "JS_Eval": (_Value, [pointer, ctypes.c_char_p, size, ctypes.c_char_p, ctypes.c_int]),
        "JS_WriteObject": (pointer, [pointer, ctypes.POINTER(size), _Value, ctypes.c_int]),
        "JS_ReadObject": (_Value, [pointer, ctypes.c_char_p, size, ctypes.c_int]),
        "JS_EvalFunction": (_Value, [pointer, _Value]),
        "JS_GetException": (_Value, [pointer]),
        "JS_FreeValue": (None, [pointer, _Value]),
        "js_free": (None, [pointer, pointer]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
