"""The client of tests/engine/cases/foreign.gd, with the package `websockets`."""

import asyncio

from case import TIMEOUT, PORT, check, check_equal, pattern, run
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

URL = f"ws://127.0.0.1:{PORT}/path?query=1"
SIZES = [0, 1, 125, 126, 65535, 65536, 60 * 1024, 1 << 20]


def opened(*protocols):
    return connect(URL, subprotocols=protocols, max_size=4 << 20, open_timeout=TIMEOUT)


async def echoes(socket, message, what):
    echo = await asyncio.wait_for(socket.recv(), TIMEOUT)
    check_equal(type(echo), type(message), f"kind of the echo of {what}")
    check(echo == message, f"echo of {what}: {len(echo)}")


async def ends(socket):
    try:
        message = await asyncio.wait_for(socket.recv(), TIMEOUT)
    except ConnectionClosed:
        return socket.close_code, socket.close_reason
    return "a message", message


async def main():
    async with opened("nonsense", "echo") as first:
        check_equal(first.subprotocol, "echo", "subprotocol")
        check_equal(first.protocol.extensions, [], "extensions: compression was offered")
        for text in ["", "grüße, 世界 🙂", "x" * (1 << 20)]:
            await first.send(text)
            await echoes(first, text, f"text of {len(text)}")
        for size in SIZES:
            await first.send(pattern(size))
            await echoes(first, pattern(size), f"{size} bytes")
        # Fragments, each a frame of its own.
        await first.send(["one, ", "zwö, ", "three"])
        await echoes(first, "one, zwö, three", "a text in fragments")
        large = pattern(1 << 20)
        await first.send(large[at : at + 65536] for at in range(0, len(large), 65536))
        await echoes(first, large, "1 MiB in 16 fragments")
        latency = await asyncio.wait_for(await first.ping("ping"), TIMEOUT)
        check(latency < TIMEOUT, "pong")
        await first.close(4001, "adiós")
        check_equal((first.close_code, first.close_reason), (4001, "adiós"), "own close")

    async with opened("echo") as second:
        await second.send("close me")
        check_equal(await ends(second), (4002, "geh, schöner Gast"), "close of the server")

    try:
        async with opened("nonsense"):
            check(False, "a wrong subprotocol must be refused")
    except InvalidStatus as refusal:
        check_equal(refusal.response.status_code, 400, "refusal of a wrong subprotocol")

    async with opened("chess") as third:
        await third.send("end")
        check_equal(await ends(third), (1001, ""), "end of the server")


run(main)
