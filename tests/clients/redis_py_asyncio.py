"""redis-py's asyncio client with its default settings: PORT is the only argument."""
import asyncio
import sys
import redis.asyncio as redis


async def main():
    client = redis.Redis(port=int(sys.argv[1]))
    assert await client.ping()
    assert await client.set("k", "v")
    assert await client.get("k") == b"v"
    assert await client.get("missing") is None
    pipeline = client.pipeline(transaction=False)
    for i in range(500):
        pipeline.set(f"p{i}", i).get(f"p{i}")
    replies = await pipeline.execute()
    assert replies[1::2] == [str(i).encode() for i in range(500)]
    values = await asyncio.gather(*(client.get(f"p{i}") for i in range(50)))
    assert values == [str(i).encode() for i in range(50)]

    print("restart", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    assert await client.get("p499") == b"499"
    assert await client.set("after", "the restart")
    await client.aclose()


asyncio.run(main())
