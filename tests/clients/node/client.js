// A FastDFS client of the registry, tried on a server: `client.js PACKAGE HOST:PORT tour` does each thing once,
// `client.js PACKAGE HOST:PORT loop SECONDS` does them again and again. JSON lines on stdout; the first wrong byte ends it.
'use strict';

const assert = require('node:assert');
const { createHash, randomBytes, randomInt } = require('node:crypto');
const faces = require('./faces.js');

const SIZES = [0, 1, 13, 1024, 65536, 262145, 5 << 20];
const AT_ONCE = 4;
const MOST_KEPT = 100;

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const done = (operation) => say({ operation, result: 'ok' });
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** CRC-32 as FastDFS computes it; Node's own came with version 20.15. */
function crc32Of(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}

function same(found, wanted, what) {
  assert.strictEqual(found.length, wanted.length, `${what}: the length`);
  assert.ok(found.equals(wanted), `${what}: other bytes`);
}

/** The errno that a refusal carries, in the words of either client. */
async function refusal(promise) {
  try {
    await promise;
  } catch (error) {
    return Number(error.code ?? /errno is: (\d+)/.exec(error.message)?.[1] ?? Number.NaN);
  }
  throw new Error('it was not refused');
}

async function files(client) {
  for (const size of SIZES) {
    const bytes = randomBytes(size);
    const id = await client.upload(bytes, 'bin');
    // A server since 6.15.4 refuses to read at the end of a file, also at the end of an empty one.
    if (size === 0) assert.strictEqual(await refusal(client.download(id)), 22);
    else same(await client.download(id), bytes, `${size} bytes`);
    const info = await client.info(id);
    assert.strictEqual(Number(info.size), size);
    done(`upload, download, info of ${size} bytes`);
  }
  const bytes = randomBytes(70000);
  const id = await client.upload(bytes, 'txt');
  same(await client.download(id, { offset: 5, bytes: 4000 }), bytes.subarray(5, 4005), 'a range');
  same(await client.download(id, { offset: 69999 }), bytes.subarray(69999), 'the last byte');
  done('range');
  // The server sends 32 bits with their sign as 64. Read into a double, a CRC with its highest bit set loses its last eleven bits.
  const crc32 = (await client.info(id)).crc32;
  const lost = crc32 > Number.MAX_SAFE_INTEGER ? 2048 : 1;
  const off = Number(BigInt.asUintN(32, BigInt(crc32))) - crc32Of(bytes);
  assert.ok(Math.abs(off) < lost, `crc32 ${crc32} of a file with ${crc32Of(bytes)}`);
  return id;
}

async function metadata(client, id) {
  assert.strictEqual(await refusal(client.meta(id)), 2);
  await client.setMeta(id, { width: '1024', author: 'zoë' }, 'O');
  assert.deepStrictEqual(await client.meta(id), { author: 'zoë', width: '1024' });
  await client.setMeta(id, { width: '2', height: '3' }, 'M');
  assert.deepStrictEqual(await client.meta(id), { author: 'zoë', height: '3', width: '2' });
  await client.setMeta(id, { only: 'x' }, 'O');
  assert.deepStrictEqual(await client.meta(id), { only: 'x' });
  done('metadata');
}

async function appender(client) {
  const parts = [randomBytes(1000), randomBytes(70001), randomBytes(3 << 20)];
  const id = await client.uploadAppender(parts[0], 'log');
  done('appender');
  for (const part of parts.slice(1)) await client.append(id, part);
  const bytes = Buffer.concat(parts);
  same(await client.download(id), bytes, 'after appends');
  done('append');
  const change = randomBytes(5000);
  change.copy(bytes, 900);
  await client.modify(id, 900, change);
  same(await client.download(id), bytes, 'after a modify');
  done('modify');
  await client.remove(id);
  assert.strictEqual(await refusal(client.append(id, change)), 2);
}

async function tour(client) {
  const id = await files(client);
  await metadata(client, id);
  if (client.uploadAppender) await appender(client);
  await client.remove(id);
  assert.strictEqual(await refusal(client.download(id)), 2);
  assert.strictEqual(await refusal(client.info(id)), 2);
  assert.strictEqual(await refusal(client.remove(id)), 2);
  done('delete');
  done('a missing file is an error');
  // It has lists: they fail for the reason given.
  if (client.lists) await assert.rejects(client.lists(), (error) => String(error).includes('is invalid'));
  for (const [operation, why] of Object.entries(client.leftOut)) say({ operation, result: 'left out', why });
}

const size = () => (randomInt(20) === 0 ? randomInt(1, 2 << 20) : randomInt(1, 65536));

/** One file from its upload to its end; counts what was done. */
async function life(client, counts, kept) {
  const count = (what) => (counts[what] = (counts[what] ?? 0) + 1);
  let bytes = randomBytes(size());
  const appends = client.uploadAppender && randomInt(2) === 0;
  const id = await (appends ? client.uploadAppender(bytes, 'log') : client.upload(bytes, 'bin'));
  count('upload');
  for (let left = appends ? randomInt(1, 4) : 0; left > 0; left--) {
    const part = randomBytes(size());
    await client.append(id, part);
    count('append');
    bytes = Buffer.concat([bytes, part]);
  }
  same(await client.download(id), bytes, id);
  count('download');
  const left = randomInt(bytes.length);
  same(await client.download(id, { offset: left }), bytes.subarray(left), `${id} from ${left}`);
  count('range');
  if (kept.length < MOST_KEPT && randomInt(4) === 0) {
    kept.push({ kept: id, sha256: sha256(bytes), size: bytes.length });
    count('kept');
    return;
  }
  await client.remove(id);
  assert.strictEqual(await refusal(client.download(id)), 2, `${id} was deleted`);
  count('delete');
}

async function loop(client, seconds) {
  const [counts, kept, end] = [{}, [], Date.now() + seconds * 1000];
  const one = async () => {
    while (Date.now() < end) await life(client, counts, kept);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
  kept.forEach(say);
  say({ counts });
}

async function main() {
  const [name, tracker, what, seconds] = process.argv.slice(2);
  const [host, port] = tracker.split(':');
  const client = faces[name](host, Number(port));
  await (what === 'tour' ? tour(client) : loop(client, Number(seconds)));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
