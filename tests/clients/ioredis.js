// ioredis with its default settings: the port is the only argument.
const assert = require('node:assert');
const Redis = require('ioredis');

const line = () => new Promise(resolve => process.stdin.once('data', resolve));

async function main() {
  const client = new Redis(Number(process.argv[2]));
  client.on('error', () => {}); // while the server is away
  assert.equal(await client.ping(), 'PONG');
  assert.equal(await client.set('k', 'v'), 'OK');
  assert.equal(await client.get('k'), 'v');
  assert.equal(await client.get('missing'), null);
  const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  await client.set('binary', all);
  assert.deepEqual(await client.getBuffer('binary'), all);
  const pipeline = client.pipeline();
  for (let i = 0; i < 500; i++) pipeline.set(`p${i}`, i).get(`p${i}`);
  const replies = await pipeline.exec();
  assert.equal(replies.length, 1000);
  replies.forEach(([error, reply], i) => {
    assert.equal(error, null);
    assert.equal(reply, i % 2 ? `${(i - 1) / 2}` : 'OK');
  });

  console.log('restart');
  await line();
  assert.equal(await client.get('p499'), '499');
  assert.equal(await client.set('after', 'the restart'), 'OK');
  client.disconnect();
  process.exit(0);
}

main().catch(error => { console.error(error); process.exit(1); });
