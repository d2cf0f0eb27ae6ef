// Java's names, as far as scripts can have them without Java.
(function (shared) {
'use strict';
const { Array, ArrayBuffer, Date, Math, Object, Proxy, String, parseInt } = shared.intrinsics;
const { STATE, host, isArray, notAvailable, textOf, textOfBytes } = shared;
const { defineProperty, freeze } = Object;

class StringBuilder {
  constructor(text) { defineProperty(this, STATE, { value: { text: textOf(text) } }); }
  append(value) {
    this[STATE].text += String(value);
    return this;
  }
  length() { return this[STATE].text.length; }
  reverse() {
    this[STATE].text = Array.from(this[STATE].text).reverse().join('');
    return this;
  }
  toString() { return this[STATE].text; }
}

class JavaTimeZone {
  constructor(id) { defineProperty(this, STATE, { value: { id } }); }
  getID() { return this[STATE].id; }
  getDisplayName() { return this[STATE].id; }
  toString() { return this[STATE].id; }
}

// Also a text of bytes, as attachments give them.
function JavaString(value) {
  const bytes = ArrayBuffer.isView(value) ? Array.from(value) : value;
  const isBytes = isArray(bytes) && bytes.length > 0 && bytes.every((byte) => typeof byte === 'number');
  const text = isBytes ? textOfBytes(bytes.map((byte) => byte & 255)) : textOf(value);
  return new.target === undefined ? text : new String(text);
}
JavaString.valueOf = textOf;
JavaString.join = (separator, parts) => Array.from(parts, textOf).join(textOf(separator));
JavaString.format = (text) => textOf(text);

// The few classes that scripts use and that need nothing of Java. Nothing else can be reached.
const JAVA = freeze({
  __proto__: null,
  'java.lang.String': JavaString,
  'java.lang.StringBuilder': StringBuilder,
  'java.lang.StringBuffer': StringBuilder,
  'java.lang.Integer': freeze({ parseInt: (text) => parseInt(textOf(text), 10), MAX_VALUE: 2147483647 }),
  'java.lang.Math': Math,
  'java.lang.System': freeze({ currentTimeMillis: () => Date.now() }),
  'java.util.TimeZone': freeze({ getTimeZone: (id) => new JavaTimeZone(textOf(id)) }),
  'java.util.UUID': freeze({ randomUUID: () => host('gs.guid', []) }),
});

// A path of package names: calling or constructing one that is not there says which.
function javaPath(path) {
  return new Proxy(function () {}, {
    get(_, name) {
      if (typeof name === 'symbol' || name === 'toString') return () => `[JavaPackage ${path}]`;
      const next = path === '' ? name : `${path}.${name}`;
      return JAVA[next] ?? javaPath(next);
    },
    set() { throw notAvailable(path); },
    apply() { throw notAvailable(path); },
    construct() { throw notAvailable(path); },
    has: () => true,
  });
}

return {
  Packages: javaPath(''), java: javaPath('java'), javax: javaPath('javax'), org: javaPath('org'), com: javaPath('com'),
};
})
