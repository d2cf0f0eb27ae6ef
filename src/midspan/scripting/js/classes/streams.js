// Stream and Optional: what GlideQuery returns.
(function (shared) {
'use strict';
const { Boolean, Error, Math, Number, TypeError } = shared.intrinsics;
const { STATE, isArray, textOf } = shared;

class Optional {
  #find; // returns the value, or null and undefined for none
  #reason;
  #found = null;

  constructor(key, find, reason) {
    if (key !== STATE) throw new TypeError('Use Optional.of(value), Optional.empty() or Optional.lazy(find)');
    this.#find = find;
    this.#reason = reason;
  }

  static of(value) { return new Optional(STATE, () => value, ''); }
  static empty(reason) { return new Optional(STATE, () => null, textOf(reason)); }
  static lazy(find) { return new Optional(STATE, find, ''); }

  #value() { return (this.#found ??= { value: this.#find() }).value; }

  isPresent() {
    const value = this.#value();
    return value !== null && value !== undefined;
  }
  isEmpty() { return !this.isPresent(); }
  get() {
    if (this.isPresent()) return this.#value();
    const reason = this.#reason === '' ? '' : `: ${this.#reason}`;
    throw new Error(`get() called on empty Optional${reason}`);
  }
  orElse(otherwise) { return this.isPresent() ? this.#value() : otherwise; }
  ifPresent(use) { if (this.isPresent()) use(this.#value()); }
  map(change) { return this.#chained((value) => change(value)); }
  flatMap(change) { return this.#chained((value) => change(value).orElse(null)); }
  filter(accept) { return this.#chained((value) => (accept(value) ? value : null)); }
  toString() { return this.isPresent() ? `Optional<${this.#value()}>` : 'Optional<empty>'; }

  #chained(change) {
    const find = () => (this.isPresent() ? change(this.#value()) : null);
    return new Optional(STATE, find, this.#reason);
  }
}

// A stream reads as it is consumed; `open` returns a function that gives {value}, or null at the end.
let streamOf;

class Stream {
  #open;

  // `next` gives one value after the other, without an end: limit() or find() end it.
  constructor(next) {
    if (typeof next !== 'function') throw new TypeError('Use Stream.fromArray(values), or a function that gives values');
    this.#open = () => () => ({ value: next() });
  }

  static {
    streamOf = (open) => {
      const stream = new Stream(open);
      stream.#open = open;
      return stream;
    };
  }

  static fromArray(values) {
    return streamOf(() => {
      let at = 0;
      return () => (at < values.length ? { value: values[at++] } : null);
    });
  }

  #each(use) { // until `use` returns false
    const next = this.#open();
    for (let item = next(); item !== null; item = next()) if (use(item.value) === false) return;
  }

  map(change) {
    return streamOf(() => {
      const next = this.#open();
      return () => {
        const item = next();
        return item === null ? null : { value: change(item.value) };
      };
    });
  }
  filter(accept) {
    return streamOf(() => {
      const next = this.#open();
      return () => {
        let item = next();
        while (item !== null && !accept(item.value)) item = next();
        return item;
      };
    });
  }
  flatMap(change) {
    return streamOf(() => {
      const next = this.#open();
      let inner = () => null;
      return () => {
        for (;;) {
          const found = inner();
          if (found !== null) return found;
          const item = next();
          if (item === null) return null;
          const made = change(item.value);
          inner = (isArray(made) ? Stream.fromArray(made) : made).#open();
        }
      };
    });
  }
  limit(most) {
    return streamOf(() => {
      const next = this.#open();
      let left = Number(most);
      return () => (left-- > 0 ? next() : null);
    });
  }
  chunk(size) {
    const most = Math.trunc(Number(size));
    if (!(most > 0)) throw new TypeError('chunk(size): size has to be a positive number');
    return streamOf(() => {
      const next = this.#open();
      return () => {
        const part = [];
        for (let item = next(); item !== null; item = next()) {
          part.push(item.value);
          if (part.length === most) break;
        }
        return part.length === 0 ? null : { value: part };
      };
    });
  }

  forEach(use) { this.#each((value) => { use(value); }); }
  reduce(join, initial) {
    let result = initial;
    this.#each((value) => { result = join(result, value); });
    return result;
  }
  find(accept) {
    let found = Optional.empty('no value of the stream was accepted');
    this.#each((value) => {
      if (accept !== undefined && !accept(value)) return true;
      found = Optional.of(value);
      return false;
    });
    return found;
  }
  findFirst() { return this.find(); }
  some(accept) {
    let any = false;
    this.#each((value) => !(any = Boolean(accept(value))));
    return any;
  }
  any(accept) { return this.some(accept ?? (() => true)); }
  anyMatch(accept) { return this.some(accept); }
  every(accept) { return !this.some((value) => !accept(value)); }
  allMatch(accept) { return this.every(accept); }
  noneMatch(accept) { return !this.some(accept); }
  toArray(most) {
    const limit = Number(most);
    if (most === undefined || !(limit >= 0)) {
      throw new TypeError('toArray(most): say how many values the array may have, such as toArray(100)');
    }
    const values = [];
    if (limit > 0) this.#each((value) => values.push(value) < limit);
    return values;
  }
}

return { Stream, Optional, streamOf };
})
