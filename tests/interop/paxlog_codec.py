"""Values, frames and batches of docs/protocol.md, as functions of bytes: nothing here knows a network.

In Python a struct is a dict, an enum's variant is its name or a dict of one key, an Option is None or the value, and a
Result is {"Ok": …} or {"Err": …}: the same as in the test vectors, but that all numbers are ints.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Value = Any
"""What a message or a part of it is in Python; its shape is in schema.txt."""

RESUME = 1
HEADER = struct.Struct("<BBHIII")
BATCH_HEADER = struct.Struct("<4sIBBHIIIQ")
RECORD_HEADER = struct.Struct("<III")
NO_KEY = 0xFFFF_FFFF
MIB = 1 << 20

RECORD_BYTES_MAX = MIB
HEADERS_BYTES_MAX = 32 << 10
BATCH_BYTES_MAX = 4 * MIB


class Refused(Exception):
    """Bytes that are not what is due; `reason` is a word of the test vectors."""

    def __init__(self, reason: str, why: str) -> None:
        super().__init__(f"{reason}: {why}")
        self.reason = reason


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0x82F6_3B78 if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


_CRC_TABLE = _crc_table()


def crc32c(*parts: bytes) -> int:
    """The CRC-32C of the parts as if they were joined."""
    crc = 0xFFFF_FFFF
    for part in parts:
        for byte in part:
            crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFF_FFFF


# ---- values ----


@dataclass
class Reader:
    """A place in bytes."""

    data: bytes
    at: int = 0

    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, count: int) -> bytes:
        if count > self.left():
            raise Refused("malformed", f"{count} bytes are due, {self.left()} are left")
        self.at += count
        return self.data[self.at - count : self.at]

    def integer(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")


class Type:
    """How values of one type are written and read, as bytes and as JSON of the test vectors."""

    def put(self, value: Value, out: bytearray) -> None:
        raise NotImplementedError

    def take(self, reader: Reader) -> Value:
        raise NotImplementedError

    def to_json(self, value: Value) -> Value:
        return value

    def from_json(self, value: Value) -> Value:
        return value


@dataclass
class Integer(Type):
    size: int

    def put(self, value: Value, out: bytearray) -> None:
        out += int(value).to_bytes(self.size, "little")

    def take(self, reader: Reader) -> Value:
        return reader.integer(self.size)

    def to_json(self, value: Value) -> Value:
        if self.size == 16:
            return f"{value:032x}"
        return str(value) if value > 1 << 53 else value

    def from_json(self, value: Value) -> Value:
        if self.size == 16:
            return int(value, 16)
        return int(value)


class Bool(Type):
    def put(self, value: Value, out: bytearray) -> None:
        out.append(1 if value else 0)

    def take(self, reader: Reader) -> Value:
        byte = reader.integer(1)
        if byte > 1:
            raise Refused("malformed", f"a bool of {byte}")
        return byte == 1


class Text(Type):
    def put(self, value: Value, out: bytearray) -> None:
        encoded = value.encode()
        out += len(encoded).to_bytes(8, "little") + encoded

    def take(self, reader: Reader) -> Value:
        encoded = reader.take(reader.integer(8))
        try:
            return encoded.decode()
        except UnicodeDecodeError as error:
            raise Refused("malformed", "a string that is not UTF-8") from error


@dataclass
class ListOf(Type):
    item: Type

    def put(self, value: Value, out: bytearray) -> None:
        out += len(value).to_bytes(8, "little")
        for item in value:
            self.item.put(item, out)

    def take(self, reader: Reader) -> Value:
        count = reader.integer(8)
        # No type takes less than a byte.
        if count > reader.left():
            raise Refused("malformed", f"a list of {count}, and {reader.left()} bytes are left")
        return [self.item.take(reader) for _ in range(count)]

    def to_json(self, value: Value) -> Value:
        return [self.item.to_json(item) for item in value]

    def from_json(self, value: Value) -> Value:
        return [self.item.from_json(item) for item in value]


@dataclass
class OptionOf(Type):
    some: Type

    def put(self, value: Value, out: bytearray) -> None:
        out.append(0 if value is None else 1)
        if value is not None:
            self.some.put(value, out)

    def take(self, reader: Reader) -> Value:
        tag = reader.integer(1)
        if tag > 1:
            raise Refused("malformed", f"an option of {tag}")
        return self.some.take(reader) if tag else None

    def to_json(self, value: Value) -> Value:
        return None if value is None else self.some.to_json(value)

    def from_json(self, value: Value) -> Value:
        return None if value is None else self.some.from_json(value)


@dataclass
class Struct(Type):
    fields: dict[str, Type] = field(default_factory=dict)

    def put(self, value: Value, out: bytearray) -> None:
        if value.keys() != self.fields.keys():
            raise ValueError(f"the fields are {list(self.fields)}, not {list(value)}")
        for name, kind in self.fields.items():
            kind.put(value[name], out)

    def take(self, reader: Reader) -> Value:
        return {name: kind.take(reader) for name, kind in self.fields.items()}

    def to_json(self, value: Value) -> Value:
        return {name: kind.to_json(value[name]) for name, kind in self.fields.items()}

    def from_json(self, value: Value) -> Value:
        if value.keys() != self.fields.keys():
            raise ValueError(f"the fields are {list(self.fields)}, not {list(value)}")
        return {name: kind.from_json(value[name]) for name, kind in self.fields.items()}


@dataclass
class Enum(Type):
    variants: dict[int, tuple[str, Type | None]] = field(default_factory=dict)

    def _number(self, value: Value) -> tuple[int, str, Type | None]:
        name = value if isinstance(value, str) else next(iter(value))
        for number, (known, kind) in self.variants.items():
            if known == name:
                return number, name, kind
        raise ValueError(f"no variant {name}")

    def put(self, value: Value, out: bytearray) -> None:
        number, name, kind = self._number(value)
        out += number.to_bytes(4, "little")
        if kind is not None:
            kind.put(value[name], out)

    def take(self, reader: Reader) -> Value:
        number = reader.integer(4)
        if number not in self.variants:
            raise Refused("malformed", f"no variant has the number {number}")
        name, kind = self.variants[number]
        return name if kind is None else {name: kind.take(reader)}

    def to_json(self, value: Value) -> Value:
        _, name, kind = self._number(value)
        return name if kind is None else {name: kind.to_json(value[name])}

    def from_json(self, value: Value) -> Value:
        _, name, kind = self._number(value)
        return name if kind is None else {name: kind.from_json(value[name])}


@dataclass
class ErrorCode(Integer):
    """A u16 of the table of errors: another one is malformed."""

    known: frozenset[int] = frozenset()

    def take(self, reader: Reader) -> Value:
        code = reader.integer(self.size)
        if code not in self.known:
            raise Refused("malformed", f"no error has the code {code}")
        return code


# ---- the schema ----

Definition = tuple[str, list[tuple[str, str]]]
"""`struct` or `enum`, and its lines: what stands before the colon, and what stands behind it."""


def parse_schema(text: str) -> dict[str, Definition]:
    """The definitions in the notation of the page, by name; what is behind two spaces is a comment."""
    found: dict[str, Definition] = {}
    lines: list[tuple[str, str]] = []
    for line in text.splitlines():
        bare = re.sub(r"(\S) {2,}.*$", r"\1", line)
        if head := re.fullmatch(r"(struct|enum) (\S+)", bare):
            lines = []
            found[head[2]] = (head[1], lines)
        elif part := re.fullmatch(r"( {4}| {8})((?:\d+ )?\w+)(?:: (\S+(?:, \S+)*))?", bare):
            lines.append((part[1] + part[2], part[3] or ""))
    return found


class Schema:
    """All messages."""

    def __init__(self, text: str, codes: frozenset[int]) -> None:
        self.definitions = parse_schema(text)
        self._codes = codes
        self._made: dict[str, Type] = {
            "u8": Integer(1),
            "u16": Integer(2),
            "u32": Integer(4),
            "u64": Integer(8),
            "u128": Integer(16),
            "bool": Bool(),
            "String": Text(),
        }

    def type(self, name: str) -> Type:
        """The type of that name, such as `Option<List<u64>>`."""
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def _make(self, name: str) -> Type:
        if generic := re.fullmatch(r"(\w+)<(.*)>", name):
            outer, inner = generic[1], generic[2]
            if outer == "Option":
                return OptionOf(self.type(inner))
            if outer == "List":
                return ListOf(self.type(inner))
            if outer == "Result":
                good, bad = inner.split(", ")
                return Enum({0: ("Ok", self.type(good)), 1: ("Err", self.type(bad))})
            return self._define(f"{outer}<T>", inner)
        return self._define(name, "")

    def _define(self, name: str, parameter: str) -> Type:
        sort, lines = self.definitions[name]

        def field_type(struct_name: str, field_name: str, text: str) -> Type:
            if (struct_name, field_name) == ("WireError", "code"):
                return ErrorCode(2, self._codes)
            return self.type(parameter if text == "T" else text)

        if sort == "struct":
            fields = {key.strip(): field_type(name, key.strip(), text) for key, text in lines}
            return Struct(fields)
        variants: dict[int, tuple[str, Type | None]] = {}
        inner: Struct | None = None
        for at, (key, text) in enumerate(lines):
            if key.startswith(" " * 8):
                assert inner is not None, "a field belongs to a variant"
                inner.fields[key.strip()] = field_type(name, key.strip(), text)
                continue
            number, variant = key.split()
            has_fields = at + 1 < len(lines) and lines[at + 1][0].startswith(" " * 8)
            inner = Struct() if has_fields else None
            kind = field_type(name, variant, text) if text else inner
            variants[int(number)] = (variant, kind)
        return Enum(variants)

    def encode(self, name: str, value: Value) -> bytes:
        out = bytearray()
        self.type(name).put(value, out)
        return bytes(out)

    def decode(self, name: str, meta: bytes) -> Value:
        reader = Reader(meta)
        value = self.type(name).take(reader)
        if reader.left():
            raise Refused("malformed", f"{reader.left()} bytes are left over")
        return value


@dataclass(frozen=True)
class Code:
    """A row of the table of errors."""

    number: int
    name: str
    retry: str
    outcome: str


CODES: dict[int, Code] = {
    number: Code(number, name, retry, outcome)
    for number, name, retry, outcome in [
        (1, "NotLeader", "elsewhere", "not applied"),
        (2, "Electing", "after", "not applied"),
        (3, "Unavailable", "after", "not applied"),
        (4, "OutcomeUnknown", "now", "unknown"),
        (5, "DeadlineExceeded", "now", "not applied"),
        (6, "DedupExpired", "never", "unknown"),
        (7, "Throttled", "after", "not applied"),
        (8, "Overloaded", "after", "not applied"),
        (9, "DiskFull", "after", "not applied"),
        (10, "Fenced", "never", "not applied"),
        (11, "TailMismatch", "never", "not applied"),
        (12, "SequenceGap", "never", "not applied"),
        (13, "Sealed", "never", "not applied"),
        (14, "CursorMismatch", "never", "not applied"),
        (15, "LogDeleted", "never", "not applied"),
        (16, "TooLarge", "never", "not applied"),
        (17, "Invalid", "never", "not applied"),
        (18, "NotFound", "never", "not applied"),
        (19, "AlreadyExists", "never", "not applied"),
        (20, "Trimmed", "never", "–"),
        (21, "OffsetOutOfRange", "after", "–"),
        (22, "Corrupt", "elsewhere", "–"),
        (23, "DataLost", "never", "–"),
        (24, "Internal", "never", "unknown"),
        (25, "Unauthenticated", "never", "not applied"),
        (26, "Forbidden", "never", "not applied"),
        (27, "WrongCluster", "never", "not applied"),
        (28, "VersionMismatch", "never", "not applied"),
    ]
}

KINDS: dict[int, str] = {
    1: "ClientHello",
    2: "ControlEvent",
    3: "CommandRequest",
    4: "CommandReply",
    5: "QueryRequest",
    6: "QueryReply",
    7: "ReadRequest",
    8: "ReadEvent",
    9: "TailRequest",
    10: "Credit",
    11: "TailEvent",
}
KIND_OF: dict[str, int] = {name: number for number, name in KINDS.items()}


def schema() -> Schema:
    """The schema of this version."""
    text = (Path(__file__).parent / "schema.txt").read_text()
    return Schema(text, frozenset(CODES))


# ---- frames ----


@dataclass(frozen=True)
class Limits:
    """The largest lengths that a receiver takes."""

    body: int
    meta: int | None = None

    def meta_of(self, kind: int) -> int:
        if self.meta is not None:
            return self.meta
        return {"ClientHello": 4 << 10, "QueryReply": MIB}.get(KINDS[kind], 64 << 10)


FIRST = Limits(body=0, meta=4 << 10)
FROM_CLIENT = Limits(body=4 * MIB)
TO_CLIENT = Limits(body=8 * MIB)


@dataclass(frozen=True)
class Frame:
    kind: int
    flags: int
    meta: bytes
    body: bytes


def encode_frame(frame: Frame) -> bytes:
    head = struct.pack(
        "<BBHII", 1, frame.kind, frame.flags, len(frame.meta), len(frame.body)
    )
    return head + crc32c(head, frame.meta).to_bytes(4, "little") + frame.meta + frame.body


class FrameDecoder:
    """Takes bytes as they come, gives whole frames."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._buffer = bytearray()

    def push(self, data: bytes) -> None:
        self._buffer += data

    def next(self) -> Frame | None:
        """The next frame, none until more came."""
        if len(self._buffer) < HEADER.size:
            return None
        version, kind, flags, meta_len, body_len, crc = HEADER.unpack_from(self._buffer)
        if version != 1:
            raise Refused("version", f"frame version {version}")
        if kind not in KINDS:
            raise Refused("kind", f"no message has the kind {kind}")
        if meta_len > self._limits.meta_of(kind):
            raise Refused("meta_too_large", f"{meta_len} bytes")
        if body_len > self._limits.body:
            raise Refused("body_too_large", f"{body_len} bytes")
        meta_end = HEADER.size + meta_len
        if len(self._buffer) < meta_end:
            return None
        meta = bytes(self._buffer[HEADER.size : meta_end])
        if crc32c(bytes(self._buffer[:12]), meta) != crc:
            raise Refused("checksum", "header and meta do not match their checksum")
        end = meta_end + body_len
        if len(self._buffer) < end:
            return None
        frame = Frame(kind, flags, meta, bytes(self._buffer[meta_end:end]))
        del self._buffer[:end]
        return frame

    def finish(self) -> None:
        """The stream ended."""
        if self._buffer:
            raise Refused("truncated", "the stream ended within a frame")


# ---- batches ----


@dataclass(frozen=True)
class Record:
    payload: bytes
    key: bytes | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()


def encode_batch(records: list[Record]) -> bytes:
    section = bytearray()
    for record in records:
        headers = b"".join(
            struct.pack("<II", len(name), len(value)) + name + value
            for name, value in record.headers
        )
        key = b"" if record.key is None else record.key
        key_len = NO_KEY if record.key is None else len(key)
        section += RECORD_HEADER.pack(key_len, len(headers), len(record.payload))
        section += key + headers + record.payload
    checked = BATCH_HEADER.pack(
        b"PXB1", 0, 1, 0, 0, len(records), len(section), len(section), 0
    )[8:] + bytes(section)
    return b"PXB1" + crc32c(checked).to_bytes(4, "little") + checked


def decode_batch(batch: bytes) -> list[Record]:
    """The records; raises what a replica would refuse a batch for."""
    if len(batch) > BATCH_BYTES_MAX:
        raise Refused("batch_too_large", f"{len(batch)} bytes")
    if len(batch) < BATCH_HEADER.size:
        raise Refused("malformed", "shorter than a header")
    magic, crc, version, compression, flags, count, stored, plain, zero = BATCH_HEADER.unpack_from(batch)
    section = batch[BATCH_HEADER.size :]
    if magic != b"PXB1" or version != 1:
        raise Refused("malformed", "another format")
    if compression in (1, 2):
        raise Refused("compressed", "this client has no codec for a compressed batch")
    if compression != 0:
        raise Refused("compression", f"compression {compression}")
    if flags or zero:
        raise Refused("malformed", "reserved bytes are not 0")
    if stored != len(section) or plain != stored:
        raise Refused("malformed", "lengths that do not add up")
    if count == 0:
        raise Refused("empty", "no record")
    if crc32c(batch[8:]) != crc:
        raise Refused("checksum", "the batch does not match its checksum")
    reader = Reader(section)
    records = [_take_record(reader) for _ in range(count)]
    if reader.left():
        raise Refused("malformed", "more behind the last record")
    return records


def _take_record(reader: Reader) -> Record:
    key_len, headers_len, payload_len = RECORD_HEADER.unpack(reader.take(RECORD_HEADER.size))
    has_key = key_len != NO_KEY
    if headers_len > HEADERS_BYTES_MAX:
        raise Refused("headers_too_large", f"{headers_len} bytes")
    length = (key_len if has_key else 0) + headers_len + payload_len
    if length > RECORD_BYTES_MAX:
        raise Refused("record_too_large", f"{length} bytes")
    key = reader.take(key_len) if has_key else None
    section = Reader(reader.take(headers_len))
    headers = []
    while section.left():
        name_len, value_len = section.integer(4), section.integer(4)
        headers.append((section.take(name_len), section.take(value_len)))
    return Record(reader.take(payload_len), key, tuple(headers))
