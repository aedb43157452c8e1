"""The bench's embedded broker: amqtt with TLS, in a process of its own.

For a first run without anything installed; whatever tests delivery uses mosquitto. Speaks MQTT 3.1.1 only, keeps
nothing on disk, lets everybody in: it belongs on a loopback address. A client's certificate is verified where it
presents one and `--ca` is given, but not demanded. Prints `ready PORT` once it listens; ends on SIGTERM.

    python -m hw.bench.broker --port 0 --cert broker.pem --key broker.key --ca ca.pem
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import pathlib
import signal
import socket
import sys
from typing import Any

from amqtt.broker import Broker  # type: ignore[import-untyped]  # says nothing about its types

from hw.bench.program import complain, say

STOP_S_MAX = 3.0


def free_port(host: str) -> int:
    """A port of `host` that nobody listens on now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def broker_settings(host: str, port: int, cert: pathlib.Path | None, key: pathlib.Path | None, ca: pathlib.Path | None) -> dict[str, Any]:
    """Settings of amqtt: one listener, everybody may in, no $SYS chatter. Without `cert` the listener is in the clear."""
    listener: dict[str, Any] = {"type": "tcp", "bind": f"{host}:{port}", "max_connections": 0}
    if cert is not None:
        listener |= {"ssl": True, "certfile": str(cert), "keyfile": str(key)} | ({"cafile": str(ca)} if ca else {})
    plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    return {"listeners": {"default": listener}, "plugins": plugins}


async def serve(settings: dict[str, Any], port: int) -> None:
    """Runs the broker until SIGTERM or SIGINT."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    broker = Broker(settings)
    await broker.start()
    say(f"ready {port}")
    await told.wait()
    # amqtt waits for clients that do not hang up; the bench does not.
    with contextlib.suppress(asyncio.TimeoutError, asyncio.CancelledError):
        await asyncio.wait_for(broker.shutdown(), STOP_S_MAX)


def main(arguments: list[str] | None = None) -> int:
    """Runs the broker; exit 2 for certificates that cannot be read, 5 for a port that is taken."""
    parser = argparse.ArgumentParser(prog="hw.bench.broker", description="The embedded broker of the bench.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--cert", type=pathlib.Path)
    parser.add_argument("--key", type=pathlib.Path)
    parser.add_argument("--ca", type=pathlib.Path, help="who signs the clients' certificates")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.CRITICAL)
    missing = [path for path in (options.cert, options.key, options.ca) if path is not None and not path.is_file()]
    if missing or (options.cert is None) != (options.key is None):
        complain(f"no such file ({missing[0] if missing else 'cert, key'}): give both --cert and --key")
        return 2
    port = options.port or free_port(options.host)
    try:
        asyncio.run(serve(broker_settings(options.host, port, options.cert, options.key, options.ca), port))
    except Exception as error:  # noqa: BLE001  amqtt wraps every cause in its own kinds
        complain(f"it does not start ({options.host}:{port}): {error}")
        return 5
    return 0


if __name__ == "__main__":
    sys.exit(main())
