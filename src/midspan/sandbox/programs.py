"""Our own texts as bytecode: compiled once in a worker, then loaded into each new context.

A context needs the bootstrap and the prelude, thousands of lines, and some contexts need more; to
compile them again takes ten times as long. The binding has no call for bytecode, so it is made and
read through the engine's C interface, which the same shared library exports. Bytecode never comes
from outside the process, and texts only from the parent's first message. Where the interface is not
what it was written for, texts are compiled each time, as if this were not here.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence

import _quickjs  # type: ignore[import-not-found, unused-ignore]

from midspan.sandbox.lockdown import let_others_run

_COMPILE_ONLY = 1 << 5
_BYTECODE = 1
_NO_SOURCE = 1 << 4
"""Functions come without their text, a fifth of what is read, and show as native code."""
_OBJECT, _EXCEPTION = -1, 6
_MADE = "__made"
_DELIVERED = b"value"
_WORD = ctypes.sizeof(ctypes.c_void_p)


class _Value(ctypes.Structure):
    _fields_ = (("content", ctypes.c_uint64), ("tag", ctypes.c_int64))


class Programs:
    """The texts that every context begins with, each an expression whose value is a function.

    ``parts`` are further expressions by name, which a context gets when it asks its ``loader``.
    """

    def __init__(self, texts: Sequence[str], parts: Mapping[str, str] | None = None) -> None:
        self._texts: dict[int | str, str] = {
            number: f"{_padding(text)}globalThis.{_MADE} = {text.lstrip(chr(10))}"
            for number, text in enumerate(texts)
        }
        self._texts.update(parts or {})
        self._code: dict[int | str, bytes] = {}
        self._library: ctypes.CDLL | None = None
        try:
            self._library = _declared(ctypes.CDLL(_quickjs.__file__))
        except (AttributeError, OSError):
            return  # another build of the engine
        self._prove()

    def function(self, context: _quickjs.Context, number: int) -> _quickjs.Object:
        """Return the function that text ``number`` makes, in ``context``.

        For a context that no script was in: the value crosses a global name.

        Raises:
            _quickjs.JSException: the text does not compile, or no memory is left.
        """
        if not self.run(_context_in(context), number):
            context.eval(self._texts[number])
        made = context.get(_MADE)
        context.eval(f"delete globalThis.{_MADE}")
        return made

    def loader(self, context: _quickjs.Context) -> Loader:
        """Return what loads the parts into ``context``; it does not hold on to that."""
        return Loader(self, _context_in(context))

    def text(self, name: str) -> str:
        """Return the text of a part.

        Raises:
            ValueError: there is none of the name.
        """
        if name not in self._texts:
            raise ValueError(f"there is no part {name!r}")
        return self._texts[name]

    def _prove(self) -> None:
        known, proof = self._texts, "(function () { return 41 + 1; })"
        self._texts = {0: f"globalThis.{_MADE} = {proof}", "proof": proof}
        try:
            works = [self.function(_quickjs.Context(), 0)() for _ in range(2)] == [42, 42]
            works = works and 0 in self._code and [self._delivers() for _ in range(2)] == [42, 42]
        except _quickjs.JSException:
            works = False
        if not works:
            self._library = None
        self._texts, self._code = known, {}

    def _delivers(self) -> object:
        context = _quickjs.Context()
        target = context.eval(f"globalThis.target = {{ {_DELIVERED.decode()}: null }}")
        loader = self.loader(context)
        loader.deliver_to(target)
        if loader.load("proof"):
            return None
        return context.eval(f"target.{_DELIVERED.decode()}()")

    def run(self, address: int, name: int | str, target: _Value | None = None) -> bool:
        """Run a text from its bytecode; return whether that worked.

        The value of a part goes into the property ``value`` of ``target``.
        """
        library = self._library
        if library is None:
            return False
        code = self._code.get(name)
        if code is None:
            code = self._compile(library, address, self._texts[name].encode())
            if code is None:
                return False
            self._code[name] = code
        function = library.JS_ReadObject(address, code, len(code), _BYTECODE)
        if function.tag == _EXCEPTION:
            return self._failed(library, address)
        let_others_run()  # to read it took half a millisecond
        result = library.JS_EvalFunction(address, function)  # which takes the function
        if result.tag == _EXCEPTION:
            return self._failed(library, address)
        if target is None:
            library.JS_FreeValue(address, result)
        elif library.JS_SetPropertyStr(address, target, _DELIVERED, result) != 1:  # takes it, too
            return self._failed(library, address)
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


class Loader:
    """Loads parts into the context at ``address``, for functions that the context calls.

    What it makes goes into an object that no script can reach, not over a global name, which a
    script may have made its own by now.
    """

    def __init__(self, programs: Programs, address: int) -> None:
        self._programs = programs
        self._address = address
        self._target: _Value | None = None

    def deliver_to(self, target: _quickjs.Object) -> None:
        """Put what is loaded into the property ``value`` of ``target``, which the context keeps."""
        place = id(target) + object.__basicsize__ + _WORD  # the first field is the context
        found = _Value.from_buffer_copy(ctypes.string_at(place, ctypes.sizeof(_Value)))
        self._target = found if found.tag == _OBJECT else None

    def load(self, name: str) -> str:
        """Make a part's value and return ``''``; return its text where that does not work.

        Raises:
            ValueError: there is no part of the name.
        """
        text = self._programs.text(name)
        if self._target is None:
            return text
        return "" if self._programs.run(self._address, name, self._target) else text


def _padding(text: str) -> str:
    """Return the empty lines that ``text`` begins with."""
    return text[: len(text) - len(text.lstrip("\n"))]


def _context_in(context: _quickjs.Context) -> int:
    # The second field behind the object's header; the first is the runtime.
    place = id(context) + object.__basicsize__ + _WORD
    return ctypes.c_void_p.from_address(place).value or 0


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    pointer, size, text = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p
    signatures: dict[str, tuple[object, list[object]]] = {
        "JS_Eval": (_Value, [pointer, text, size, text, ctypes.c_int]),
        "JS_WriteObject": (pointer, [pointer, ctypes.POINTER(size), _Value, ctypes.c_int]),
        "JS_ReadObject": (_Value, [pointer, text, size, ctypes.c_int]),
        "JS_EvalFunction": (_Value, [pointer, _Value]),
        "JS_SetPropertyStr": (ctypes.c_int, [pointer, _Value, text, _Value]),
        "JS_GetException": (_Value, [pointer]),
        "JS_FreeValue": (None, [pointer, _Value]),
        "js_free": (None, [pointer, pointer]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
