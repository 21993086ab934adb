#!/usr/bin/env node
// A Velero plugin without the SDK, in another language: an object store and an
// action on items that are backed up.

import process from 'node:process';

import { serve } from './grpc.mjs';
import { decode, encode } from './protobuf.mjs';
import { Store } from './store.mjs';

const STORE = 'example.io/node';
const ACTION = 'example.io/node-check';

function log(level, message, fields = {}) {
  process.stderr.write(JSON.stringify({ '@level': level, '@message': message, ...fields }) + '\n');
}

// Messages of the plugin protocol.
const name = { 1: ['plugin', 'string'] };
const object = { ...name, 2: ['bucket', 'string'], 3: ['key', 'string'] };
const messages = {
  init: { ...name, 2: ['config', 'map'] },
  put: { ...object, 4: ['body', 'bytes'] },
  prefixes: { ...name, 2: ['bucket', 'string'], 3: ['delimiter', 'string'], 4: ['prefix', 'string'] },
  list: { ...name, 2: ['bucket', 'string'], 3: ['prefix', 'string'] },
  backup: { ...name, 2: ['item', 'bytes'], 3: ['backup', 'bytes'] },
};
const identifier = { 1: ['command', 'string'], 2: ['kind', 'string'], 3: ['name', 'string'] };

// unary makes a method of a function from one message to one message.
function unary(request, response, answer) {
  return async function* (stream) {
    for await (const message of stream) {
      yield encode(response, (await answer(decode(request, message))) ?? {});
      return;
    }
    throw new Error('the request has no message');
  };
}

function named(registered, answer) {
  return request => {
    if (request.plugin !== registered) throw new Error(` plugin: ${request.plugin} was not found or has an invalid name format`);
    return answer(request);
  };
}

const store = new Store();

async function* put(stream) {
  const { value: first, done } = await stream.next();
  if (done) throw new Error('the upload has no message, so that its key is not known');
  const { plugin, bucket = '', key = '', body = Buffer.of() } = decode(messages.put, first);
  await named(STORE, () => store.put(bucket, key, bodies(body, stream)))({ plugin });
  yield encode({}, {});
}

async function* bodies(first, stream) {
  yield first;
  for await (const message of stream) yield decode(messages.put, message).body ?? Buffer.of();
}

async function* get(stream) {
  const { value } = await stream.next();
  const { plugin, bucket = '', key = '' } = decode(object, value);
  for await (const data of named(STORE, () => store.get(bucket, key))({ plugin })) yield encode({ 1: ['data', 'bytes'] }, { data });
}

// checked returns an item as it came. Numbers beyond 2^53 would not survive
// JSON.parse and JSON.stringify.
function checked({ item = Buffer.of() }) {
  const { kind } = JSON.parse(item.toString()) ?? {};
  if (typeof kind !== 'string' || kind === '') throw new Error('the item has no kind');
  log('debug', 'checked an item', { resource: kind });
  return { item };
}

const inStore = (request, response, answer) => unary(request, response, named(STORE, answer));
const inAction = (request, response, answer) => unary(request, response, named(ACTION, answer));

const server = serve({
  '/generated.PluginLister/ListPlugins': unary({}, { 1: ['plugins', identifier] }, () => ({
    plugins: [
      { command: process.argv[1], kind: 'ObjectStore', name: STORE },
      { command: process.argv[1], kind: 'BackupItemAction', name: ACTION },
    ],
  })),
  '/generated.ObjectStore/Init': inStore(messages.init, {}, ({ config }) => store.init(config)),
  '/generated.ObjectStore/PutObject': put,
  '/generated.ObjectStore/GetObject': get,
  '/generated.ObjectStore/ObjectExists': inStore(object, { 1: ['exists', 'bool'] },
    async ({ bucket, key }) => ({ exists: await store.exists(bucket, key) })),
  '/generated.ObjectStore/DeleteObject': inStore(object, {}, ({ bucket, key }) => store.delete(bucket, key)),
  '/generated.ObjectStore/ListObjects': inStore(messages.list, { 1: ['keys', 'string'] },
    async ({ bucket, prefix = '' }) => ({ keys: await store.list(bucket, prefix) })),
  '/generated.ObjectStore/ListCommonPrefixes': inStore(messages.prefixes, { 1: ['prefixes', 'string'] },
    async ({ bucket, prefix = '', delimiter }) => ({ prefixes: await store.prefixes(bucket, prefix, delimiter) })),
  '/generated.ObjectStore/CreateSignedURL': inStore(object, {}, () => store.sign()),
  '/generated.BackupItemAction/AppliesTo': inAction(name, {}, () => ({})),
  '/generated.BackupItemAction/Execute': inAction(messages.backup, { 1: ['item', 'bytes'] }, checked),
  '/plugin.GRPCController/Shutdown': async function* () {
    setImmediate(shutDown);
    yield encode({}, {});
  },
});

// A plugin ends with its host: when it is told to, and when nobody is connected
// any more, or has been.
const sessions = new Set();
let ending = false;
let lonely = setTimeout(() => process.exit(0), 60_000);
server.on('session', session => {
  sessions.add(session);
  clearTimeout(lonely);
  session.on('error', () => {});
  session.on('close', () => {
    sessions.delete(session);
    if (sessions.size === 0) lonely = setTimeout(() => process.exit(0), ending ? 0 : 1_000);
  });
});

// shutDown lets answers arrive that are on their way, and does not wait for
// downloads that nobody reads.
function shutDown() {
  ending = true;
  setTimeout(() => process.exit(0), 500);
  for (const session of sessions) session.close();
}

if (process.env.VELERO_PLUGIN !== 'hello') {
  process.stderr.write('This is a plugin of the Velero server, which starts it.\n');
  process.exit(1);
}
process.on('SIGINT', () => {}); // a terminal sends it to plugins as well
for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(0));
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`1|2|tcp|127.0.0.1:${server.address().port}|grpc|\n`);
});
