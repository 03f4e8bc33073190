"""What of py-evm is loaded late: nobody notices but the clock."""

import subprocess
import sys
from importlib import import_module

import pytest

from executor.postponed import POSTPONED


def run(program: str) -> str:
    """What a program prints in an interpreter of its own, where nothing has been loaded."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_executing_does_not_load_pairings_of_bls12_381() -> None:
    program = "import executor.execute, executor.fixtures, sys; print([m for m in sys.modules if 'bls12_381' in m])"
    assert run(program) == str(list(POSTPONED))


@pytest.mark.parametrize("name", POSTPONED)
def test_everything_that_is_imported_from_it_is_there(name: str) -> None:
    module = import_module(name)
    for function in POSTPONED[name]:
        assert callable(getattr(module, function))


def test_a_call_loads_what_it_calls() -> None:
    program = """
import executor
import sys
from eth.vm.forks.prague.computation import PRAGUE_PRECOMPILES
from eth.exceptions import VMError
from types import SimpleNamespace

name = "eth.precompiles.bls12_381"
before = sys.modules[name]
try:
    PRAGUE_PRECOMPILES[b"\\x0b".rjust(20, b"\\0")](SimpleNamespace(msg=SimpleNamespace(data_as_bytes=b"")))
except (VMError, AttributeError) as error:
    print(type(error).__module__, sys.modules[name] is before, hasattr(sys.modules[name], "bls12_381_g2"))
"""
    assert run(program).endswith("False True")


@pytest.mark.parametrize(
    "statement",
    [
        "from eth.precompiles.bls12_381.constants import BLS12_G1_ADD_GAS as found",
        "import eth.precompiles.bls12_381.constants as constants; found = constants.BLS12_G1_ADD_GAS",
        "from eth.precompiles.bls12_381 import bls12_381_g1; found = bls12_381_g1.BLS12_G1_ADD_GAS",
        "import executor.execute; from executor import bls12_381; found = bls12_381.BLS12_G1_ADD_GAS",
    ],
)
def test_its_modules_can_be_imported_in_any_order(statement: str) -> None:
    assert run(f"import executor; {statement}; print(found)") == "375"


def test_what_stands_for_a_function_can_be_sent_to_another_process() -> None:
    program = """
import executor, pickle
from eth.vm.forks.prague.computation import PRAGUE_PRECOMPILES as known
print(pickle.loads(pickle.dumps(known)).keys() == known.keys())
"""
    assert run(program) == "True"


def test_its_place_can_be_looked_up() -> None:
    program = (
        "import executor; from importlib.util import find_spec; print(find_spec('eth.precompiles.bls12_381').name)"
    )
    assert run(program) == "eth.precompiles.bls12_381"
