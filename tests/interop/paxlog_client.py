"""A small client of docs/protocol.md, written from that page alone.

`Replica` is one connection: its streams, and what a replica says on them. `Cluster` keeps one to each replica and knows
who leads. `Writer` is a producer: it numbers commands, one in flight at a time, and sends each again under its number
until its outcome is known. `read` and `Tail` keep the position of a reader.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
import time
import tomllib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from cryptography import x509

import paxlog_codec as codec
from paxlog_codec import Frame, Record, Value

ALPN = "paxlog-client/1"
DEADLINE_MS = 10_000
SILENCE_S = 15.0
"""How long to wait for what need not come soon."""
COMMAND_S = 3.0
"""How long to wait for a reply before the command is sent again, which does no harm."""
FIRST_WAIT_S = 0.02
LAST_WAIT_S = 1.0


class PaxlogError(Exception):
    """A replica's error."""

    def __init__(self, error: dict[str, Value]) -> None:
        self.error = error
        self.code = codec.CODES[error["code"]]
        super().__init__(f"{self.code.name}: {error['message']}")


class Lost(Exception):
    """A connection or stream ended without an answer.

    `code` is an error code of the protocol, `quic` one of QUIC's own, where the other side gave one.
    """

    def __init__(self, why: str, code: int | None = None, quic: int | None = None) -> None:
        super().__init__(why)
        self.code = code
        self.quic = quic


@dataclass(frozen=True)
class Profile:
    """Where a cluster is, and who to be there."""

    cluster: int
    servers: tuple[str, ...]
    ca: Path
    cert: Path
    key: Path

    @staticmethod
    def load(path: Path) -> Profile:
        table = tomllib.loads(path.read_text())

        def file(key: str) -> Path:
            return path.parent / str(table[key])

        servers = tuple(table["servers"])
        return Profile(int(table["cluster"], 16), servers, file("ca"), file("cert"), file("key"))


class Stream:
    """One stream: frames out, and what came in."""

    def __init__(self, wire: Wire, number: int) -> None:
        self._wire = wire
        self.number = number
        self._decoder = codec.FrameDecoder(codec.TO_CLIENT)
        self._came: asyncio.Queue[Frame | Exception | None] = asyncio.Queue()

    def send(self, message: str, value: Value, body: bytes = b"", flags: int = 0) -> None:
        meta = self._wire.schema.encode(message, value)
        frame = Frame(codec.KIND_OF[message], flags, meta, body)
        self.send_raw(codec.encode_frame(frame))

    def send_raw(self, data: bytes) -> None:
        self._wire.send(self.number, data)

    def finish(self) -> None:
        """Nothing more is sent; what the replica has to say still comes."""
        self._wire.send(self.number, b"", end=True)

    def give_up(self) -> None:
        self._wire.give_up(self.number)

    async def next(self, due: str, wait_s: float = SILENCE_S) -> tuple[Value, bytes] | None:
        """The next message with its body; none at the stream's end."""
        try:
            came = await asyncio.wait_for(self._came.get(), wait_s)
        except TimeoutError as error:
            raise Lost(f"no {due} within {wait_s} s") from error
        if isinstance(came, Exception):
            self._came.put_nowait(came)
            raise came
        if came is None:
            self._came.put_nowait(None)
            return None
        if codec.KINDS[came.kind] != due:
            raise codec.Refused("kind", f"{codec.KINDS[came.kind]} where {due} is due")
        return self._wire.schema.decode(due, came.meta), came.body

    async def must(self, due: str, wait_s: float = SILENCE_S) -> tuple[Value, bytes]:
        """The next message, which must come before the end."""
        found = await self.next(due, wait_s)
        if found is None:
            raise Lost(f"the stream ended where {due} was due")
        return found

    def take(self, data: bytes, end: bool) -> None:
        try:
            self._decoder.push(data)
            while (frame := self._decoder.next()) is not None:
                self._came.put_nowait(frame)
            if end:
                self._decoder.finish()
                self._came.put_nowait(None)
        except codec.Refused as error:
            self._came.put_nowait(error)

    def fail(self, error: Exception) -> None:
        self._came.put_nowait(error)


class Wire(QuicConnectionProtocol):
    """A QUIC connection with its streams."""

    def __init__(self, quic: QuicConnection, schema: codec.Schema) -> None:
        super().__init__(quic)
        self.schema = schema
        self.ended: Lost | None = None
        self._streams: dict[int, Stream] = {}

    def open(self) -> Stream:
        if self.ended is not None:
            raise self.ended
        number = self._quic.get_next_available_stream_id()
        # It counts as opened once something was sent on it.
        self._quic.send_stream_data(number, b"")
        stream = self._streams[number] = Stream(self, number)
        return stream

    def send(self, number: int, data: bytes, end: bool = False) -> None:
        if self.ended is not None:
            raise self.ended
        self._quic.send_stream_data(number, data, end)
        self.transmit()

    def give_up(self, number: int) -> None:
        self._streams.pop(number, None)
        if self.ended is None:
            self._quic.stop_stream(number, 0)
            self._quic.reset_stream(number, 0)
            self.transmit()

    def certificate_name(self) -> str:
        """The one DNS name in the replica's certificate, whose chain was checked."""
        # aioquic has no public way to the other side's certificate.
        certificate = self._quic.tls._peer_certificate
        if certificate is None:
            raise Lost("there is no certificate")
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = list(names)
        if len(found) != 1 or not isinstance(found[0], x509.DNSName):
            raise Lost("the certificate does not have exactly one DNS name")
        return found[0].value

    def quic_event_received(self, event: events.QuicEvent) -> None:
        if isinstance(event, events.StreamDataReceived):
            if stream := self._streams.get(event.stream_id):
                stream.take(event.data, event.end_stream)
        elif isinstance(event, events.StreamReset):
            if stream := self._streams.get(event.stream_id):
                stream.fail(Lost("the stream was reset", event.error_code))
        elif isinstance(event, events.ConnectionTerminated):
            # Without a frame type it is the application that closed.
            why = f"closed: {event.reason_phrase} ({event.error_code})"
            if event.frame_type is None:
                self.ended = Lost(why, code=event.error_code)
            else:
                self.ended = Lost(why, quic=event.error_code)
            for stream in self._streams.values():
                stream.fail(self.ended)


class Replica:
    """A connection to a replica that said hello."""

    def __init__(self, wire: Wire, control: Stream, hello: dict[str, Value]) -> None:
        self._wire = wire
        self._control = control
        self.hello = hello
        self._requests = 0
        self._commands: Stream | None = None

    @staticmethod
    async def connect(
        profile: Profile,
        address: str,
        *,
        cluster: int | None = None,
        versions: tuple[int, int] = (1, 1),
    ) -> Replica:
        """Connects and says hello; `cluster` and `versions` are for those who want to be refused."""
        wire = await dial(profile, address)
        control = wire.open()
        hello = {
            "version_min": versions[0],
            "version_max": versions[1],
            "cluster": profile.cluster if cluster is None else cluster,
        }
        control.send("ClientHello", hello)
        event, _ = await control.must("ControlEvent")
        if "Refused" in event:
            raise PaxlogError(event["Refused"])
        return Replica(wire, control, event["Hello"])

    @property
    def lost(self) -> Lost | None:
        return self._wire.ended

    def close(self) -> None:
        self._wire.close(0)

    async def closed(self) -> Lost:
        """Waits until the connection ends; says how."""
        await asyncio.wait_for(self._wire.wait_closed(), SILENCE_S)
        assert self._wire.ended is not None, "it has ended"
        return self._wire.ended

    async def told(self, wait_s: float = SILENCE_S) -> Value:
        """The next event on the control stream."""
        event, _ = await self._control.must("ControlEvent", wait_s)
        return event

    def open(self) -> Stream:
        return self._wire.open()

    async def query(self, query: Value, deadline_ms: int = DEADLINE_MS) -> Value:
        stream = self.open()
        stream.send("QueryRequest", {"deadline_ms": deadline_ms, "query": query})
        stream.finish()
        reply, _ = await stream.must("QueryReply")
        return _good(reply["result"])

    async def command(
        self,
        command: Value,
        batch: bytes = b"",
        *,
        resume: bool = False,
        deadline_ms: int = DEADLINE_MS,
    ) -> Value:
        """Sends one command, and waits for its reply."""
        if self._commands is None:
            self._commands = self.open()
        self._requests += 1
        request = {"request": self._requests, "deadline_ms": deadline_ms, "command": command}
        flags = codec.RESUME if resume else 0
        self._commands.send("CommandRequest", request, batch, flags)
        while True:
            reply, _ = await self._commands.must("CommandReply", COMMAND_S)
            # One that nobody waits for any more may come before it.
            if reply["request"] == self._requests:
                return _good(reply["result"])


def _good(result: Value) -> Value:
    if "Err" in result:
        raise PaxlogError(result["Err"])
    return result["Ok"]


async def dial(profile: Profile, address: str) -> Wire:
    """A connection to a replica of the profile's cluster, on which nothing was said yet."""
    host, port = address.rsplit(":", 1)
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
    family, _, _, _, remote = found[0]
    configuration = QuicConfiguration(
        is_client=True,
        alpn_protocols=[ALPN],
        cafile=str(profile.ca),
        verify_mode=ssl.CERT_REQUIRED,
        idle_timeout=10.0,
        max_data=16 * codec.MIB,
        max_stream_data=4 * codec.MIB,
    )
    # Without a server name aioquic checks the chain and no name: that is done below.
    configuration.load_cert_chain(profile.cert, profile.key)
    schema = codec.schema()
    transport, wire = await loop.create_datagram_endpoint(
        lambda: Wire(QuicConnection(configuration=configuration), schema),
        family=family,
        local_addr=("::" if family == socket.AF_INET6 else "0.0.0.0", 0),
    )
    wire.connect(remote)
    try:
        await asyncio.wait_for(wire.wait_connected(), 5)
    except (ConnectionError, TimeoutError) as error:
        transport.close()
        raise Lost(f"{address}: no connection ({wire.ended})") from error
    label = f"{profile.cluster:032x}"
    labels = wire.certificate_name().split(".")
    if labels[1:] != [label, "replica", "paxlog"]:
        wire.close(0)
        raise Lost(f"{address} is {'.'.join(labels)}, no replica of cluster {label}")
    return wire


class Cluster:
    """All replicas of a profile, connected when they are needed."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._replicas: dict[str, Replica] = {}
        self._leader: str | None = None
        self._ballot = 0
        self._turn = 0

    async def replica(self, address: str) -> Replica:
        known = self._replicas.get(address)
        if known is None or known.lost is not None:
            known = await Replica.connect(self.profile, address)
            self._replicas[address] = known
            self.note(known.hello["leader"])
        return known

    def note(self, hint: Value) -> None:
        """Takes a hint of who leads, unless it is older than another."""
        if hint is not None and hint["ballot"] >= self._ballot and hint["addresses"]:
            self._ballot = hint["ballot"]
            self._leader = hint["addresses"][0]

    def forget(self, address: str) -> None:
        """It does not lead, or can't be reached."""
        if self._leader == address:
            self._leader = None

    def whom_to_ask(self) -> str:
        """The leader, or else the next in turn."""
        if self._leader is not None:
            return self._leader
        self._turn += 1
        return self.profile.servers[self._turn % len(self.profile.servers)]

    def close(self) -> None:
        for replica in self._replicas.values():
            replica.close()

    async def ask(self, command: Value, batch: bytes = b"", patience_s: float = 60.0) -> Value:
        """Has a command done by whoever leads: sends it again, the same, until its outcome is known.

        Raises an error that is for the caller: `never`, or whatever came last when patience is over.
        """
        begin = time.monotonic()
        wait_s = FIRST_WAIT_S
        resume = False
        while True:
            address = self.whom_to_ask()
            trouble: Exception
            try:
                replica = await self.replica(address)
                return await replica.command(command, batch, resume=resume)
            except PaxlogError as error:
                trouble = error
                retry = error.code.retry
                if retry == "never" or error.code.name == "OffsetOutOfRange":
                    raise
                # What follows an append that was refused on this stream needs it.
                resume = True
                if retry == "elsewhere" or error.code.name in ("Electing", "Unavailable"):
                    self.forget(address)
                self.note(error.error["leader"])
                if retry == "after":
                    wait_s = max(wait_s, (error.error["retry_after_ms"] or 50) / 1_000)
            except Lost as error:
                trouble = error
                self.forget(address)
                if lost := self._replicas.pop(address, None):
                    lost.close()
            if time.monotonic() - begin > patience_s:
                raise trouble
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, LAST_WAIT_S)


class Writer:
    """A producer. One command at a time, each under its own number until its outcome is known."""

    def __init__(self, cluster: Cluster, name: str | None) -> None:
        self._cluster = cluster
        self._name = name
        self.producer = 0
        self.epoch = 0
        self.sequence = 0
        self.last: Value = None

    async def open(self) -> None:
        """Opens the producer, or its next epoch."""
        command = {"OpenProducer": {"nonce": secrets.randbits(128), "name": self._name}}
        opened = (await self._cluster.ask(command))["ProducerOpened"]
        self.producer, self.epoch = opened["producer"], opened["epoch"]
        self.last = opened["last"]
        self.sequence = 0

    def origin(self, sequence: int | None = None) -> Value:
        return {
            "producer": self.producer,
            "epoch": self.epoch,
            "sequence": self.sequence if sequence is None else sequence,
        }

    async def run(self, variant: str, batch: bytes = b"", /, **fields: Any) -> Value:
        """A numbered command; what it did, without the variant's name."""
        command = {variant: {"origin": self.origin()} | fields}
        outcome = await self._cluster.ask(command, batch)
        self.sequence += 1
        return next(iter(outcome.values()))

    async def log(self, name: str) -> int:
        """The id of a log, which is made if it is not there."""
        look = {"OpenLog": {"origin": None, "name": name, "create": False}}
        try:
            return int((await self._cluster.ask(look))["LogOpened"]["log"])
        except PaxlogError as error:
            if error.code.name != "NotFound":
                raise
        config = {
            "retention_age_ns": 0,
            "retention_bytes": 0,
            "batch_bytes_max": 0,
            "append_bytes_per_s": 0,
        }
        made = await self.run("CreateLog", name=name, if_absent=True, config=config)
        return int(made["log"])

    async def append(
        self,
        log: int,
        records: list[Record],
        *,
        if_tail: int | None = None,
        fence: str | None = None,
    ) -> Value:
        batch = codec.encode_batch(records)
        return await self.run("Append", batch, log=log, if_tail=if_tail, fence=fence)


@dataclass(frozen=True)
class Placed:
    """A record where it stands."""

    offset: int
    timestamp: int
    record: Record


class Position:
    """The offset of the next record: nothing twice, nothing left out."""

    def __init__(self) -> None:
        self.next = 0

    def take(self, metas: Value, body: bytes) -> list[Placed]:
        """The records of a `Records` event that are due."""
        if sum(meta["bytes"] for meta in metas) != len(body):
            raise codec.Refused("malformed", "batches that do not add up to their body")
        placed = []
        at = 0
        for meta in metas:
            records = codec.decode_batch(body[at : at + meta["bytes"]])
            at += meta["bytes"]
            if len(records) != meta["records"]:
                raise codec.Refused("malformed", "a batch has other records than said")
            if meta["start"] > self.next:
                raise codec.Refused("malformed", "records are left out")
            for offset, record in enumerate(records, meta["start"]):
                if offset >= self.next:
                    placed.append(Placed(offset, meta["timestamp"], record))
            self.next = max(self.next, meta["start"] + len(records))
        return placed


@dataclass
class ReadResult:
    started: Value
    records: list[Placed]
    gaps: list[int]
    end: Value


async def read(replica: Replica, log: Value, start: Value, **settings: Any) -> ReadResult:
    """Reads to the end of the read; `settings` are fields of `ReadRequest`."""
    request = {
        "deadline_ms": DEADLINE_MS,
        "log": log,
        "from": start,
        "records_max": 0,
        "bytes_max": 0,
        "until_tail": True,
        "until_timestamp": 0,
        "wait_ms": 0,
        "strict": False,
        "linearizable": False,
    } | settings
    stream = replica.open()
    stream.send("ReadRequest", request)
    stream.finish()
    position = Position()
    result = ReadResult(None, [], [], None)
    while True:
        event, body = await stream.must("ReadEvent")
        match event:
            case {"Started": started}:
                result.started = started
                position.next = started["from"]
            case {"Records": metas}:
                result.records += position.take(metas, body)
            case {"Gap": {"to": to}}:
                result.gaps.append(to)
                position.next = max(position.next, to)
            case {"End": end}:
                result.end = end
                most = request["records_max"]
                if most:
                    del result.records[most:]
                return result
            case {"Refused": error}:
                raise PaxlogError(error)


class Tail:
    """A tail. Credit is given back only when asked to."""

    def __init__(self, replica: Replica, log: Value, start: Value, credit: int) -> None:
        self._stream = replica.open()
        request = {"log": log, "from": start, "credit_bytes": credit}
        self._stream.send("TailRequest", request)
        self._position = Position()
        self.uncredited = 0

    def credit(self) -> None:
        """Gives back what came."""
        self._stream.send("Credit", {"bytes": self.uncredited})
        self.uncredited = 0

    def give_up(self) -> None:
        self._stream.give_up()

    async def events(self) -> AsyncIterator[tuple[str, Any]]:
        """Names of events, with their records or fields, to the stream's end."""
        while (found := await self._stream.next("TailEvent", wait_s=5)) is not None:
            event, body = found
            name, value = next(iter(event.items()))
            match name:
                case "Started":
                    self._position.next = value["from"]
                case "Records":
                    self.uncredited += len(body)
                    value = self._position.take(value, body)
                case "Gap":
                    self._position.next = max(self._position.next, value["to"])
                case "Refused":
                    raise PaxlogError(value)
            yield name, value
