// One face for both clients of the registry, so that one script can try them: promises of Buffers, nothing else added.
'use strict';

const { createRequire } = require('node:module');
const path = require('node:path');
const { Writable } = require('node:stream');

// The packages are installed outside of the repository.
const installed = process.env.PACKHORSE_NODE_MODULES;
if (!installed) {
  throw new Error('PACKHORSE_NODE_MODULES names no folder: tests/run installs the packages and sets it');
}
const load = createRequire(path.join(installed, 'from-here.js'));

// Both clients log every header that they see.
const silent = Object.fromEntries(['log', 'trace', 'debug', 'info', 'warn', 'error', 'fatal'].map((name) => [name, () => {}]));
const NO_LISTS = 'its list records are 105 and 600 bytes long, as in servers before 6.13';

class Collected extends Writable {
  pieces = [];
  _write(piece, _encoding, done) {
    this.pieces.push(Buffer.from(piece));
    done();
  }
  bytes() {
    return Buffer.concat(this.pieces);
  }
}

function settings(host, port) {
  return { trackers: [{ host, port }], timeout: 60000, charset: 'utf8', logger: silent };
}

// `fdfs`: promises, appender files.
function fdfs(host, port) {
  const Client = load('fdfs');
  const client = new Client(settings(host, port));
  return {
    upload: (bytes, ext) => client.upload(bytes, { ext }),
    uploadAppender: (bytes, ext) => client.upload(bytes, { ext, method: 'uploadAppender' }),
    append: (id, bytes) => client.upload(bytes, { method: 'append', fileId: id }),
    modify: (id, offset, bytes) => client.upload(bytes, { method: 'modify', fileId: id, offset }),
    async download(id, range = {}) {
      const target = new Collected();
      await client.download(id, { target, ...range });
      return target.bytes();
    },
    info: (id) => client.getFileInfo(id),
    setMeta: (id, items, flag) => client.setMetaData(id, items, flag),
    meta: (id) => client.getMetaData(id),
    remove: (id) => client.del(id),
    lists: () => client.listGroups(),
    leftOut: { truncate: 'it has none', slave: 'it has none', regenerate: 'it has none', lists: NO_LISTS },
  };
}

// `fdfs-client`: callbacks, normal files only.
function fdfsClient(host, port) {
  const Client = load('fdfs-client');
  const client = new Client(settings(host, port));
  const asked = (name, ...given) =>
    new Promise((resolve, reject) => client[name](...given, (error, answer) => (error ? reject(error) : resolve(answer))));
  return {
    upload: (bytes, ext) => asked('upload', bytes, { ext }),
    async download(id, range = {}) {
      const target = new Collected();
      await asked('download', id, { target, ...range });
      return target.bytes();
    },
    info: (id) => asked('getFileInfo', id),
    setMeta: (id, items, flag) => asked('setMetaData', id, items, flag),
    meta: (id) => asked('getMetaData', id),
    remove: (id) => asked('del', id),
    leftOut: {
      appender: 'it has none',
      append: 'it has none',
      modify: 'it has none',
      truncate: 'it has none',
      slave: 'it has none',
      regenerate: 'it has none',
      lists: 'it has none',
    },
  };
}

module.exports = { fdfs, 'fdfs-client': fdfsClient };
