"""The client of tests/engine/cases/foreign_compression.gd, with the package `websockets`."""

import asyncio
import json
import os

from case import ARGS, PORT, TIMEOUT, check, check_equal, run
from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

OFFERS = [
    {},
    {"server_no_context_takeover": True},
    {"client_no_context_takeover": True},
    {"server_no_context_takeover": True, "client_no_context_takeover": True},
    {"server_max_window_bits": 8},
    {"server_max_window_bits": 9},
    {"client_max_window_bits": True},
    {"client_max_window_bits": 9},
    {"server_max_window_bits": 12, "client_max_window_bits": 12, "server_no_context_takeover": True},
]
SHARES = ARGS["mode"] == "1"


def messages():
    ticks = [json.dumps({"tick": tick, "id": 1000 + tick % 5}) for tick in range(60)]
    noise = [os.urandom(size) for size in (1, 50, 3000, 40000)]
    texts = ["", "x" * 40000, "é" * 5000, "grüße, 世界 🙂", json.dumps(list(range(9000)))]
    return texts + ticks + noise


async def talk(offer, last):
    server_keeps = not SHARES and not offer.get("server_no_context_takeover")
    client_keeps = not SHARES and not offer.get("client_no_context_takeover")
    agreed = "dedicated" if server_keeps or client_keeps else "shared"
    # No deflate of zlib has a window of 256 bytes.
    sent = "plain" if offer.get("server_max_window_bits") == 8 else "compressed"
    extensions = [ClientPerMessageDeflateFactory(**offer)]
    url = f"ws://127.0.0.1:{PORT}/{agreed}/{sent}"
    async with connect(url, compression=None, extensions=extensions, open_timeout=TIMEOUT) as socket:
        check_equal(len(socket.protocol.extensions), 1, f"{offer}: extensions")
        # The server looks at its figures when all has come back.
        for sending in [messages(), ["statistics"], ["end"] if last else []]:
            for message in sending:
                await socket.send(message)
            for message in sending:
                echo = await asyncio.wait_for(socket.recv(), TIMEOUT)
                check_equal(type(echo), type(message), f"{offer}: kind of an echo")
                check(echo == message, f"{offer}: echo of {message!r:.40}: {len(echo)}")


async def main():
    for offer in OFFERS:
        await talk(offer, offer is OFFERS[-1])


run(main)
