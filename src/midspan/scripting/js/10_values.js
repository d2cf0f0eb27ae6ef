// What the other files share: captured built-ins, texts of values, descriptions of tables.
const { apply: applyTo, construct, get: reflectGet, set: reflectSet, ownKeys } = Reflect;
const { create, defineProperty, defineProperties, freeze, getOwnPropertyDescriptor } = Object;
const { isArray } = Array;
const { parse: parseJson, stringify: toJsonText } = JSON;
const hasOwn = Object.hasOwn;
const Weak = WeakRef;
const textMethods = String.prototype;
const STATE = Symbol('state');
const TAG = Symbol.toStringTag;
const TABLE_TABLES = ['sys_db_object', 'sys_dictionary', 'sys_dictionary_override', 'sys_choice'];

// The text in which a value is stored: empty for nothing, lists joined by commas.
function textOf(value) {
  if (value === null || value === undefined) return '';
  if (isArray(value)) return value.map(textOf).join(',');
  return String(value);
}

function firstOf(value) {
  return isArray(value) ? value[0] : value;
}

const described = new Map();

// The description of a table, or null when there is none; see describe() in host code. Its
// fields lack what is empty or false.
function describe(name) {
  let table = described.get(name);
  if (table === undefined) {
    table = __host('table.describe', [name]);
    if (table !== null) {
      table.index = create(null);
      table.columns.forEach((column, position) => {
        // Nobody reads hashed passwords, whatever a row brings.
        if (table.fields[column].type !== 'password') table.index[column] = position;
      });
      table.fields = Object.assign(create(null), table.fields);
    }
    described.set(name, table);
  }
  return table;
}

function forgetTables(written) {
  if (TABLE_TABLES.includes(written)) described.clear();
}

// Java's list as scripts use it: size(), get(i), and an array besides.
function javaList(values) {
  const list = Array.from(values);
  const methods = {
    size() { return list.length; },
    get(position) { return list[position]; },
    contains(value) { return list.includes(value); },
    isEmpty() { return list.length === 0; },
    toArray() { return Array.from(list); },
    iterator() {
      let at = 0;
      return { hasNext: () => at < list.length, next: () => list[at++] };
    },
  };
  for (const name of Object.keys(methods)) defineProperty(list, name, { value: methods[name] });
  return list;
}

function isJavaList(value) { return isArray(value) && getOwnPropertyDescriptor(value, 'iterator') !== undefined; }

function publish(name, value) {
  defineProperty(globalThis, name, { value, writable: true, configurable: true });
}

// A class that also makes an object without `new`, as the platform's own do, and whose static
// methods may be called with it.
function callable(made) {
  for (const name of Object.getOwnPropertyNames(made)) {
    const method = made[name];
    if (typeof method !== 'function' || getOwnPropertyDescriptor(method, 'prototype')) continue;
    const value = function (...args) { return applyTo(method, made, args); };
    defineProperty(value, 'name', { value: name, configurable: true });
    defineProperty(made, name, { value, writable: true, configurable: true });
  }
  const open = new Proxy(made, { __proto__: null, apply: (target, self, args) => construct(target, args) });
  defineProperty(made.prototype, 'constructor', { value: open, writable: true, configurable: true });
  return open;
}

// The prototype of a class is fixed, that of a function is not.
function isClass(value) {
  return typeof value === 'function' && getOwnPropertyDescriptor(value, 'prototype')?.writable === false;
}

const HTML = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

// With a backslash before what would end a text in a script.
const ENDS = { '\n': '\\n', '\r': '\\r' };

function escapeTicks(text) {
  return text.replace(/[\\'"\n\r]/g, (character) => ENDS[character] ?? `\\${character}`);
}

function escapeHtml(text) {
  return text.replace(/[&<>"']/g, (character) => HTML[character]);
}
