"""The server of tests/engine/cases/foreign_compression.gd, with the package `websockets`: each path has its own way to negotiate."""

import asyncio

from case import ARGS, PORT, check_equal, run
from websockets.asyncio.server import serve
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

OPTIONS = [
    {},
    {"server_no_context_takeover": True},
    {"client_no_context_takeover": True},
    {"server_no_context_takeover": True, "client_no_context_takeover": True},
    {"client_max_window_bits": 8},
    {"client_max_window_bits": 9},
    {"server_max_window_bits": 10},
    {"server_max_window_bits": 12, "client_max_window_bits": 12, "require_client_max_window_bits": True},
]
SHARES = ARGS["mode"] == "1"
OVER = asyncio.Event()


def option(socket):
    return OPTIONS[int(socket.request.path[1:])]


def choose(socket, request):
    socket.protocol.available_extensions = [
        ServerPerMessageDeflateFactory(**OPTIONS[int(request.path[1:])])
    ]


async def converse(socket):
    check_equal(len(socket.protocol.extensions), 1, f"{socket.request.path}: extensions")
    chosen = option(socket)
    server_keeps = not SHARES and not chosen.get("server_no_context_takeover")
    client_keeps = not SHARES and not chosen.get("client_no_context_takeover")
    agreed = "dedicated" if server_keeps or client_keeps else "shared"
    # No deflate of zlib has a window of 256 bytes.
    sends = "plain" if chosen.get("client_max_window_bits") == 8 else "compressed"
    last = chosen is OPTIONS[-1]
    await socket.send(f"{agreed} {sends} {'last' if last else 'more'}")
    async for message in socket:
        await socket.send(message)
    check_equal(socket.close_code, 1000, f"{chosen}: close")
    if last:
        OVER.set()


async def main():
    arguments = {"compression": None, "max_size": 4 << 20, "process_request": choose}
    async with serve(converse, "127.0.0.1", PORT, **arguments):
        print("READY")
        async with asyncio.timeout(50):
            await OVER.wait()


run(main)
