"""What scripts for Python share: arguments, checks, and an end that the runner understands."""

import asyncio
import sys
import traceback

ARGS = dict(word.split("=", 1) for word in sys.argv[1:])
PORT = int(ARGS["port"])
TIMEOUT = 10


class CaseFailed(Exception):
    """A check did not hold."""


def check(condition, message):
    if not condition:
        raise CaseFailed(message)


def check_equal(actual, expected, message):
    check(actual == expected, f"{message}: got {actual!r:.200}, expected {expected!r:.200}")


def pattern(size):
    """Bytes that are easy to compare and differ from place to place."""
    return bytes((at * 31 + (at >> 8)) & 255 for at in range(size))


def run(main):
    """Runs the case, a coroutine function or not, and ends the process."""
    try:
        if asyncio.iscoroutinefunction(main):
            asyncio.run(main())
        else:
            main()
    except Exception as error:
        traceback.print_exc()
        print(f"CASE FAILED: {ARGS['name']}: {error}")
        sys.exit(1)
    print("CASE OK")
