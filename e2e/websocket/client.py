# A client of Python's websockets: client.py <url>. Prints what it saw as JSON.
import asyncio
import json
import sys

import websockets


async def run(path, protocols, sends):
    seen = []
    try:
        async with websockets.connect(
            sys.argv[1] + path, subprotocols=protocols, max_size=32 << 20
        ) as socket:
            seen.append(f"open {socket.subprotocol}")
            pong = await socket.ping(b"p")
            await asyncio.wait_for(pong, 5)
            seen.append("pong")
            for data in sends:
                await socket.send(data)
                if isinstance(data, str) and data.startswith("close"):
                    break
                got = await socket.recv()
                kind = type(got).__name__
                seen.append(f"{kind} {len(got)} {got == (''.join(data) if isinstance(data, list) else data)}")
            else:
                await socket.close(3456, "bye")
            try:
                await socket.recv()
            except websockets.ConnectionClosed as closed:
                got = closed.rcvd
                seen.append(f"closed {got and got.code} {got and got.reason}")
    except websockets.InvalidStatusCode as error:
        seen.append(f"refused {error.status_code}")
    return seen


async def main():
    print(json.dumps([
        await run("/echo", ["a", "b"], ["hi", b"\0\1", ""]),
        # A list goes out as fragments.
        await run("/echo", None, [["fr", "ag", "ment"], "x" * (1 << 20)]),
        await run("/echo", None, ["close 4000 why"]),
        await run("/echo", None, ["close"]),
    ]))


asyncio.run(main())
