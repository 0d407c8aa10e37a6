"""TensorRT without a GPU: the real bindings as the contract for our calls.

The wheel ``tensorrt-cu13-bindings`` holds the real Python module but not NVIDIA's libraries. It
loads over three stubs that export the symbols it looks for; nothing that needs the libraries can
then be made, but every class, enum, method and docstring is there. A :class:`Contract` stands in
for ``import tensorrt``: its objects are autospecs of the real classes, so that an attribute that
is not there raises AttributeError as the real one would, also when it is set; every call is held
to the signatures in the real docstrings (pybind classes have no others), by number, name and type
of the arguments, and raises TypeError; what it returns is a stand-in of the type that it says.

    def test_engine(contract: Contract) -> None:
        contract.answers["ICudaEngine.num_io_tensors"] = 3
        contract.answers["ICudaEngine.get_tensor_name"] = lambda index: NAMES[index]
        run(contract.module)
        assert contract.calls == ["Runtime", "Runtime.deserialize_cuda_engine", ...]
        assert contract.made["IBuilderConfig"][0].builder_optimization_level == 5

``answers`` say what an attribute is or a method returns, a function being called with the
arguments. ``altered(module, old, new)`` is a module of ours with one piece of its text changed: a
test that must fail then, such as with a TensorRT 10 name, shows that the contract holds.
"""

from __future__ import annotations

import ctypes
import inspect
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module, util
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import create_autospec

import pytest

LIBRARIES = ("libnvinfer.so.11", "libnvinfer_plugin.so.11", "libnvonnxparser.so.11")
NEEDS_LIBRARIES = {"Builder", "OnnxParser", "OnnxParserRefitter", "Refitter", "Runtime"}
"""Classes whose making calls into NVIDIA's libraries; all others come from their methods, or are
real: enums, and the interfaces that Python code derives from."""

REAL = "tensorrt_bindings.tensorrt."

TAKEN: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "tuple": lambda value: isinstance(value, tuple),
    "list": lambda value: isinstance(value, list),
    "typing.SupportsInt": lambda value: hasattr(value, "__int__"),
    "typing_extensions.Buffer": lambda value: isinstance(value, bytes | bytearray | memoryview),
    "Dims": lambda value: (
        isinstance(value, tuple | list) and all(isinstance(n, int) for n in value)
    ),
}
"""What pybind takes for the types in its docstrings that are Python's own."""


@dataclass(frozen=True)
class Signature:
    """One overload: types by parameter name, how many have no default, and what is returned."""

    parameters: dict[str, str]
    required: int
    returns: str

    def bind(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any] | None:
        """Return the arguments by parameter name; None if number or names do not fit."""
        given = dict(zip(self.parameters, arguments, strict=False)) | named
        needed = list(self.parameters)[: self.required]
        whole = len(given) == len(arguments) + len(named)
        fits = whole and set(needed) <= given.keys() <= self.parameters.keys()
        return given if fits else None


class Contract:
    """A stand-in for the module ``tensorrt``, in :attr:`module`."""

    def __init__(self, bindings: ModuleType) -> None:
        self.bindings = bindings
        self.answers: dict[str, Any] = {}
        self.calls: list[str] = []
        """``Class`` for each object made, ``Class.method`` for each call, in order."""
        self.made: dict[str, list[Any]] = {}
        self.module = ModuleType("tensorrt")
        for name in dir(bindings):
            self.module.__dict__[name] = getattr(bindings, name)
        for name in NEEDS_LIBRARIES:
            self.module.__dict__[name] = self._maker(getattr(bindings, name))

    def stand_in(self, kind: type) -> Any:
        """An instance of a real class, as a method of the real API would return it."""
        if kind.__name__ == "IHostMemory":
            return HostMemory(self.answers.get("IHostMemory", b"a plan"))
        instance = create_autospec(kind, instance=True, spec_set=True)
        for name in dir(kind):
            path = f"{kind.__name__}.{name}"
            if inspect.isroutine(getattr(kind, name)) and not name.startswith("__"):
                getattr(instance, name).side_effect = self._checked(path, getattr(kind, name))
            elif path in self.answers:
                setattr(instance, name, self.answers[path])
        self.made.setdefault(kind.__name__, []).append(instance)
        return instance

    def _maker(self, kind: type) -> Callable[..., Any]:
        signatures = read_signatures(kind.__init__.__doc__)

        def make(*arguments: Any, **named: Any) -> Any:
            self.calls.append(kind.__name__)
            self._match(kind.__name__, signatures, arguments, named)
            return self.stand_in(kind)

        return make

    def _checked(self, path: str, method: Any) -> Callable[..., Any]:
        signatures = read_signatures(method.__doc__)

        def call(*arguments: Any, **named: Any) -> Any:
            self.calls.append(path)
            signature = self._match(path, signatures, arguments, named)
            if path not in self.answers:
                return self._default(signature.returns)
            answer = self.answers[path]
            return answer(*arguments, **named) if callable(answer) else answer

        return call

    def _match(
        self,
        path: str,
        signatures: list[Signature],
        arguments: tuple[Any, ...],
        named: dict[str, Any],
    ) -> Signature:
        for signature in signatures:
            given = signature.bind(arguments, named)
            if given is not None and all(
                self._is(value, signature.parameters[name]) for name, value in given.items()
            ):
                return signature
        raise TypeError(f"{path} takes {signatures}, not {arguments} {named}")

    def _is(self, value: Any, kind: str) -> bool:
        """Whether pybind would take ``value`` for a parameter of this type."""
        name = kind.removeprefix(REAL)
        if name in TAKEN:
            return TAKEN[name](value)
        real = getattr(self.bindings, name, None)
        return not isinstance(real, type) or isinstance(value, real)

    def _default(self, returns: str) -> Any:
        """What a method returns by default."""
        simple = {"None": None, "bool": True, "int": 0, "str": ""}
        if returns in simple:
            return simple[returns]
        kind = getattr(self.bindings, returns.removeprefix(REAL), None)
        if not isinstance(kind, type):
            return [] if returns.startswith("list") else None
        members = list(getattr(kind, "__members__", {}).values())
        return members[0] if members else self.stand_in(kind)


class HostMemory(bytes):
    """IHostMemory is read through Python's buffer protocol, which an autospec does not have."""

    @property
    def nbytes(self) -> int:
        return len(self)


def read_signatures(docstring: str | None) -> list[Signature]:
    """All overloads that a pybind docstring lists, without ``self``."""
    found = re.findall(r"^(?:\d+\. )?\w+\((self: .*)\) -> (.+)$", docstring or "", re.MULTILINE)
    return [_read_signature(parameters, returns) for parameters, returns in found]


def _read_signature(parameters: str, returns: str) -> Signature:
    # A comma between brackets parts nothing; such brackets nest at most once here.
    parts = re.split(r", (?=\w+: )", parameters)[1:]
    split = [part.partition(": ") for part in parts]
    types = {name: kind.partition(" = ")[0] for name, _, kind in split}
    required = sum(" = " not in part for part in parts)
    return Signature(types, required, returns)


def build_stubs(folder: Path, bindings: Path) -> list[Path]:
    """Shared objects with the names and the symbols that the bindings look for."""
    compiler = shutil.which("gcc") or shutil.which("cc") or shutil.which("clang")
    if compiler is None:
        pytest.fail("the TensorRT contract test builds three stubs: apt-get install gcc")
    listed = subprocess.run(
        ["nm", "-D", "--undefined-only", str(bindings)], check=True, capture_output=True, text=True
    ).stdout
    wanted = re.findall(r" U (\w*(?:Infer|PluginRegistry|NvOnnxParser)\w*)$", listed, re.MULTILINE)
    source = folder / "stubs.c"
    source.write_text("\n".join(f"void *{name}(void) {{ return 0; }}" for name in wanted))
    for name in LIBRARIES:
        flags = ["-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(folder / name)]
        subprocess.run([compiler, *flags, str(source)], check=True)
    return [folder / name for name in LIBRARIES]


def load_bindings(folder: Path) -> ModuleType:
    """Return the real module, with stubs built in ``folder`` if NVIDIA's libraries are absent."""
    if sys.platform != "linux":
        pytest.skip("the bindings' wheel is for Linux")
    found = util.find_spec("tensorrt_bindings")
    if found is None or found.origin is None:
        pytest.fail("the TensorRT contract test needs pip install tensorrt-cu13-bindings")
    if util.find_spec("tensorrt_libs") is None:
        for stub in build_stubs(folder, Path(found.origin).parent / "tensorrt.so"):
            ctypes.CDLL(str(stub), mode=ctypes.RTLD_GLOBAL)
    return import_module("tensorrt_bindings")


def altered(module: ModuleType, old: str, new: str) -> ModuleType:
    """``module`` with every ``old`` in its text replaced; it must be there."""
    assert module.__file__
    text = Path(module.__file__).read_text()
    assert old in text, f"{module.__name__} does not say {old!r} any more"
    other = ModuleType(module.__name__)
    other.__file__ = module.__file__
    exec(compile(text.replace(old, new), module.__file__, "exec"), other.__dict__)
    return other


@pytest.fixture(scope="session")
def tensorrt_bindings(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    return load_bindings(tmp_path_factory.mktemp("tensorrt"))


@pytest.fixture
def contract(tensorrt_bindings: ModuleType) -> Iterator[Contract]:
    yield Contract(tensorrt_bindings)
