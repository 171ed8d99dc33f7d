"""The client of tests/engine/cases/foreign.gd, with the WebSocket of libcurl."""

import ctypes
import select
import time

from case import TIMEOUT, PORT, check, check_equal, pattern, run

URL = f"ws://127.0.0.1:{PORT}/path?query=1".encode()
SIZES = [0, 1, 125, 126, 65535, 65536, 60 * 1024, 1 << 20]

# From curl/curl.h and curl/websockets.h.
CONNECT_ONLY, HTTP_HEADER, NO_PROXY, SET_URL = 141, 10023, 10177, 10002
ACTIVE_SOCKET, RESPONSE_CODE = 0x500000 + 44, 0x200000 + 2
OK, AGAIN = 0, 81
TEXT, BINARY, CONT, CLOSE, PING, PONG = 1, 2, 4, 8, 16, 64


class Frame(ctypes.Structure):
    _fields_ = [
        ("age", ctypes.c_int),
        ("flags", ctypes.c_int),
        ("offset", ctypes.c_int64),
        ("bytesleft", ctypes.c_int64),
        ("len", ctypes.c_size_t),
    ]


LIB = ctypes.CDLL("libcurl.so.4")
LIB.curl_version.restype = ctypes.c_char_p
LIB.curl_easy_init.restype = ctypes.c_void_p
LIB.curl_slist_append.restype = ctypes.c_void_p
LIB.curl_slist_append.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
SIZE = ctypes.c_size_t
LIB.curl_ws_send.argtypes = [
    ctypes.c_void_p, ctypes.c_char_p, SIZE, ctypes.POINTER(SIZE), ctypes.c_int64, ctypes.c_uint
]
LIB.curl_ws_recv.argtypes = [
    ctypes.c_void_p, ctypes.c_char_p, SIZE, ctypes.POINTER(SIZE),
    ctypes.POINTER(ctypes.POINTER(Frame)),
]


class Socket:
    """One connection, or what came of the attempt."""

    def __init__(self, protocols):
        self.easy = ctypes.c_void_p(LIB.curl_easy_init())
        self.set(SET_URL, ctypes.c_char_p(URL))
        self.set(NO_PROXY, ctypes.c_char_p(b"*"))
        self.set(CONNECT_ONLY, ctypes.c_long(2))
        header = f"Sec-WebSocket-Protocol: {protocols}".encode()
        self.headers = LIB.curl_slist_append(None, header)
        self.set(HTTP_HEADER, ctypes.c_void_p(self.headers))
        self.error = LIB.curl_easy_perform(self.easy)

    def set(self, option, value):
        check_equal(LIB.curl_easy_setopt(self.easy, option, value), OK, f"option {option}")

    def status(self):
        status = ctypes.c_long()
        LIB.curl_easy_getinfo(self.easy, RESPONSE_CODE, ctypes.byref(status))
        return status.value

    def wait(self, readable):
        handle = ctypes.c_int(-1)
        LIB.curl_easy_getinfo(self.easy, ACTIVE_SOCKET, ctypes.byref(handle))
        select.select([handle.value] if readable else [], [] if readable else [handle.value], [], 0.1)

    def send(self, payload, flags):
        deadline = time.monotonic() + TIMEOUT
        at = 0
        while True:
            sent = SIZE()
            rest = payload[at:]
            result = LIB.curl_ws_send(self.easy, rest, len(rest), ctypes.byref(sent), 0, flags)
            at += sent.value
            if result == OK and at == len(payload):
                return
            check(result in (OK, AGAIN), f"sending {len(payload)} bytes: error {result}")
            check(time.monotonic() < deadline, f"sending {len(payload)} bytes: too slow")
            self.wait(readable=False)

    def receive(self):
        """The flags and the payload of the next message; control frames are messages."""
        deadline = time.monotonic() + TIMEOUT
        payload, buffer = b"", ctypes.create_string_buffer(65536)
        while True:
            count, frame = SIZE(), ctypes.POINTER(Frame)()
            result = LIB.curl_ws_recv(
                self.easy, buffer, len(buffer), ctypes.byref(count), ctypes.byref(frame)
            )
            if result == AGAIN:
                check(time.monotonic() < deadline, "nothing came")
                self.wait(readable=True)
                continue
            check_equal(result, OK, "receiving")
            payload += buffer.raw[: count.value]
            flags = frame.contents.flags
            if frame.contents.bytesleft == 0 and not flags & CONT:
                return flags, payload

    def closes(self):
        flags, payload = self.receive()
        check_equal(flags & CLOSE, CLOSE, "a close frame")
        return int.from_bytes(payload[:2], "big"), payload[2:].decode()

    def drop(self):
        LIB.curl_easy_cleanup(self.easy)


def opened(protocols):
    socket = Socket(protocols)
    check_equal((socket.error, socket.status()), (OK, 101), f"connection with {protocols}")
    return socket


def echoes(socket, message, kind, what):
    flags, payload = socket.receive()
    check_equal(flags & (TEXT | BINARY), kind, f"kind of the echo of {what}")
    check(payload == message, f"echo of {what}: {len(payload)} bytes")


def main():
    print(LIB.curl_version().decode())
    first = opened("nonsense, echo")
    for text in ["", "grüße, 世界 🙂", "x" * (1 << 20)]:
        first.send(text.encode(), TEXT)
        echoes(first, text.encode(), TEXT, f"text of {len(text)}")
    for size in SIZES:
        first.send(pattern(size), BINARY)
        echoes(first, pattern(size), BINARY, f"{size} bytes")
    # Fragments that split a letter, a ping between them.
    text = "one, zwö, three".encode()
    first.send(text[:8], TEXT | CONT)
    first.send(b"between", PING)
    first.send(text[8:11], TEXT | CONT)
    first.send(text[11:], TEXT)
    check_equal(first.receive(), (PONG, b"between"), "pong")
    echoes(first, text, TEXT, "a text in fragments")
    large = pattern(1 << 20)
    for at in range(0, len(large), 65536):
        last = at + 65536 == len(large)
        first.send(large[at : at + 65536], BINARY | (0 if last else CONT))
    echoes(first, large, BINARY, "1 MiB in 16 fragments")
    first.send((4001).to_bytes(2, "big") + "adiós".encode(), CLOSE)
    check_equal(first.closes(), (4001, "adiós"), "own close")
    first.drop()

    second = opened("echo")
    second.send(b"close me", TEXT)
    code, reason = second.closes()
    check_equal((code, reason), (4002, "geh, schöner Gast"), "close of the server")
    # The library leaves the answer to us.
    second.send(code.to_bytes(2, "big"), CLOSE)
    second.drop()

    refused = Socket("nonsense")
    check(refused.error != OK, "a wrong subprotocol must be refused")
    check_equal(refused.status(), 400, "refusal of a wrong subprotocol")
    refused.drop()

    third = opened("chess")
    third.send(b"end", TEXT)
    check_equal(third.closes(), (1001, ""), "end of the server")
    third.send((1001).to_bytes(2, "big"), CLOSE)
    third.drop()


run(main)
