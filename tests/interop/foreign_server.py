"""The server of tests/engine/cases/foreign.gd, with the package `websockets`."""

import asyncio
import http

from case import PORT, check_equal, run
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

# By connection, in the order in which they came: a later one may end sooner.
ENDS = []


async def converse(socket):
    number = len(ENDS)
    ENDS.append(None)
    check_equal(socket.request.path, "/some/path?x=1", "path")
    try:
        async for message in socket:
            if message == "close me":
                await socket.close(4002, "geh, schöner Gast")
            elif message == "vanish":
                socket.transport.abort()
            elif message == "fragments":
                await socket.send(["one, ", "zwö, ", "three"])
            else:
                await socket.send(message)
    except ConnectionClosed:
        pass
    await socket.wait_closed()
    ENDS[number] = (socket.close_code, socket.close_reason)


def refuse_strangers(socket, request):
    if request.headers.get("X-Test") != "yes":
        return socket.respond(http.HTTPStatus.UNAUTHORIZED, "Go away\n")
    return None


async def main():
    arguments = {"subprotocols": ["echo"], "max_size": 4 << 20, "process_request": refuse_strangers}
    async with serve(converse, "127.0.0.1", PORT, **arguments):
        print("READY")
        async with asyncio.timeout(40):
            while len(ENDS) < 3 or None in ENDS:
                await asyncio.sleep(0.01)
    check_equal(ENDS, [(4001, "adiós"), (4002, "geh, schöner Gast"), (1006, "")], "ends")


run(main)
