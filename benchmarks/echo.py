"""A bare uvicorn WebSocket that sends every message back: the upper limit for a server here."""

from __future__ import annotations

from typing import Any

import uvicorn

from server.commands.serve import bind


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "bytes": message["bytes"]})


def main() -> None:
    listener = bind("127.0.0.1", 0)
    config = uvicorn.Config(
        echo,
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=2**26,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
    )
    print(f"echo is ready at http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
