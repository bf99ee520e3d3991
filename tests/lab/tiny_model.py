"""A model server small enough to start in no time: V2 answers, behaviour from the model's folder (`behaviour.json`).

{"fails": 0.1}    answers 500 to that share      {"ends": 3}        exits with this code before it serves
{"slow": 0.05}    seconds per answer             {"ready": false}   never becomes ready
"""

import asyncio
import json
import os
import random
import sys
from pathlib import Path

VERSION = os.environ["MLSERVER_MODEL_VERSION"]
BEHAVIOUR = json.loads((Path(os.environ["MLSERVER_MODEL_URI"]) / "behaviour.json").read_text())
ANSWER = json.dumps({"model_name": "model", "model_version": VERSION, "outputs": []}).encode()


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            return
        length = next((line.split(":")[1] for line in head.split("\r\n") if line.startswith("content-length:")), "0")
        await reader.readexactly(int(length))
        await asyncio.sleep(BEHAVIOUR.get("slow", 0))
        if "/ready" in head.split("\r\n")[0]:
            status = "200 OK" if BEHAVIOUR.get("ready", True) else "400 Bad Request"
        else:
            status = "500 Oops" if random.random() < BEHAVIOUR.get("fails", 0) else "200 OK"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(ANSWER)}\r\n\r\n".encode() + ANSWER)


async def serve() -> None:
    server = await asyncio.start_server(converse, "127.0.0.1", int(os.environ["MLSERVER_HTTP_PORT"]))
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    if "ends" in BEHAVIOUR:
        print("this model cannot start")
        sys.exit(BEHAVIOUR["ends"])
    asyncio.run(serve())
