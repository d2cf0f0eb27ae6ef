// What the platform's older engine had and scripts still use: Java's names, a few methods.
function addMethod(object, name, value) {
  if (!hasOwn(object, name)) defineProperty(object, name, { value, writable: true, configurable: true });
}

addMethod(String.prototype, 'contains', function contains(part) {
  return String(this).includes(String(part));
});
addMethod(String.prototype, 'equals', function equals(other) { return String(this) === String(other); });
addMethod(String.prototype, 'equalsIgnoreCase', function equalsIgnoreCase(other) {
  return String(this).toLowerCase() === String(other).toLowerCase();
});
addMethod(String.prototype, 'isEmpty', function isEmpty() { return String(this) === ''; });
addMethod(Error.prototype, 'getMessage', function getMessage() { return String(this.message); });
addMethod(Object, 'extend', (target, source) => {
  for (const name in source) target[name] = source[name];
  return target;
});
addMethod(Object, 'clone', (object) => Object.extend({}, object));

function notAvailable(name) {
  return new Error(`not available: ${name}`);
}

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
  'java.util.UUID': freeze({ randomUUID: () => __host('gs.guid', []) }),
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

for (const name of ['java', 'javax', 'org', 'com']) publish(name, javaPath(name));
publish('Packages', javaPath(''));
publish('j2js', (value) => (value === null || isArray(value) || typeof value !== 'object'
  || typeof value.toArray !== 'function' ? value : value.toArray()));
