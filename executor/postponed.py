"""Parts of py-evm that are loaded when something of them is called.

py-evm loads its precompiles of BLS12-381 with everything else, and with them py_ecc's tables for pairings and for
hashing to curves, which are computed as they are loaded: a third of a second for each command and each worker, most of
which never see such a call (and if they do, it is `executor.bls12_381` that answers it).
"""

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

#: Modules, and the functions that py-evm imports from them.
POSTPONED: Mapping[str, Sequence[str]] = {
    "eth.precompiles.bls12_381": (
        "bls12_g1_add",
        "bls12_g1_msm",
        "bls12_g2_add",
        "bls12_g2_msm",
        "bls12_map_fp2_to_g2",
        "bls12_map_fp_to_g1",
        "bls12_pairing_check",
    )
}


def postpone() -> None:
    """Put something in the place of each of these modules that nobody has loaded."""
    for name, functions in POSTPONED.items():
        if name not in sys.modules:
            sys.modules[name] = _Postponed(name, functions)


def _load(name: str) -> ModuleType:
    """The module itself."""
    if isinstance(sys.modules.get(name), _Postponed):
        sys.modules.pop(name, None)  # another thread may have done so meanwhile
    return import_module(name)


def _call(name: str, function: str, *args: Any, **kwargs: Any) -> Any:
    return getattr(_load(name), function)(*args, **kwargs)


class _Postponed(ModuleType):
    """Stands for a module, which is loaded when one of its functions is called or anything else of it is asked for."""

    def __init__(self, name: str, functions: Sequence[str]) -> None:
        super().__init__(name)
        top, *rest = name.split(".")
        spec = find_spec(top)
        # So that modules in it can be imported.
        self.__path__ = [str(Path(folder, *rest)) for folder in (spec and spec.submodule_search_locations) or ()]
        self.__spec__ = ModuleSpec(name, None, is_package=True)
        vars(self).update({function: partial(_call, name, function) for function in functions})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system looks for these in what it passes
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(_load(self.__name__), name)
