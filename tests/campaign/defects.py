"""Seeded defects: the circuit of a segment with one weakness each, which the campaign must find without knowing it.

Each is the real circuit with tables transformed: constraints dropped, queries not made, a field left out of a bus at
all of its ends. Layouts stay, so honest tables are filled as always, and are accepted.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from circuits.air.bus import Bus
from circuits.air.expression import Expression, Op
from circuits.air.mutation.judge import support
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Interaction, Table
from circuits.carry import LINK_TABLE
from circuits.carry import TABLES as CARRIED_TABLES
from circuits.functions.buses import BITWISE_BYTES, POSEIDON2
from circuits.widths import DIGEST
from executor.forks import CANCUN, OSAKA, PRAGUE, Fork
from lab.variant import Rewriting, rewritten
from scripts.campaign.target import Target

#: Tables of what is carried.
CARRIED_NAMES = frozenset(table.name for table in CARRIED_TABLES)

#: What is left of a table's constraints and interactions.
Weakening = Rewriting


@dataclass(frozen=True)
class Defect:
    """A weakness: its name, what it lets a prover do, the tables it is in (None: all), and how it is made.

    Or the verifier has it, who does not compare some public values between segments (`trusts`).
    """

    name: str
    allows: str
    table: str | None
    weaken: Weakening
    fork: Fork = CANCUN
    trusts: frozenset[str] = frozenset()

    def target(self) -> Target:
        """The weakened circuit.

        Raises:
            ValueError: nothing has changed: the circuit has no such constraint or message any more.
        """
        changed = bool(self.trusts)
        components = []
        for component in Target.segment(self.fork).components:
            weak = component.table
            if self.table in (None, weak.name):
                weak = rewritten(weak, self.weaken)
                changed |= weak is not component.table
            components.append(replace(component, table=weak))
        if not changed:
            raise ValueError(f"{self.name}: there is nothing to weaken")
        return Target(tuple(components), self.fork, self.trusts)


def without(*prefixes: str) -> Weakening:
    """Constraints whose names begin like this are dropped."""

    def weaken(table: Table, air: Air) -> None:
        air.constraints = [c for c in air.constraints if not c.name.startswith(prefixes)]

    return weaken


def unchecked(*columns: str, bus: Bus = RANGE16) -> Weakening:
    """Whatever these columns (or those of these blocks) are part of is not looked up in the range table.

    `bus`: another lookup bus.
    """

    def weaken(table: Table, air: Air) -> None:
        cells = {(Op.LOCAL, c.index) for c in table.layout.cells() if c.name.startswith(columns)}
        air.interactions = [
            i
            for i in air.interactions
            if i.bus is not bus or all(cells.isdisjoint(support(air.graph, e.index)) for e in i.message)
        ]

    return weaken


def unasked(bus: str) -> Weakening:
    """The table asks nothing of a lookup bus."""

    def weaken(table: Table, air: Air) -> None:
        air.interactions = [i for i in air.interactions if i.bus.name != bus or i.provides]

    return weaken


def left_out(bus: str, field: str) -> Weakening:
    """A field is 0 in all messages of a bus, sent and received."""

    def shortened(interaction: Interaction, zero: Expression) -> Interaction:
        names = [f.name for f in interaction.bus.fields for _ in range(f.size)]
        message = tuple(zero if name == field else e for name, e in zip(names, interaction.message, strict=True))
        return replace(interaction, message=message)

    def weaken(table: Table, air: Air) -> None:
        air.interactions = [shortened(i, air.constant(0)) if i.bus.name == bus else i for i in air.interactions]

    return weaken


def unhashed(first: int, end: int, tables: Collection[str] = CARRIED_NAMES) -> Weakening:
    """Elements `first .. end - 1` of what these tables hash are 0 in the hash.

    Of what is carried these are the bus, the count, the message; of a link the other part, the direction, the digest.
    """

    def shortened(interaction: Interaction, left: int, zero: Expression) -> Interaction:
        message = list(interaction.message)
        for element in range(max(first, left), min(end, left + DIGEST)):
            message[DIGEST + element - left] = zero
        return replace(interaction, message=tuple(message))

    def weaken(table: Table, air: Air) -> None:
        if table.name in tables:
            blocks = [k for k, i in enumerate(air.interactions) if i.bus is POSEIDON2]
            for number, k in enumerate(blocks):
                air.interactions[k] = shortened(air.interactions[k], DIGEST * number, air.constant(0))

    return weaken


def of_carried(weakening: Weakening) -> Weakening:
    """Only the tables of what is carried are weakened."""

    def weaken(table: Table, air: Air) -> None:
        if table.name in CARRIED_NAMES:
            weakening(table, air)

    return weaken


def nothing(table: Table, air: Air) -> None:
    """No table is weakened."""


#: The running hash of what is carried begins with these elements of each message, that of links with these.
BUS, COUNT, MESSAGE = 0, 1, 2
OTHER, OUT = 0, 1

DEFECTS = (
    # Ranges and carries.
    Defect(
        "unchecked sum",
        "ADD gives a word with a limb beyond 2^16, carried from its neighbour",
        "add",
        unchecked("z[11]"),
    ),
    Defect("any remainder", "DIV gives any smaller quotient", "divide", without("remainder < divisor: gap")),
    Defect("open carry", "ADD gives any highest limb", "add", without("x + y = z: carry 15")),
    Defect(
        "no bit", "LT answers other values than 0 and 1", "compare", without("less is a bit", "not both less and more")
    ),
    # Selectors, flags and padding.
    Defect(
        "free branch",
        "JUMPI stays for another reason than a condition of 0",
        "jumpi",
        without("condition: value * inverse = 1 - zero"),
    ),
    Defect(
        "many flags", "a shift moves a word by several numbers of limbs", "shift", without("limbs: exactly one flag")
    ),
    Defect(
        "padding answers", "rows of no transaction tell who lives", "transaction", without("padding answers nothing")
    ),
    # Order in time and in place.
    Defect("read of the future", "SLOAD takes a token that is sent later", "sload", unchecked("order.")),
    Defect("timeless stack", "a pop takes a word that is pushed later", None, left_out("stack", "time")),
    Defect("word twice", "a word of memory has several rows", "memory", without("the index steps by 1")),
    Defect(
        "any beginning",
        "calldata begins at another offset",
        "calldata",
        without("indices count from 0", "indices of the next buffer"),
    ),
    # What is paid.
    Defect("free gas", "the gas left changes between two steps", None, left_out("exec", "gas")),
    Defect("free write", "SSTORE names its price", "sstore", without("cost")),
    Defect("free memory", "memory grows for any price", "expansion", without("cost")),
    Defect("always warm", "an account is warm at its first access", None, left_out("account", "warm")),
    # State and public values.
    Defect(
        "nonce again",
        "a transaction leaves its sender's nonce as it likes",
        "transaction",
        without("nonce + 1: limb 0"),
    ),
    Defect("unasked life", "what an account stores is undone as if it were destroyed", "storage", unasked("life")),
    Defect("unknown original", "SSTORE names the value before the transaction", None, left_out("original", "value")),
    Defect("any receipts", "a segment states receipts of its own", None, left_out("chain", "receipts")),
    # Functions.
    Defect("any digest", "a hash is what it is said to be", "poseidon2", without("output[0]")),
    # Frames and calls.
    Defect("any world", "a frame that succeeds is undone, or one that fails is not", "frame", without("world")),
    Defect("no outer world", "what a failing frame calls is kept", None, left_out("message", "outer")),
    Defect("not static", "what a static frame calls may change the state", None, left_out("message", "static")),
    Defect("any caller", "a frame has another caller", None, left_out("message", "caller")),
    Defect(
        "gas for nothing", "a call of no code returns any gas", "frame", without("what runs nothing leaves all gas")
    ),
    Defect("all but one 64th", "a frame is given any gas", "call", unasked("call_gas")),
    Defect(
        "nothing copied",
        "what is returned is not copied",
        "call",
        without("copies: copied is not 0", "copies: copied is 0", "idle inverse"),
    ),
    Defect("no precompile", "a call of a precompile does nothing", "call", without("the address of a precompile")),
    Defect(
        "stale return data", "a frame looks at the return data of a former call", None, left_out("frame_state", "time")
    ),
    Defect("endless calldata", "calldata in memory is longer than it is", None, left_out("calldata_of", "size")),
    # Creations.
    Defect("creator's nonce", "CREATE leaves the creator's nonce as it likes", "create", without("nonce + 1: limb 0")),
    Defect("any address", "CREATE2 makes any address", "create2_address", unasked("hash_word")),
    Defect("other code", "the hash of another code is stored", "deposit", unasked("code")),
    Defect(
        "start in data",
        "initcode runs from within the data of a PUSH",
        "init_code",
        without("start ", "data behind byte"),
    ),
    # What is undone, moved and deleted.
    Defect("undone at will", "accounts are undone of frames that succeed", "account_undo", unasked("failure")),
    Defect("undone later", "a frame that fails hands over what is left later", "storage_undo", unchecked("order.")),
    Defect("kept refunds", "refunds of failing frames count", None, left_out("substate", "world")),
    Defect("ether from nothing", "a transfer takes less than it gives", "transfer", without("given: limb 0")),
    Defect("any deletions", "a destroyed account stays", None, left_out("deletion", "remaining")),
    # Precompiles.
    Defect(
        "no padding",
        "SHA-256 of a message that is padded otherwise",
        "sha256",
        without("bits of the input", "the byte before the padding"),
    ),
    # Programs modulo large numbers, and who calls them.
    Defect(
        "two moduli",
        "an equation holds modulo the sum of two numbers",
        "field_narrow_32",
        without("moduli: at most one"),
    ),
    Defect(
        "any quotient",
        "digits of a quotient are no bytes, so that sums are larger than they may be",
        "field_narrow_48",
        unchecked("equation.quotient", bus=BITWISE_BYTES),
    ),
    Defect("open comparison", "a word is not below p", "field_words_32", without("difference: limb 7")),
    Defect("any digit", "a scalar selects any entry of a table", None, left_out("field_digit", "digit")),
    Defect("any instance", "a program reads registers of another instance", None, left_out("register_32", "instance")),
    Defect("uncounted parts", "a call takes as many parts as it likes", None, left_out("field_parts", "parts")),
    # MODEXP.
    Defect("open power", "a power is not reduced", "modexp_below", without("limb 7")),
    Defect(
        "forgotten digits", "an exponent is only the last digit of each limb", "modexp_exponents", without("next digit")
    ),
    # BLAKE2F.
    Defect("any rounds", "BLAKE2F does fewer rounds", None, left_out("blake2f_rounds", "number")),
    Defect(
        "failure at will",
        "BLAKE2F fails for a flag that is right",
        "blake2f_failed",
        without("length or flag is wrong"),
    ),
    # What blocks do outside of transactions.
    Defect(
        "another parent", "another hash than that of the parent is written", "history", unasked("poseidon2"), PRAGUE
    ),
    Defect("parent of the future", "a later write comes before it", "history", unchecked("write.order."), PRAGUE),
    Defect("another block", "a system call is of another block", "system_call", unasked("block"), PRAGUE),
    Defect("call of the future", "a system call sees what comes later", "system_call", unchecked("order."), PRAGUE),
    # Delegations.
    Defect("overwritten code", "an authority loses the code it has", "authorization", unasked("delegating"), PRAGUE),
    Defect("another delegate", "an authority gets another code", "authorization", unasked("delegation"), PRAGUE),
    Defect(
        "authority's nonce",
        "an authorization leaves the nonce as it likes",
        "authorization",
        without("nonce afterwards: limb 0"),
        PRAGUE,
    ),
    Defect(
        "misread delegation",
        "a code delegates to another account than it names",
        "delegation",
        without("the account that it names: limb 3"),
        PRAGUE,
    ),
    Defect("unread delegation", "a code is said to have other bytes", "delegation", unasked("code_part"), PRAGUE),
    Defect("sender with code", "a contract sends a transaction", "transaction", unasked("delegating"), PRAGUE),
    Defect("any recipient", "a recipient's code is said to delegate", "transaction", unasked("delegation"), PRAGUE),
    Defect("any callee", "a callee's code is said to delegate", "call_delegated", unasked("delegation"), PRAGUE),
    Defect(
        "spared delegate", "a cold delegate costs what a precompile does", "call_delegated", without("low limb"), PRAGUE
    ),
    # What later forks cost and compute.
    Defect("no floor", "a transaction pays less than its floor", "transaction", without("above the other one"), PRAGUE),
    Defect(
        "open margin",
        "the lower one of floor and gas used is paid",
        "transaction",
        without("above the other one: limb 3"),
        PRAGUE,
    ),
    Defect("any discount", "a sum of multiples names its price", "field_calls", unasked("part_price"), PRAGUE),
    Defect(
        "price of many",
        "few multiples cost as much as so many of many",
        "field_calls",
        unchecked("whole_parts", "discounted"),
        PRAGUE,
    ),
    Defect("any leading zeros", "CLZ gives another place within a limb", "clz", unchecked("top.bits"), OSAKA),
    Defect("ignored limbs", "CLZ counts from a lower limb", "clz", without("limb "), OSAKA),
    # What parts of a run have in common.
    Defect("uncounted carry", "a part has a message more often than the other one", None, unhashed(COUNT, COUNT + 1)),
    Defect("any bus", "a part has a message on another bus", None, unhashed(BUS, BUS + 1)),
    Defect("unhashed element", "a part has another message", None, unhashed(MESSAGE + 3, MESSAGE + 4)),
    Defect("unnumbered carry", "what is carried is in no order", None, left_out("carry", "number")),
    Defect("either direction", "a message is taken off where it is put on", None, left_out("carry", "out")),
    Defect("any other part", "a message is of the link with another part", None, left_out("carry", "other")),
    Defect("any carry", "a part carries what it likes", None, left_out("carry", "digest")),
    Defect("carrying padding", "padding carries what no hash has", None, of_carried(without("padding carries"))),
    Defect("gas beyond all bounds", "gas is carried that is negative", "carried_exec", unchecked("gas.")),
    Defect("time without end", "time is carried that has wrapped", "carried_exec", without("the time is one")),
    Defect("any links", "a part has other links than it states", None, left_out("links", "digest")),
    Defect(
        "another part's link",
        "a link is one with any part",
        LINK_TABLE.name,
        unhashed(OTHER, OTHER + 1, {LINK_TABLE.name}),
    ),
    Defect(
        "either side",
        "both parts of a link take off what is in it",
        LINK_TABLE.name,
        unhashed(OUT, OUT + 1, {LINK_TABLE.name}),
    ),
    Defect(
        "links for nothing", "nobody compares what parts have in common", None, nothing, trusts=frozenset({"links"})
    ),
    Defect("frames from anywhere", "frames are numbered anew", None, nothing, trusts=frozenset({"following"})),
    Defect("time from anywhere", "a part begins at another time", None, nothing, trusts=frozenset({"time_out"})),
    Defect(
        "words from anywhere",
        "the words of a part begin anew",
        None,
        nothing,
        trusts=frozenset({"asks", "next_frame", "next_index"}),
    ),
    Defect("any first word", "words of a part begin elsewhere than it says", "memory", without("the first word: ")),
    Defect("any next word", "the next part may have words again", "memory", without("the next word")),
    Defect(
        "words without end",
        "words of a part that it does not leave to the next one",
        "memory",
        without("there is padding where a part goes on"),
    ),
)
