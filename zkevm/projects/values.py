"""Arguments of constructors and functions: from what a plan has to the ABI's encoding, and back from what comes out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import EncodingError, ParseError
from eth_abi.grammar import normalize, parse
from eth_utils.crypto import keccak

from executor.json_values import parse_data
from zkevm.projects.plan import UNITS, parse_amount

#: Errors that Solidity has by itself.
_ERROR, _PANIC = keccak(text="Error(string)")[:4], keccak(text="Panic(uint256)")[:4]

_PANICS = {
    0x01: "an assertion fails",
    0x11: "arithmetic leaves the range of its type",
    0x12: "a division by zero",
    0x21: "a value that its enumeration has not",
    0x31: "pop of an empty array",
    0x32: "an index beyond the end",
    0x41: "too much memory",
    0x51: "a call of a function that is none",
}


class ValueMismatch(Exception):  # noqa: N818 - what it is
    """An argument does not fit its type; `index` is its number from 0, None for all of them."""

    def __init__(self, reason: str, index: int | None = None) -> None:
        super().__init__(reason)
        self.index = index


def type_of(parameter: Mapping[str, Any]) -> str:
    """The type of a parameter of an ABI, tuples written out: `(address,uint256)[]`."""
    kind = str(parameter.get("type", ""))
    if kind.startswith("tuple"):
        inner = ",".join(type_of(part) for part in parameter.get("components", ()))
        return f"({inner}){kind.removeprefix('tuple')}"
    return kind


def types_of(entry: Mapping[str, Any]) -> list[str]:
    """The types of the inputs of a function, a constructor or an error of an ABI."""
    return [type_of(parameter) for parameter in entry.get("inputs", ())]


def split_types(text: str) -> list[str]:
    """The types of `(address,(uint256,bool)[])`, in order, written in full.

    Raises:
        ValueError: it is no such list.
    """
    if text == "()":
        return []
    try:
        parsed = parse(normalize(text))  # type: ignore[no-untyped-call]
        if not hasattr(parsed, "components") or parsed.arrlist:
            raise ValueError(f"{text} is no list of types")
        parsed.validate()
    except (ParseError, ValueError, AttributeError) as error:
        raise ValueError(f"{text} is no list of ABI types, as (address,uint256)") from error
    return [part.to_type_str() for part in parsed.components]


def encoded(
    types: Sequence[str],
    values: Sequence[Any],
    addresses: Mapping[str, bytes],
    parameters: Sequence[Mapping[str, Any]] = (),
) -> bytes:
    """The ABI encoding of arguments.

    Args:
        types: of the ABI.
        values: of the plan: integers, amounts (`2 ether`), booleans, text, bytes as 0x..., lists; a name for an
            address; a list for a tuple, or a mapping by the names that the ABI has.
        addresses: by name.
        parameters: of the ABI, with the names within tuples; empty where there is no ABI.

    Raises:
        ValueMismatch: another number of them, or one that is not of its type.
    """
    if len(types) != len(values):
        raise ValueMismatch(f"{len(values)} arguments for ({','.join(types)})")
    converted = []
    for index, (kind, value) in enumerate(zip(types, values, strict=True)):
        parts = parameters[index].get("components", ()) if parameters else ()
        try:
            converted.append(_converted(kind, value, addresses, parts))
            encode([kind], [converted[-1]])
        except (EncodingError, ValueError, TypeError, OverflowError) as error:
            raise ValueMismatch(f"{value!r} is no {kind}: {error}", index) from None
    return encode(list(types), converted)


def _converted(kind: str, value: Any, addresses: Mapping[str, bytes], parts: Sequence[Mapping[str, Any]]) -> Any:
    """A value as the encoder takes it; `parts` are the ABI's components of a tuple or of an array's tuples."""
    if array := re.fullmatch(r"(.*)\[(\d*)\]", kind):
        if not isinstance(value, list):
            raise ValueError("not a list")
        if array[2] and len(value) != int(array[2]):
            raise ValueError(f"{len(value)} items")
        return [_converted(array[1], item, addresses, parts) for item in value]
    if kind.startswith("("):
        types = split_types(kind)
        items = _in_order(value, [str(part.get("name", "")) for part in parts]) if isinstance(value, dict) else value
        if not isinstance(items, list) or len(items) != len(types):
            raise ValueError(f"not {len(types)} values")
        inner = [part.get("components", ()) for part in parts] or [()] * len(types)
        return tuple(
            _converted(part, item, addresses, own) for part, item, own in zip(types, items, inner, strict=True)
        )
    if kind == "address":
        return address_of(value, addresses)
    if kind == "bool":
        if not isinstance(value, bool):
            raise ValueError("not true or false")
        return value
    if kind == "string":
        return value if isinstance(value, str) else str(value)
    if kind.startswith("bytes"):
        return parse_data(value, int(kind.removeprefix("bytes") or 0) or None)
    if isinstance(value, str) and re.fullmatch(r"0[xX][0-9a-fA-F]+", value):
        return int(value, 16)
    if isinstance(value, str) and value.rpartition(" ")[2] in UNITS:
        return parse_amount(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("not an integer")
    if integer := re.fullmatch(r"(u?)int(\d+)", kind):
        bits = int(integer[2])
        least, beyond = (0, bits) if integer[1] else (-(1 << (bits - 1)), bits - 1)
        if not least <= value < 1 << beyond:
            raise ValueError(f"not from {f'-2^{beyond}' if least else 0} to 2^{beyond} - 1")
    return value


def _in_order(values: Mapping[Any, Any], names: Sequence[str]) -> list[Any]:
    """The values of a tuple that is written as a mapping, in the order of the ABI's names.

    Raises:
        ValueError: it has other names.
    """
    if not all(names) or not names:
        raise ValueError("there is no ABI that names its values; write a list")
    if values.keys() != set(names):
        raise ValueError(f"its values are {', '.join(names)}")
    return [values[name] for name in names]


def address_of(value: Any, addresses: Mapping[str, bytes]) -> bytes:
    """The address that a name or hexadecimal digits stand for.

    Raises:
        ValueError: neither.
    """
    if isinstance(value, str) and value in addresses:
        return addresses[value]
    try:
        return parse_data(value, 20)
    except ValueError:
        known = ", ".join(addresses)
        raise ValueError(f"neither an address of 20 bytes nor one of {known}") from None


def reason_of(output: bytes, abi: Sequence[Mapping[str, Any]]) -> str:
    """Why a call reverted, in words, by what it returned."""
    if not output:
        return "without a reason"
    selector, data = output[:4], output[4:]
    try:
        if selector == _ERROR:
            return str(decode(["string"], data)[0])
        if selector == _PANIC:
            (code,) = decode(["uint256"], data)
            return _PANICS.get(code, f"panic {code:#x}")
        for entry in abi:
            if entry.get("type") == "error" and selector_of(entry) == selector:
                values = ", ".join(map(shown, decode(types_of(entry), data)))
                return f"{entry['name']}({values})"
    except Exception:
        pass  # the bytes say what they say
    return f"0x{output.hex()}"


def selector_of(entry: Mapping[str, Any]) -> bytes:
    """The first four bytes of calldata of a function or an error of an ABI."""
    return keccak(text=f"{entry['name']}({','.join(types_of(entry))})")[:4]


def shown(value: Any) -> str:
    """A value that came out, as a plan would have it."""
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(shown, value))}]"
    return str(value)
