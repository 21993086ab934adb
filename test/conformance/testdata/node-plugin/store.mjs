// An object store in a folder: a folder for each bucket, a file for each object.

import { createReadStream } from 'node:fs';
import { access, open, readdir, rename, rm, mkdir } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';

import { StatusError, UNIMPLEMENTED } from './grpc.mjs';

const knownKeys = ['root', 'bucket', 'prefix'];

export class Store {
  #root;

  init(config = {}) {
    const unknown = Object.keys(config).filter(key => !knownKeys.includes(key));
    if (unknown.length > 0) throw new Error(`config has the unknown keys ${unknown}`);
    if (!config.root) throw new Error('config has no root');
    this.#root = config.root;
  }

  async #folder(bucket) {
    if (!this.#root) throw new Error('the store is not initialized');
    const folder = join(this.#root, 'buckets', encodeURIComponent(bucket));
    await access(folder);
    return folder;
  }

  async #file(bucket, key) {
    return join(await this.#folder(bucket), encodeURIComponent(key));
  }

  // put stores an object; body is an asynchronous sequence of buffers. The
  // object appears when it is complete.
  async put(bucket, key, body) {
    const target = await this.#file(bucket, key);
    const uploads = join(this.#root, 'uploads');
    await mkdir(uploads, { recursive: true });
    const part = join(uploads, randomUUID());
    const file = await open(part, 'wx');
    try {
      for await (const bytes of body) await file.writeFile(bytes);
      await file.close();
      await rename(part, target);
    } catch (error) {
      await file.close().catch(() => {});
      await rm(part, { force: true });
      throw error;
    }
  }

  async exists(bucket, key) {
    try {
      const file = await this.#file(bucket, key);
      return await access(file).then(() => true, absent);
    } catch (error) {
      return absent(error);
    }
  }

  async* get(bucket, key) {
    yield* createReadStream(await this.#file(bucket, key), { highWaterMark: 32 << 10 });
  }

  async list(bucket, prefix) {
    const names = await readdir(await this.#folder(bucket));
    return names.map(decodeURIComponent).filter(key => key.startsWith(prefix));
  }

  async prefixes(bucket, prefix, delimiter) {
    const found = new Set();
    for (const key of await this.list(bucket, prefix)) {
      const end = key.indexOf(delimiter, prefix.length);
      if (end >= 0) found.add(key.slice(0, end + delimiter.length));
    }
    return [...found];
  }

  async delete(bucket, key) {
    await rm(await this.#file(bucket, key), { force: true });
  }

  sign() {
    throw new StatusError(UNIMPLEMENTED, 'this store cannot sign URLs');
  }
}

function absent(error) {
  if (error.code === 'ENOENT') return false;
  throw error;
}
