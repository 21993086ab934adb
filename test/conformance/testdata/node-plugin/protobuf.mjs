// Just enough of protobuf for the messages of the plugin protocol. A message is
// described by its fields: number -> [name, type], in which the type is string,
// bytes, bool, map (of strings), or a message in a list.

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

const text = new TextDecoder('utf-8', { fatal: true });

export function decode(fields, buffer) {
  const message = {};
  const reader = new Reader(buffer);
  while (!reader.atEnd()) {
    const key = reader.varint();
    const value = reader.value(key & 7);
    const [name, type] = fields[key >>> 3] ?? [];
    switch (type) {
      case undefined:
        break; // a field of a later version
      case 'string':
        message[name] = text.decode(value);
        break;
      case 'map': {
        const entry = decode({ 1: ['key', 'string'], 2: ['value', 'string'] }, value);
        (message[name] ??= {})[entry.key ?? ''] = entry.value ?? '';
        break;
      }
      default:
        message[name] = value;
    }
  }
  return message;
}

class Reader {
  constructor(buffer) {
    this.buffer = buffer;
    this.offset = 0;
  }

  atEnd() {
    return this.offset === this.buffer.length;
  }

  // varint returns the lower 53 bits, which are all that this protocol needs.
  varint() {
    let value = 0;
    for (let factor = 1; factor < 2 ** 70; factor *= 128) {
      const byte = this.buffer[this.offset++];
      if (byte === undefined) throw new Error('the message is truncated');
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
    throw new Error('a number of the message has more than ten bytes');
  }

  value(wire) {
    switch (wire) {
      case VARINT:
        return this.varint();
      case FIXED64:
        return this.take(8);
      case BYTES:
        return this.take(this.varint());
      case FIXED32:
        return this.take(4);
    }
    throw new Error(`the message has a field of the unknown wire type ${wire}`);
  }

  take(size) {
    const end = this.offset + size;
    if (end > this.buffer.length) throw new Error('the message is truncated');
    const taken = this.buffer.subarray(this.offset, end);
    this.offset = end;
    return taken;
  }
}

export function encode(fields, message) {
  const parts = [];
  for (const [number, [name, type]] of Object.entries(fields)) {
    for (const value of [message[name] ?? []].flat()) {
      const content = typeof type === 'object' ? encode(type, value) : value;
      if (type === 'bool') {
        if (value) parts.push(varint(number * 8 + VARINT), varint(1));
      } else {
        const bytes = Buffer.from(content);
        parts.push(varint(number * 8 + BYTES), varint(bytes.length), bytes);
      }
    }
  }
  return Buffer.concat(parts);
}

function varint(value) {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
  return Buffer.from([...bytes, value]);
}
