"""One resource of the EVM at a time: hashing, storage writes, modular exponentiation, calls, and copies.

Each contract is a loop whose count is the first word of its calldata. What it computes goes to storage in the end, and
the same computation in Python says what must be there.
"""

from __future__ import annotations

from typing import ClassVar

from eth_utils.crypto import keccak

from scripts.workloads.assembler import assemble
from scripts.workloads.predeployment import Predeployment
from scripts.workloads.toolchain import CodeSource
from scripts.workloads.traffic import Call, Storage, Traffic, Wallet

GAS = 2_000_000
WORD = 32
MODEXP = 5  # address of the precompile
IDENTITY = 4


def counted_loop(body: str, start: str = "", end: str = "") -> bytes:
    """Code that runs ``body``, which leaves the stack as it was, as often as the first word of calldata says."""
    return assemble(
        f"""
        {start}
        0 calldataload              ; the count, on the stack until the end
        loop:
            dup1 iszero @end jumpi
            {body}
            1 swap1 sub
            @loop jump
        end:
        pop
        {end}
        stop
        """
    )


def encoded_words(*values: int) -> bytes:
    return b"".join(value.to_bytes(WORD, "big") for value in values)


class ResourceTraffic(Traffic):
    """Contracts at fixed addresses, with code that is put there, and the storage they must have."""

    def __init__(self, sender: Wallet) -> None:
        self._sender = sender
        self._codes: dict[bytes, bytes] = {}
        self._storage: Storage = {}
        self._genesis: Storage = {}
        self._paid: dict[bytes, int] = {}

    def deploy(self, state: Predeployment, code: CodeSource) -> None:
        """Put the contracts into the pre-state."""
        for address, runtime in self._codes.items():
            state.put_code(address, runtime)
        for (address, slot), value in self._genesis.items():
            state.put_storage(address, {slot: value})

    def storage(self) -> Storage:
        """What the contracts must have computed."""
        return dict(self._storage)

    def balances(self) -> dict[bytes, int]:
        """What accounts were paid that had nothing before."""
        return dict(self._paid)

    def _put(self, name: str, code: bytes) -> bytes:
        address = keccak(text=f"zkevm workload contract, {name}")[12:]
        self._codes[address] = code
        return address

    def _call(self, to: bytes, data: bytes, *, value: int = 0, succeeds: bool = True, gas: int = GAS) -> Call:
        return Call(self._sender, to, gas, data, value=value, succeeds=succeeds)

    def _add(self, address: bytes, slot: int, amount: int) -> None:
        self._storage[address, slot] = self._storage.get((address, slot), 0) + amount


class KeccakTraffic(ResourceTraffic):
    """Chains of hashes: of a message that begins with the last digest."""

    CODE = counted_loop(
        body="32 calldataload 0 sha3  0 mstore",  # word 1: bytes of the message
        end="0 mload  64 calldataload sstore",  # word 2: slot of the last digest
    )

    def __init__(self, sender: Wallet) -> None:
        super().__init__(sender)
        self.address = self._put("keccak", self.CODE)

    def hash(self, count: int, size: int) -> Call:
        """``count`` hashes of ``size`` bytes each."""
        digest = bytes(WORD)
        for _ in range(count):
            digest = keccak((digest + bytes(max(size - WORD, 0)))[:size])
        slot = len(self._storage)
        self._storage[self.address, slot] = int.from_bytes(digest)
        return self._call(self.address, encoded_words(count, size, slot))


class StoreTraffic(ResourceTraffic):
    """Writes to consecutive slots: new, changed, cleared, unchanged, twice in one transaction, and reverted."""

    FILLED = 1 << 16  # the first of the slots that are not zero before the batch
    COUNT = 150  # of them
    CODE = counted_loop(
        # Words 1 to 3: first slot, value, value of a second write. Slots go down from first + count to first + 1.
        body="64 calldataload  dup2 32 calldataload add  sstore  96 calldataload  dup2 32 calldataload add  sstore",
        end="128 calldataload @fail jumpi stop  fail: 0 0 revert",  # word 4: revert in the end
    )

    def __init__(self, sender: Wallet) -> None:
        super().__init__(sender)
        self.address = self._put("sstore", self.CODE)
        filled = range(self.FILLED, self.FILLED + self.COUNT)
        self._genesis = {(self.address, slot): slot for slot in filled}
        self._storage = dict(self._genesis)

    def write(self, first: int, count: int, value: int, second: int, *, reverts: bool = False) -> Call:
        """Write ``value`` and then ``second`` to the ``count`` slots from ``first`` on."""
        if not reverts:
            self._storage |= {(self.address, slot): second for slot in range(first, first + count)}
        data = encoded_words(count, first - 1, value, second, reverts)
        return self._call(self.address, data, succeeds=not reverts)


class ModexpTraffic(ResourceTraffic):
    """Repeated exponentiation: each result is the base of the next one."""

    CODE = counted_loop(
        # Word 1: slot of the result. From byte 64 on the precompile's input (EIP-198): three lengths, base, exponent,
        # modulus. Base and modulus have the same length, so that a result takes the place of the base.
        start="64 calldatasize sub  64 0 calldatacopy",
        body="64 mload 96  64 calldatasize sub 0  5 gas staticcall  iszero @fail jumpi",
        end="64 mload 96 sha3  32 calldataload sstore  stop  fail: 0 0 revert",
    )

    def __init__(self, sender: Wallet) -> None:
        super().__init__(sender)
        self.address = self._put("modexp", self.CODE)

    def power(self, count: int, base: int, exponent: int, modulus: int, size: int) -> Call:
        """``count`` times ``base = base ** exponent % modulus``, in numbers of ``size`` bytes."""
        exponent_size = (exponent.bit_length() + 7) // 8
        numbers = base.to_bytes(size, "big") + exponent.to_bytes(exponent_size, "big") + modulus.to_bytes(size, "big")
        slot = len(self._storage)
        for _ in range(count):
            base = pow(base, exponent, modulus)
        self._storage[self.address, slot] = int.from_bytes(keccak(base.to_bytes(size, "big")))
        return self._call(self.address, encoded_words(count, slot, size, exponent_size, size) + numbers)


class CallTraffic(ResourceTraffic):
    """Message calls of all kinds, to contracts that write, read and revert, to accounts, and into themselves."""

    # Word 1: the callee; word 2: wei with each call. The callee gets the count as its input, and a quarter of the gas:
    # one that uses up all of it leaves enough. Slot 0 counts successes.
    _BODY = "dup1 32 mstore  32 64 32 32 {value} 32 calldataload gas 2 shr {kind}  0 mload add 0 mstore"
    _END = "0 sload 0 mload add 0 sstore"
    # Adds its input to slot 1, and returns the sum.
    ADDER = assemble("0 calldataload 1 sload add dup1 1 sstore 0 mstore 32 0 return")
    READER = assemble("1 sload 0 mstore 32 0 return")
    REVERTER = assemble("0 calldataload 1 sstore 0 calldataload 0 mstore 32 0 revert")
    # Writes its input n to slot n and calls itself with n - 1; reverts after that where 7 divides n.
    RECURSER = assemble(
        """
        0 calldataload dup1 dup1 sstore
        dup1 iszero @end jumpi
        1 dup2 sub 0 mstore
        0 0 32 0 0 address gas call pop
        7 dup2 mod @end jumpi
        0 0 revert
        end: stop
        """
    )
    READ = 0x1234  # what slot 1 of the reader holds

    def __init__(self, sender: Wallet) -> None:
        super().__init__(sender)
        self._callers = {
            kind: self._put(kind, counted_loop(self._BODY.format(value=value, kind=kind), end=self._END))
            for kind, value in (
                ("call", "64 calldataload"),
                ("callcode", "64 calldataload"),
                ("delegatecall", ""),
                ("staticcall", ""),
            )
        }
        self.adder = self._put("adder", self.ADDER)
        self.reader = self._put("reader", self.READER)
        self.reverter = self._put("reverter", self.REVERTER)
        self.recurser = self._put("recurser", self.RECURSER)
        self._genesis = {(self.reader, 1): self.READ}
        self._storage = dict(self._genesis)

    def add(self, kind: str, count: int, gas: int = GAS) -> Call:
        """Calls that add count, count - 1, ... 1 to slot 1 of the adder, or of the caller.

        In a static call that is an exception: nothing is added, and the call's gas is gone.
        """
        caller = self._callers[kind]
        if kind != "staticcall":
            owner = self.adder if kind == "call" else caller
            self._add(owner, 1, count * (count + 1) // 2)
            self._add(caller, 0, count)
        return self._loop_call(kind, count, self.adder, gas=gas)

    def read(self, kind: str, count: int) -> Call:
        """Calls that read a slot."""
        self._add(self._callers[kind], 0, count)
        return self._loop_call(kind, count, self.reader)

    def revert(self, kind: str, count: int) -> Call:
        """Calls that all revert."""
        self._add(self._callers[kind], 0, 0)
        return self._loop_call(kind, count, self.reverter)

    def pay(self, count: int, account: bytes) -> Call:
        """Calls that send one wei each to an account."""
        self._add(self._callers["call"], 0, count)
        self._paid[account] = self._paid.get(account, 0) + count
        return self._loop_call("call", count, account, wei=1)

    def recurse(self, depth: int) -> Call:
        """Nested calls, of which every seventh level reverts."""
        kept = range(depth - depth % 7 + 1, depth + 1) if depth >= 7 else range(depth + 1)
        self._storage |= {(self.recurser, level): level for level in kept}
        # Where 7 divides the depth itself, everything is undone.
        return self._call(self.recurser, encoded_words(depth), succeeds=depth % 7 != 0 or depth == 0)

    def _loop_call(self, kind: str, count: int, callee: bytes, *, wei: int = 0, gas: int = GAS) -> Call:
        data = encoded_words(count, int.from_bytes(callee), wei)
        return self._call(self._callers[kind], data, value=count * wei, gas=gas)


class CopyTraffic(ResourceTraffic):
    """Copies of calldata, code, return data and memory."""

    HEAD = 5 * WORD  # words of calldata before the data
    # Words 1 to 4: bytes to copy, from, to, and slot of the result, which is the hash of memory up to the copy's end.
    _COPY = "32 calldataload 64 calldataload 96 calldataload"
    _DATA = f"{HEAD} calldatasize sub"
    _END = "32 calldataload 96 calldataload add 0 sha3  128 calldataload sstore"
    CODES: ClassVar[dict[str, bytes]] = {
        "calldatacopy": counted_loop(f"{_COPY} calldatacopy", end=_END),
        "codecopy": counted_loop(f"{_COPY} codecopy", end=_END),
        "extcodecopy": counted_loop(f"{_COPY} address extcodecopy", end=_END),
        "returndatacopy": counted_loop(
            f"{_COPY} returndatacopy",
            # The identity precompile returns the data, which lies far from where it is copied to.
            start=f"{_DATA} {HEAD} 0x10000 calldatacopy  0 0 {_DATA} 0x10000 {IDENTITY} gas staticcall pop",
            end=_END,
        ),
        "mcopy": counted_loop(f"{_COPY} mcopy", start=f"{_DATA} {HEAD} 0 calldatacopy", end=_END),
    }

    def __init__(self, sender: Wallet) -> None:
        super().__init__(sender)
        self._copiers = {kind: self._put(kind, code) for kind, code in self.CODES.items()}

    def copy(self, kind: str, count: int, size: int, start: int, to: int, data: bytes) -> Call:
        """``count`` equal copies of ``size`` bytes from offset ``start`` of the source to offset ``to`` of memory.

        ``data`` is the source for return data, the first content of memory for MCOPY, and comes after the other words
        in calldata. Bytes behind the end of calldata and code are zeros.
        """
        copier = self._copiers[kind]
        slot = sum(address == copier for address, _ in self._storage)
        calldata = encoded_words(count, size, start, to, slot) + data
        memory = bytearray(to + size)
        if kind == "mcopy":
            memory = bytearray(data.ljust(max(to, start) + size, b"\0"))
            for _ in range(count):
                memory[to : to + size] = memory[start : start + size]
        else:
            source = {"calldatacopy": calldata, "returndatacopy": data}.get(kind, self.CODES.get(kind, b""))
            memory[to:] = source[start : start + size].ljust(size, b"\0")
        self._storage[copier, slot] = int.from_bytes(keccak(bytes(memory[: to + size])))
        return self._call(copier, calldata)
