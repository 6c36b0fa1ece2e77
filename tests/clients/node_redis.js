// node-redis with its default settings: the port is the only argument.
const assert = require('node:assert');
const { createClient } = require('redis');

const line = () => new Promise(resolve => process.stdin.once('data', resolve));

async function main() {
  const client = createClient({ url: `redis://127.0.0.1:${process.argv[2]}` });
  client.on('error', () => {}); // while the server is away
  await client.connect();
  assert.equal(await client.ping(), 'PONG');
  assert.equal(await client.set('k', 'v'), 'OK');
  assert.equal(await client.get('k'), 'v');
  assert.equal(await client.get('missing'), null);
  assert.equal(await client.exists(['k', 'k']), 2);
  assert.equal(await client.del('k'), 1);
  // Commands of one tick are pipelined.
  const replies = await Promise.all(Array.from({ length: 500 }, (_, i) => [client.set(`p${i}`, `${i}`), client.get(`p${i}`)]).flat());
  assert.equal(replies.length, 1000);
  replies.forEach((reply, i) => assert.equal(reply, i % 2 ? `${(i - 1) / 2}` : 'OK'));
  await assert.rejects(client.set('expires', 'x', { EX: 10 }), /expire/);

  const ready = new Promise(resolve => client.once('ready', resolve));
  console.log('restart');
  await line();
  await ready;
  assert.equal(await client.get('p499'), '499');
  assert.equal(await client.set('after', 'the restart'), 'OK');
  await client.close();
  process.exit(0);
}

main().catch(error => { console.error(error); process.exit(1); });
