"""The client in Python against a real cluster, and against the test vectors.

    python test_interop.py PAGE VECTORS [PROFILE STRANGER]

Without a profile only the page and the vectors are looked at. STRANGER is the profile of a client of another cluster.
Every step prints a line; the first that fails ends it. At the end whoever runs this is asked to kill the leader: the
line is `kill the leader`, and the answer a line, too.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import paxlog_client as client
import paxlog_codec as codec
from paxlog_client import Cluster, Lost, PaxlogError, Position, Replica, Tail, Writer
from paxlog_codec import Record, Value


def equal(found: Any, due: Any, what: str = "") -> None:
    if found != due:
        raise AssertionError(f"{what}: {found!r} is not {due!r}")


async def refused(code: str, doing: Awaitable[Any]) -> dict[str, Value]:
    """The error that this must end in."""
    try:
        done = await doing
    except PaxlogError as error:
        equal(error.code.name, code, error.error["message"])
        return error.error
    raise AssertionError(f"{code} was due, and it is done: {done!r}")


async def lost(doing: Awaitable[Any]) -> Lost:
    """How a connection or stream ends that must end."""
    try:
        done = await doing
    except Lost as error:
        return error
    raise AssertionError(f"it was to be lost, and it is done: {done!r}")


# ---- the page and the vectors ----


def the_page_is_what_the_codec_was_made_of(page: str) -> None:
    """Every message of the page, field by field, and the table of errors."""
    messages = page[page.index("\n## Messages\n") : page.index("\n## Batches\n")]
    blocks = re.findall(r"```text\n(.*?)```", messages, re.DOTALL)
    said = codec.parse_schema("\n".join(blocks))
    equal(said, codec.schema().definitions, "schema.txt")
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| (\w+) \| ([^|]+) \| [^|]+ \|$", page, re.MULTILINE)
    table = {int(row[0]): codec.Code(int(row[0]), row[1], row[2], row[3]) for row in rows}
    equal(table, codec.CODES, "the table of errors")


def decoded(data: bytes, limits: codec.Limits, due: str) -> Value:
    """The only message of a stream."""
    decoder = codec.FrameDecoder(limits)
    decoder.push(data)
    frame = decoder.next()
    if frame is None:
        decoder.finish()
        raise AssertionError("no frame")
    if codec.KINDS[frame.kind] != due:
        raise codec.Refused("kind", codec.KINDS[frame.kind])
    return codec.schema().decode(due, frame.meta)


def reason(doing: Callable[..., Any], *arguments: Any) -> str:
    """Why this is refused."""
    try:
        doing(*arguments)
    except codec.Refused as refusal:
        return refusal.reason
    return "good"


def the_vectors_hold_in_both_directions(vectors: dict[str, Any]) -> None:
    schema = codec.schema()
    for vector in vectors["frames"]:
        name, message = vector["name"], vector["message"]
        equal(codec.KIND_OF[message], vector["kind"], name)
        kind = schema.type(message)
        decoder = codec.FrameDecoder(codec.TO_CLIENT)
        for byte in bytes.fromhex(vector["frame"]):
            equal(decoder.next(), None, f"{name} came too early")
            decoder.push(bytes([byte]))
        frame = decoder.next()
        assert frame is not None, name
        decoder.finish()
        equal((frame.kind, frame.flags), (vector["kind"], vector["flags"]), name)
        equal((frame.meta.hex(), frame.body.hex()), (vector["meta"], vector["body"]), name)
        value = schema.decode(message, frame.meta)
        equal(kind.to_json(value), vector["value"], name)
        meta = schema.encode(message, kind.from_json(vector["value"]))
        again = codec.Frame(vector["kind"], vector["flags"], meta, bytes.fromhex(vector["body"]))
        equal(codec.encode_frame(again).hex(), vector["frame"], name)
        match value:
            case {"Records": metas}:
                position = Position()
                position.next = metas[0]["start"]
                count = sum(meta["records"] for meta in metas)
                equal(len(position.take(metas, frame.body)), count, name)
    for vector in vectors["batches"]:
        records = [
            Record(
                bytes.fromhex(record["payload"]),
                None if record["key"] is None else bytes.fromhex(record["key"]),
                tuple((bytes.fromhex(n), bytes.fromhex(v)) for n, v in record["headers"]),
            )
            for record in vector["records"]
        ]
        batch = bytes.fromhex(vector["batch"])
        equal(codec.decode_batch(batch), records, vector["name"])
        equal(codec.encode_batch(records), batch, vector["name"])
    limits = {"first": codec.FIRST, "from_client": codec.FROM_CLIENT, "to_client": codec.TO_CLIENT}
    for vector in vectors["refused_frames"]:
        data, due = bytes.fromhex(vector["bytes"]), vector["message"]
        found = reason(decoded, data, limits[vector["limits"]], due)
        equal(found, vector["reason"], vector["name"])
    for vector in vectors["refused_batches"]:
        batch = bytes.fromhex(vector["batch"])
        equal(reason(codec.decode_batch, batch), vector["reason"], vector["name"])


# ---- against a cluster ----


class World:
    """What the steps share."""

    def __init__(self, profile: client.Profile, stranger: client.Profile) -> None:
        self.profile = profile
        self.stranger = stranger
        self.cluster = Cluster(profile)
        self.writer = Writer(self.cluster, "interop")
        self.log = 0
        self.receipts: list[Value] = []

    async def leader(self) -> Replica:
        return await self.cluster.replica(self.cluster.whom_to_ask())

    async def new_log(self, name: str) -> tuple[Writer, int]:
        """A log of its own, with an anonymous producer."""
        writer = Writer(self.cluster, None)
        await writer.open()
        return writer, await writer.log(name)


NAME = "interop/orders"
BY_NAME = {"Name": NAME}
RECORDS = [
    Record(b"first", b"key", ((b"lang", b"en"), (b"lang", b"de"), (b"", b"\x00\xff"))),
    Record(b"", b""),
    Record("schließlich".encode()),
]


async def hello_and_its_refusals(world: World) -> None:
    for address in world.profile.servers:
        replica = await world.cluster.replica(address)
        equal(replica.hello["version"], 1)
        equal(replica.hello["cluster"], world.profile.cluster)
        equal(replica.hello["limits"]["batch_bytes_max"], 4 << 20)
    address = world.profile.servers[0]
    await refused("WrongCluster", Replica.connect(world.profile, address, cluster=7))
    await refused("VersionMismatch", Replica.connect(world.profile, address, versions=(2, 9)))
    # A client that speaks more is answered in the version that both speak.
    newer = await Replica.connect(world.profile, address, versions=(1, 9))
    equal(newer.hello["version"], 1)
    newer.close()


async def strangers_are_refused_by_both_sides(world: World) -> None:
    address, stranger = world.profile.servers[0], world.stranger
    # One that trusts the replica, and that the replica does not know: an alert of TLS, after the handshake.
    unknown = replace(world.profile, cert=stranger.cert, key=stranger.key)
    error = await lost(Replica.connect(unknown, address))
    assert error.quic is not None and error.quic >> 8 == 1, error
    # One that does not know the replica's authority.
    error = await lost(Replica.connect(replace(stranger, servers=world.profile.servers), address))
    # One that wants another cluster of the same authority.
    other = replace(world.profile, cluster=world.profile.cluster + 1)
    error = await lost(Replica.connect(other, address))
    assert "no replica of cluster" in str(error), error


async def streams_may_be_opened_behind_the_hello_and_ended_when_all_is_said(world: World) -> None:
    wire = await client.dial(world.profile, world.profile.servers[0])
    control, query = wire.open(), wire.open()
    hello = {"version_min": 1, "version_max": 1, "cluster": world.profile.cluster}
    control.send("ClientHello", hello)
    query.send("QueryRequest", {"deadline_ms": 10_000, "query": "Status"})
    control.finish()
    reply, _ = await query.must("QueryReply")
    equal(reply["result"]["Ok"]["Status"]["cluster"], world.profile.cluster)
    equal(await query.next("QueryReply"), None, "one answer, then the end")
    event, _ = await control.must("ControlEvent")
    assert "Hello" in event, event
    event, _ = await control.must("ControlEvent")
    assert "Leader" in event, event
    wire.close(0)


async def many_appends_are_in_flight_on_one_stream(world: World) -> None:
    writer, log = await world.new_log("interop/pipelined")
    stream = (await world.leader()).open()
    count = 200
    for number in range(count):
        origin = writer.origin(writer.sequence + number)
        command = {"Append": {"origin": origin, "log": log, "if_tail": number, "fence": None}}
        batch = codec.encode_batch([Record(b"%d" % number)])
        request = {"request": number, "deadline_ms": 10_000, "command": command}
        stream.send("CommandRequest", request, batch)
    # It has nothing more to say, and hears all the same.
    stream.finish()
    starts = {}
    while (found := await stream.next("CommandReply")) is not None:
        reply = found[0]
        starts[reply["request"]] = reply["result"]["Ok"]["Appended"]["start"]
    equal(starts, {number: number for number in range(count)})


async def a_follower_names_the_leader(world: World) -> None:
    nonce = secrets.randbits(128)
    opening = {"OpenProducer": {"nonce": nonce, "name": None}}
    answers, refusals = [], 0
    for address in world.profile.servers:
        replica = await world.cluster.replica(address)
        try:
            answers.append(await replica.command(opening))
        except PaxlogError as error:
            equal(error.code.name, "NotLeader")
            refusals += 1
            world.cluster.note(error.error["leader"])
            # Followed, with the same nonce: the same producer each time.
            assert error.error["leader"]["addresses"][0] in world.profile.servers
            answers.append(await (await world.leader()).command(opening))
    equal((len(answers), refusals), (3, 2))
    equal(answers[1:], answers[:1] * 2, "one opening, whoever was asked first")
    equal(answers[0]["ProducerOpened"]["last"], None)


async def append_and_retry(world: World) -> None:
    await world.writer.open()
    first_epoch = world.writer.epoch
    world.log = await world.writer.log(NAME)
    sequence = world.writer.sequence
    receipt = await world.writer.append(world.log, RECORDS, if_tail=0)
    equal((receipt["log"], receipt["start"], receipt["end"]), (world.log, 0, 3))
    equal((receipt["tail"], receipt["duplicate"]), (3, False))
    assert receipt["durability"].bit_count() >= 2, receipt
    world.receipts.append(receipt)
    # The same again, also on a connection of its own.
    again = {
        "Append": {
            "origin": world.writer.origin(sequence),
            "log": world.log,
            "if_tail": 0,
            "fence": None,
        }
    }
    fresh = Cluster(world.profile)
    for cluster in (world.cluster, fresh):
        kept = (await cluster.ask(again, codec.encode_batch(RECORDS)))["Appended"]
        equal(kept, receipt | {"duplicate": True, "durability": 0})
    # A sequence is for one command.
    other = codec.encode_batch(RECORDS[:1])
    await refused("Invalid", world.cluster.ask(again, other))
    # One beyond the next is a gap, which ends nothing.
    gap = {"Append": again["Append"] | {"origin": world.writer.origin(sequence + 5)}}
    error = await refused("SequenceGap", fresh.ask(gap, other))
    equal(error["found"], sequence + 1)
    fresh.close()
    # Opened again: the next epoch, and the older one is closed.
    before = world.writer.origin()
    await world.writer.open()
    equal(world.writer.epoch, first_epoch + 1)
    last = world.writer.last
    equal((last["epoch"], last["sequence"]), (first_epoch, sequence))
    equal(last["what"]["Appended"]["end"], 3)
    late = {"Append": again["Append"] | {"origin": before, "if_tail": None}}
    error = await refused("Fenced", world.cluster.ask(late, other))
    equal(error["found"], world.writer.epoch)


async def a_refused_condition_ends_the_epoch(world: World) -> None:
    batch = [Record(b"conditional")]
    doing = world.writer.append(world.log, batch, if_tail=1)
    error = await refused("TailMismatch", doing)
    equal(error["tail"], 3)
    # So does everything behind it, whatever it asks for.
    world.writer.sequence += 1
    error = await refused("TailMismatch", world.writer.append(world.log, batch, if_tail=3))
    equal((error["tail"], error["version"]), (3, None))
    await world.writer.open()
    receipt = await world.writer.append(world.log, batch, if_tail=3)
    equal((receipt["start"], receipt["end"]), (3, 4))
    world.receipts.append(receipt)


async def read_back(world: World) -> None:
    due = RECORDS + [Record(b"conditional")]
    for address in world.profile.servers:
        replica = await world.cluster.replica(address)
        got = await client.read(replica, BY_NAME, "First", linearizable=True)
        equal([placed.record for placed in got.records], due)
        equal([placed.offset for placed in got.records], [0, 1, 2, 3])
        equal(got.records[3].timestamp, world.receipts[1]["timestamp"])
        equal((got.end["reason"], got.end["next"], got.end["tail"]), ("Tail", 4, 4))
        equal((got.started["log"], got.started["from"]), (world.log, 0))
        assert got.started["stale_ms"] is not None
    # From within a batch, and cut within one.
    got = await client.read(replica, {"Id": world.log}, {"Offset": 1}, records_max=1)
    equal([(placed.offset, placed.record) for placed in got.records], [(1, due[1])])
    equal(got.end["reason"], "Limit")
    got = await client.read(replica, BY_NAME, {"TailMinus": 2})
    equal([placed.offset for placed in got.records], [2, 3])
    error = await refused("OffsetOutOfRange", client.read(replica, BY_NAME, {"Offset": 5}))
    equal(error["tail"], 4)
    await refused("NotFound", client.read(replica, {"Name": "none"}, "First"))


async def read_by_time(world: World) -> None:
    replica = await world.leader()
    second = world.receipts[1]["timestamp"]
    got = await client.read(replica, BY_NAME, {"Timestamp": second})
    equal([placed.offset for placed in got.records], [3])
    got = await client.read(replica, BY_NAME, "First", until_timestamp=second)
    equal([placed.offset for placed in got.records], [0, 1, 2])
    equal(got.end["reason"], "Until")
    got = await client.read(replica, BY_NAME, {"Timestamp": second + 1})
    equal((got.records, got.started["from"]), ([], 4))


async def tail_with_credit(world: World) -> None:
    replica = await world.leader()
    tail = Tail(replica, BY_NAME, {"Offset": 3}, credit=1)
    events = tail.events()

    async def next_of(*names: str) -> tuple[str, Any]:
        async for name, value in events:
            if name in names:
                return name, value
        raise AssertionError("the tail ended")

    equal((await next_of("Started"))[1]["from"], 3)
    # A batch larger than the credit goes out, as nothing is owed.
    equal([placed.offset for placed in (await next_of("Records"))[1]], [3])
    equal((await next_of("CaughtUp"))[1], {"tail": 4})
    live = [Record(b"live", headers=((b"n", b"0"),))]
    receipt = await world.writer.append(world.log, live)
    # Without credit nothing comes but heartbeats.
    name, _ = await next_of("Records", "Heartbeat")
    equal(name, "Heartbeat")
    tail.credit()
    placed = (await next_of("Records"))[1]
    equal([(one.offset, one.record) for one in placed], [(receipt["start"], live[0])])
    equal(placed[0].timestamp, receipt["timestamp"])
    tail.credit()
    equal((await next_of("CaughtUp"))[1], {"tail": 5})
    # With credit they come as they are appended.
    for number in range(5):
        await world.writer.append(world.log, [Record(b"live %d" % number)])
        placed = (await next_of("Records"))[1]
        equal([one.record.payload for one in placed], [b"live %d" % number])
        tail.credit()
    tail.give_up()


async def check_tail_everywhere(world: World) -> None:
    receipt = await world.writer.append(world.log, [Record(b"last")])
    for address in world.profile.servers:
        replica = await world.cluster.replica(address)
        query = {"CheckTail": {"log": BY_NAME, "linearizable": True}}
        tail = (await replica.query(query))["Tail"]
        equal((tail["offset"], tail["version"]), (receipt["end"], receipt["version"]))
        equal((tail["timestamp"], tail["sealed"]), (receipt["timestamp"], False))
        local = {"CheckTail": {"log": {"Id": world.log}, "linearizable": False}}
        local_tail = (await replica.query(local))["Tail"]
        assert local_tail["offset"] <= tail["offset"]
        none = {"CheckTail": {"log": {"Id": 1 << 40}, "linearizable": False}}
        await refused("NotFound", replica.query(none))


async def fence_and_append_under_it(world: World) -> None:
    writer, log = await world.new_log("interop/fenced")
    token = "w1"
    fence = await writer.run("Fence", log=log, token=token, expect="Absent")
    equal((fence["tail"], fence["duplicate"]), (0, False))
    equal((await writer.append(log, RECORDS, fence=token))["end"], 3)
    for other in (None, "w2"):
        error = await refused("Fenced", writer.append(log, RECORDS, fence=other))
        equal(error["found"], None, "it is the log's fence")
        await writer.open()
    doing = writer.run("Fence", log=log, token="w2", expect={"Is": "other"})
    await refused("Fenced", doing)
    await writer.open()
    fence = await writer.run("Fence", log=log, token=None, expect={"Is": token})
    equal(fence["tail"], 3)
    equal((await writer.append(log, RECORDS))["end"], 6)


async def cursors(world: World) -> None:
    writer, log = await world.new_log("interop/cursors")
    await writer.append(log, RECORDS)
    cursor = {"log": log, "name": "billing"}
    equal((await writer.run("SetCursor", **cursor, at=1, expect="Absent"))["at"], 1)
    equal((await writer.run("SetCursor", **cursor, at=2, expect={"Is": 1}))["at"], 2)
    doing = writer.run("SetCursor", **cursor, at=3, expect={"Is": 1})
    error = await refused("CursorMismatch", doing)
    equal(error["found"], 2)
    await writer.open()
    error = await refused("OffsetOutOfRange", writer.run("SetCursor", **cursor, at=4, expect="Any"))
    equal(error["tail"], 3)
    replica = await world.leader()
    ask = {"log": {"Id": log}, "linearizable": True}
    answer = (await replica.query({"Cursor": ask | {"name": "billing"}}))["Cursor"]
    equal((answer["cursor"]["name"], answer["cursor"]["at"]), ("billing", 2))
    answer = (await replica.query({"Cursor": ask | {"name": "none"}}))["Cursor"]
    equal(answer["cursor"], None)
    got = await client.read(replica, {"Id": log}, {"Cursor": "billing"})
    equal([placed.offset for placed in got.records], [2])
    page = ask | {"prefix": "b", "after": None, "limit": 10}
    answer = (await replica.query({"Cursors": page}))["Cursors"]
    equal(([cursor["name"] for cursor in answer["cursors"]], answer["more"]), (["billing"], False))
    await writer.open()
    await writer.run("DeleteCursor", **cursor)
    await refused("NotFound", writer.run("DeleteCursor", **cursor))


async def a_refused_append_refuses_those_behind_it(world: World) -> None:
    writer, log = await world.new_log("interop/resume")
    replica = await Replica.connect(world.profile, world.cluster.whom_to_ask())
    append = {"Append": {"origin": writer.origin(), "log": log, "if_tail": None, "fence": None}}
    good = codec.encode_batch(RECORDS)
    bad = good[:-1] + bytes([good[-1] ^ 1])
    await refused("Invalid", replica.command(append, bad))
    await refused("Invalid", replica.command(append, good))
    # It was refused before it was ordered, so the number is still free.
    equal((await replica.command(append, good, resume=True))["Appended"]["start"], 0)
    equal((await replica.command(append, good))["Appended"]["duplicate"], True)
    writer.sequence += 1
    # A deadline of 0 is over at once; a number is missing; a body where none belongs.
    late = replica.command({"Append": append["Append"] | {"origin": writer.origin()}}, good, deadline_ms=0)
    await refused("DeadlineExceeded", late)
    await refused("Invalid", replica.command({"Seal": {"origin": None, "log": log}}))
    seal = {"Seal": {"origin": writer.origin(), "log": log}}
    await refused("Invalid", replica.command(seal, good))
    await refused("TooLarge", replica.command(append, _too_large(), resume=True))
    replica.close()


def _too_large() -> bytes:
    """A record of a byte more than may be."""
    return codec.encode_batch([Record(bytes(codec.RECORD_BYTES_MAX + 1))])


async def gaps_seals_and_ends(world: World) -> None:
    writer, log = await world.new_log("interop/trimmed")
    by_id = {"Id": log}
    for _ in range(3):
        await writer.append(log, RECORDS)
    trimmed = await writer.run("Trim", log=log, to=4)
    equal((trimmed["trim_point"], trimmed["tail"]), (4, 9))
    replica = await world.leader()
    got = await client.read(replica, by_id, {"Offset": 1})
    equal((got.started["from"], got.gaps), (1, [4]))
    equal([placed.offset for placed in got.records], [4, 5, 6, 7, 8])
    error = await refused("Trimmed", client.read(replica, by_id, {"Offset": 1}, strict=True))
    equal(error["trim_point"], 4)
    # A tail hears of the end of a sealed log, and so does a read that would wait.
    tail = Tail(replica, by_id, "Tail", credit=1 << 20)
    waiting = asyncio.create_task(client.read(replica, by_id, "Tail", until_tail=False, wait_ms=60_000))
    heard = tail.events()
    equal((await anext(heard))[0], "Started")
    sealed = await writer.run("Seal", log=log)
    equal(sealed["tail"], 9)
    names = [name async for name, _ in heard]
    equal(names[-1], "Sealed")
    equal((await waiting).end["reason"], "Sealed")
    error = await refused("Sealed", writer.append(log, RECORDS))
    equal(error["tail"], 9)


async def logs_and_their_settings(world: World) -> None:
    writer, log = await world.new_log("interop/settings")
    change = {"retention_age_ns": None, "retention_bytes": 1 << 60, "batch_bytes_max": 64}
    await writer.run("AlterLog", log=log, change=change | {"append_bytes_per_s": None})
    replica = await world.leader()
    describe = {"Describe": {"log": {"Id": log}, "linearizable": True}}
    description = (await replica.query(describe))["Description"]
    equal(description["name"], "interop/settings")
    equal(description["config"]["retention_bytes"], 1 << 60)
    equal(description["config"]["batch_bytes_max"], 64)
    await refused("TooLarge", writer.append(log, RECORDS))
    # A page of two.
    names: list[str] = []
    more = True
    while more:
        after = names[-1] if names else None
        page = {"List": {"prefix": "interop/", "after": after, "limit": 2}}
        answer = (await replica.query(page))["Logs"]
        names += [described["name"] for described in answer["logs"]]
        more = answer["more"]
    equal(names, sorted(names))
    assert NAME in names and "interop/settings" in names, names
    await writer.open()
    create = {"name": NAME, "if_absent": False, "config": description["config"]}
    error = await refused("AlreadyExists", writer.run("CreateLog", **create))
    equal(error["log"], world.log)
    await writer.open()
    await writer.run("DeleteLog", log=log)
    await refused("LogDeleted", replica.query(describe))
    await refused("LogDeleted", writer.append(log, RECORDS))
    status = (await replica.query("Status"))["Status"]
    equal((status["cluster"], status["role"]), (world.profile.cluster, "Leader"))
    equal([member["replica"] for member in status["members"]], [1, 2, 3])


async def opening_a_log_with_and_without_a_number(world: World) -> None:
    writer = Writer(world.cluster, None)
    await writer.open()
    ask = {"name": "interop/opened", "create": True}
    await refused("Invalid", world.cluster.ask({"OpenLog": ask | {"origin": None}}))
    opened = await writer.run("OpenLog", **ask)
    equal((opened["existed"], opened["tail"], opened["version"]), (False, 0, 1))
    again = await writer.run("OpenLog", **ask)
    equal((again["existed"], again["log"]), (True, opened["log"]))
    # Both used their sequence up.
    equal((await writer.append(opened["log"], RECORDS))["start"], 0)
    # To look uses none.
    look = {"OpenLog": {"origin": writer.origin(), "name": NAME, "create": False}}
    equal((await world.cluster.ask(look))["LogOpened"]["log"], world.log)
    equal((await writer.append(opened["log"], RECORDS))["start"], 3)


async def what_is_no_frame_ends_the_connection(world: World) -> None:
    address = world.profile.servers[0]
    hello = codec.Frame(codec.KIND_OF["ClientHello"], 0, bytes(20), b"")
    damaged = codec.encode_frame(hello)[:-1] + b"\x01"
    # A first frame that is damaged ends its stream, …
    replica = await Replica.connect(world.profile, address)
    stream = replica.open()
    stream.send_raw(damaged)
    equal((await lost(stream.must("CommandReply"))).code, 17)
    # … a later one on a command stream its connection.
    stream = replica.open()
    look = {"OpenLog": {"origin": None, "name": NAME, "create": False}}
    stream.send("CommandRequest", {"request": 1, "deadline_ms": 1_000, "command": look})
    await stream.must("CommandReply")
    stream.send_raw(damaged)
    equal((await replica.closed()).code, 17)
    # A malformed question is answered.
    replica = await Replica.connect(world.profile, address)
    stream = replica.open()
    meta = codec.Frame(codec.KIND_OF["QueryRequest"], 0, b"\x00" * 4 + b"\x63" * 4, b"")
    stream.send_raw(codec.encode_frame(meta))
    reply, _ = await stream.must("QueryReply")
    equal(reply["result"]["Err"]["code"], 17)
    replica.close()


async def nothing_is_lost_or_repeated_when_the_leader_is_killed(world: World) -> None:
    writer, log = await world.new_log("interop/killed")
    leader = (await world.leader()).hello["replica"]
    followers = [await world.cluster.replica(address) for address in world.profile.servers]
    followers = [replica for replica in followers if replica.hello["replica"] != leader]

    async def append(number: int) -> None:
        receipt = await writer.append(log, [Record(b"%d" % number)])
        equal(receipt["start"], number, "each once, in order")

    for number in range(20):
        await append(number)
    sequence = writer.sequence
    before = await writer.append(log, RECORDS)
    print("kill the leader", flush=True)
    answer = asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    # Appended while it is killed, whenever that is.
    count = 23
    more = 20
    while more > 0:
        await append(count)
        count += 1
        more -= answer.done()
    # The others say who leads now.
    new_leader = leader
    while new_leader == leader:
        match await followers[0].told():
            case {"Leader": hint}:
                new_leader = hint["replica"]
    # What the old one acknowledged, the new one knows again.
    again = {
        "Append": {
            "origin": writer.origin(sequence),
            "log": log,
            "if_tail": None,
            "fence": None,
        }
    }
    kept = (await world.cluster.ask(again, codec.encode_batch(RECORDS)))["Appended"]
    equal(kept, before | {"duplicate": True, "durability": 0})
    got = await client.read(followers[0], {"Id": log}, "First", linearizable=True)
    payloads = [placed.record.payload for placed in got.records]
    due = [b"%d" % number for number in range(count)]
    due[20:23] = [record.payload for record in RECORDS]
    equal(payloads, due)


STEPS: list[Callable[[World], Awaitable[None]]] = [
    hello_and_its_refusals,
    strangers_are_refused_by_both_sides,
    streams_may_be_opened_behind_the_hello_and_ended_when_all_is_said,
    a_follower_names_the_leader,
    append_and_retry,
    a_refused_condition_ends_the_epoch,
    read_back,
    read_by_time,
    tail_with_credit,
    check_tail_everywhere,
    fence_and_append_under_it,
    cursors,
    a_refused_append_refuses_those_behind_it,
    many_appends_are_in_flight_on_one_stream,
    gaps_seals_and_ends,
    logs_and_their_settings,
    opening_a_log_with_and_without_a_number,
    what_is_no_frame_ends_the_connection,
    nothing_is_lost_or_repeated_when_the_leader_is_killed,
]


async def against(profile: client.Profile, stranger: client.Profile) -> None:
    world = World(profile, stranger)
    for step in STEPS:
        print(step.__name__, flush=True)
        await asyncio.wait_for(step(world), 80)
    world.cluster.close()


def main(arguments: list[str]) -> None:
    page, vectors = Path(arguments[0]).read_text(), json.loads(Path(arguments[1]).read_text())
    print(the_page_is_what_the_codec_was_made_of.__name__, flush=True)
    the_page_is_what_the_codec_was_made_of(page)
    print(the_vectors_hold_in_both_directions.__name__, flush=True)
    the_vectors_hold_in_both_directions(vectors)
    if len(arguments) > 2:
        profile, stranger = (client.Profile.load(Path(path)) for path in arguments[2:])
        asyncio.run(against(profile, stranger))
    print("all good", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
