// GlideSysAttachment, GlideSysAttachmentInputStream, GlideTextReader.
(function (shared) {
'use strict';
const { Array, Object, WeakMap, Error, Int8Array, ArrayBuffer } = shared.intrinsics;
const { host, textOf, javaList, isArray, isRecord, GlideRecord, publicRecord } = shared;
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const streams = new WeakMap();

// A stream is the id of a file: its bytes stay in the instance until somebody reads them.
class GlideScriptableInputStream {
  constructor(id) {
    streams.set(this, textOf(id));
    // So that an answer takes it unread.
    Object.defineProperty(this, shared.STATE, { value: { stream: { kind: 'attachment', id: textOf(id) } } });
  }
  close() { return undefined; }
  toString() { return 'GlideScriptableInputStream'; }
}
function streamId(stream) {
  const id = streams.get(stream);
  if (id === undefined) throw new Error('A stream comes from GlideSysAttachment.getContentStream(sysId)');
  return id;
}

class GlideSysAttachmentInputStream extends GlideScriptableInputStream {}

class GlideTextReader {
  #lines;
  #at = 0;
  constructor(stream) {
    const source = streams.has(stream) ? undefined : stream?.[shared.STATE]?.stream;
    const text = source === undefined
      ? host('attachment.read', [streamId(stream), 'text']) ?? ''
      : host('stream.text', [source]);
    this.#lines = text.split(/\r\n|\r|\n/);
    if (this.#lines[this.#lines.length - 1] === '') this.#lines.pop();
  }
  readLine() { return this.#at < this.#lines.length ? this.#lines[this.#at++] : null; }
  getEncoding() { return 'UTF-8'; }
  ready() { return this.#at < this.#lines.length; }
  close() { return undefined; }
}

// An array of Java's bytes, which are signed. As a text it is what they are in UTF-8, so that it can be
// given to java.lang.String and to everything that wants a text.
class JavaBytes extends Int8Array {
  toString() { return shared.textOfBytes(Array.from(this, (byte) => byte & 255)); }
  toJSON() { return Array.from(this); }
}

function bytesFrom(text) {
  const clean = text.replace(/=+$/, '').replaceAll('-', '+').replaceAll('_', '/');
  const bytes = new JavaBytes((clean.length * 3) >> 2);
  let at = 0;
  let bits = 0;
  let held = 0;
  for (let index = 0; index < clean.length; index++) {
    held = (held << 6 | ALPHABET.indexOf(clean[index])) & 0xffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes[at++] = held >> bits & 255;
    }
  }
  return bytes;
}

function isBytes(value) {
  return ArrayBuffer.isView(value) || (isArray(value) && value.every((byte) => typeof byte === 'number'));
}

function contentOf(value) {
  if (isBytes(value)) return [shared.base64(Array.from(value, (byte) => byte & 255)), 'base64'];
  return [textOf(value), 'text'];
}

function placeOf(record) {
  if (!isRecord(record)) throw new Error('A file is attached to a GlideRecord');
  return [record.getTableName(), textOf(record.getUniqueValue())];
}

// (record, name, type, content…), or (table, sys_id, name, type, content…) of the older form.
function target(args) {
  if (isRecord(args[0])) return [placeOf(args[0]), ...args.slice(1)];
  return [[textOf(args[0]), textOf(args[1])], ...args.slice(2)];
}

function write(place, name, type, content, form) {
  return host('attachment.write', [place, textOf(name), textOf(type), content, form]);
}

class GlideSysAttachment {
  write(...args) {
    const [place, name, type, value] = target(args);
    return write(place, name, type, ...contentOf(value));
  }
  writeBase64(...args) {
    const [place, name, type, value] = target(args);
    return write(place, name, type, textOf(value).replace(/\s/g, ''), 'base64');
  }
  writeContentStream(...args) {
    const [place, name, type, stream] = target(args);
    const source = stream?.[shared.STATE]?.stream ?? (isBytes(stream) ? shared.streamSource(stream) : undefined);
    if (source === undefined) streamId(stream);
    return host('attachment.stream', [source, place, textOf(name), textOf(type)]);
  }
  copy(sourceTable, sourceId, targetTable, targetId) {
    const from = [textOf(sourceTable), textOf(sourceId)];
    return javaList(host('attachment.copy', [from, [textOf(targetTable), textOf(targetId)]]));
  }
  static copy(...args) { return new GlideSysAttachment().copy(...args); }
  static write(...args) { return new GlideSysAttachment().write(...args); }
  getAttachments(table, id) {
    const found = new GlideRecord('sys_attachment');
    found.addQuery('table_name', textOf(table));
    found.addQuery('table_sys_id', textOf(id));
    found.orderBy('sys_created_on');
    found.query();
    return found;
  }
  getContent(record) { return host('attachment.read', [textOf(record.getUniqueValue()), 'text']); }
  getContentBase64(record) { return host('attachment.read', [textOf(record.getUniqueValue()), 'base64']); }
  getContentStream(id) { return new GlideScriptableInputStream(id); }
  // Of an attachment, or else of the first one of a record.
  getBytes(...args) {
    const isFile = isRecord(args[0]) && textOf(args[0].getTableName()) === 'sys_attachment';
    const owner = isRecord(args[0]) ? placeOf(args[0]) : [textOf(args[0]), textOf(args[1])];
    const id = isFile ? textOf(args[0].getUniqueValue()) : host('attachment.first', owner);
    const content = id === null ? null : host('attachment.read', [id, 'base64']);
    return content === null ? null : bytesFrom(content);
  }
  deleteAttachment(id) {
    const record = publicRecord('sys_attachment', id);
    if (record.isValidRecord()) record.deleteRecord();
  }
  deleteAll(record) {
    const found = this.getAttachments(...placeOf(record));
    while (found.next()) found.deleteRecord();
  }
}

return {
  GlideSysAttachment, GlideSysAttachmentInputStream, GlideTextReader, streamId, bytesFrom, isBytes,
};
})
