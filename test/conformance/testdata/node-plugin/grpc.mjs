// A gRPC server on Node's own HTTP/2.

import { once } from 'node:events';
import http2 from 'node:http2';

// Status codes of gRPC.
export const UNKNOWN = 2;
export const UNIMPLEMENTED = 12;

export class StatusError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

// serve answers calls with the methods, a map of paths to functions. A function
// takes the messages of the request, as an asynchronous sequence of buffers, and
// yields those of the answer.
export function serve(methods) {
  const server = http2.createServer({ settings: { initialWindowSize: 1 << 20 } });
  server.on('stream', async (stream, headers) => {
    stream.on('error', () => {}); // the call is over, and there is nobody to tell
    const gone = new AbortController();
    stream.on('close', () => gone.abort());
    const messages = read(stream);
    let status = { 'grpc-status': '0' };
    try {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      const method = methods[headers[':path']];
      if (!method) throw new StatusError(UNIMPLEMENTED, `there is no method ${headers[':path']}`);
      for await (const message of method(messages)) {
        if (!stream.write(frame(message))) await once(stream, 'drain', { signal: gone.signal });
      }
    } catch (error) {
      status = { 'grpc-status': String(error.code > 0 ? error.code : UNKNOWN), 'grpc-message': encodeURIComponent(error.message) };
    }
    // The host learns the reason of an error only if its upload is read to the
    // end.
    await messages.return();
    stream.resume();
    if (!stream.readableEnded) await once(stream, 'end', { signal: gone.signal }).catch(() => {});
    if (stream.destroyed) return;
    stream.on('wantTrailers', () => stream.sendTrailers(status));
    stream.end();
  });
  return server;
}

// read yields the messages of a stream. It throws when the stream is broken off,
// so that an end is always a clean one.
async function* read(stream) {
  let aborted = false;
  stream.on('aborted', () => { aborted = true; });
  let chunks = [];
  let size = 0;
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    chunks.push(chunk);
    size += chunk.length;
    while (size >= 5) {
      const head = chunks[0].length >= 5 ? chunks[0] : Buffer.concat(chunks);
      const length = head.readUInt32BE(1);
      if (size < 5 + length) break;
      const all = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
      yield all.subarray(5, 5 + length);
      chunks = [all.subarray(5 + length)];
      size = chunks[0].length;
    }
  }
  if (aborted || size > 0) throw new Error('the request was broken off');
}

function frame(message) {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}
