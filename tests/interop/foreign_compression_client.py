"""The client of tests/engine/cases/foreign_compression.gd, with the package `websockets`."""

import asyncio
import base64
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
# The first offers, with and without takeover of the context, get large messages, too.
LARGE_OFFERS = 4
# The sizes of the messages of noise, and of the large ones, of which one is noise, too.
NOISE = (1, 50, 3000, 40000)
LARGE = (200 << 10, 1 << 20)
SHARES = ARGS["mode"] == "1"


def messages():
    ticks = [json.dumps({"tick": tick, "id": 1000 + tick % 5}) for tick in range(60)]
    noise = [os.urandom(size) for size in NOISE]
    texts = ["", "x" * 40000, "é" * 5000, "grüße, 世界 🙂", json.dumps(list(range(9000)))]
    return texts + ticks + noise


def large_messages(size):
    """These are compressed and inflated in many pieces, with others behind them."""
    rows = [json.dumps({"row": row, "name": "grüße 🙂"}, ensure_ascii=False) for row in range(size // 32)]
    text = ",".join(rows)
    return [text, os.urandom(size), base64.b64encode(os.urandom(size // 4 * 3)).decode(), text.encode()]


async def talk(offer, large, last):
    server_keeps = not SHARES and not offer.get("server_no_context_takeover")
    client_keeps = not SHARES and not offer.get("client_no_context_takeover")
    agreed = "dedicated" if server_keeps or client_keeps else "shared"
    # No deflate of zlib has a window of 256 bytes.
    sent = "plain" if offer.get("server_max_window_bits") == 8 else "compressed"
    extensions = [ClientPerMessageDeflateFactory(**offer)]
    sizes = LARGE if large else ()
    batches = [messages(), *map(large_messages, sizes)]
    total = sum(
        len(message.encode() if isinstance(message, str) else message) for batch in batches for message in batch
    )
    url = f"ws://127.0.0.1:{PORT}/{agreed}/{sent}/{total}/{sum(NOISE + sizes)}"
    arguments = {"compression": None, "extensions": extensions, "max_size": 4 << 20, "open_timeout": TIMEOUT}
    async with connect(url, **arguments) as socket:
        check_equal(len(socket.protocol.extensions), 1, f"{offer}: extensions")
        # The server looks at its figures when all has come back.
        for sending in [*batches, ["statistics"], ["end"] if last else []]:
            for message in sending:
                await socket.send(message)
            for message in sending:
                echo = await asyncio.wait_for(socket.recv(), TIMEOUT)
                check_equal(type(echo), type(message), f"{offer}: kind of an echo")
                check(echo == message, f"{offer}: echo of {message!r:.40}: {len(echo)}")


async def main():
    for index, offer in enumerate(OFFERS):
        await talk(offer, index < LARGE_OFFERS, offer is OFFERS[-1])


run(main)
