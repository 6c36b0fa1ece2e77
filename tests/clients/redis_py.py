"""redis-py, synchronous, with its default settings: PORT is the only argument."""
import sys
import redis

client = redis.Redis(port=int(sys.argv[1]))
assert client.ping() is True
assert client.set("k", "v") is True
assert client.get("k") == b"v"
assert client.get("missing") is None
assert client.set("k", "w", nx=True) is None
binary = bytes(range(256))
client.set(binary, binary)
assert client.get(binary) == binary
assert client.exists("k", "k", "missing") == 2
assert client.delete("k", "missing") == 1
assert client.dbsize() == 1
assert client.info()["redis_version"]
assert sorted(client.scan_iter("*")) == [binary]
assert client.config_get("appendonly")["appendonly"] == "yes"

pipeline = client.pipeline(transaction=False)
for i in range(500):
    pipeline.set(f"p{i}", i).get(f"p{i}")
replies = pipeline.execute()
assert len(replies) == 1000
assert replies[1::2] == [str(i).encode() for i in range(500)]

try:
    client.set("expires", "x", ex=10)
except redis.ResponseError as error:
    assert "expire" in str(error), error
else:
    raise AssertionError("an expiry was taken")
assert client.get("expires") is None

print("restart", flush=True)
sys.stdin.readline()
assert client.get("p499") == b"499"
assert client.set("after", "the restart")
