// GlideStringUtil, ArrayUtil, JSUtil, JSONParser.
(function (shared) {
'use strict';
const { Object, Math, Number, String, Array, Set, parseInt } = shared.intrinsics;
const { textOf, escapeHtml, gs, isArray, isJavaList, isRecord, parseJson, base64, part } = shared;

const ENTITIES = { lt: '<', gt: '>', amp: '&', quot: '"', quote: '"', apos: "'", nbsp: ' ' };
const NOT_PRINTABLE = { '\t': '\\t', '\n': '\\n', '\r': '\\r', '\f': '\\f', '\b': '\\b' };

function unescapeHtml(text) {
  return textOf(text).replace(/&(#x[0-9a-f]{1,6}|#\d{1,7}|[a-z]{2,5});/gi, (whole, name) => {
    if (name[0] !== '#') return ENTITIES[name.toLowerCase()] ?? whole;
    const code = /^#x/i.test(name) ? parseInt(name.slice(2), 16) : Number(name.slice(1));
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}

class GlideStringUtil {
  static escapeHTML(text) { return escapeHtml(textOf(text)); }
  static unEscapeHTML(text) { return unescapeHtml(text); }
  static unescapeHTML(text) { return unescapeHtml(text); }
  static getHTMLValue(text) { return escapeHtml(textOf(text)); }
  static escapeAllQuotes(text) { return textOf(text).replace(/['"]/g, ''); }
  static escapeTicks(text) { return textOf(text).replaceAll("'", "\\'"); }
  static escapeForHomePage(text) {
    return textOf(text).replace(/[<>&"'%]/g, (c) => `%${c.charCodeAt(0).toString(16)}`);
  }
  static escapeNonPrintable(text) {
    return textOf(text).replace(/[\x00-\x1f\x7f-\x9f]/g, (character) => (
      NOT_PRINTABLE[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
    ));
  }
  static escapeQueryTermSeparator(text) { return textOf(text).replaceAll('^', '^^'); }
  static newLinesToBreaks(text) { return textOf(text).replace(/\r\n|\r|\n/g, '<br/>'); }
  static normalizeWhitespace(text) { return textOf(text).replace(/\s+/g, ' ').trim(); }
  static dotToUnderBar(text) { return textOf(text).replaceAll('.', '_'); }
  static getNumeric(text) { return textOf(text).replace(/[^0-9]/g, ''); }
  static isBase64(text) {
    const stripped = textOf(text).replace(/[\r\n]/g, '');
    return stripped !== '' && stripped.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(stripped);
  }
  static isEligibleSysID(text) { return /^[0-9a-f]{32}$/i.test(textOf(text)); }
  static urlEncode(text) { return gs.urlEncode(text); }
  static base64Encode(value) {
    const { isBytes } = part('attachments');
    return base64(isBytes(value) ? Array.from(value, (byte) => byte & 255) : shared.bytesOf(textOf(value)));
  }
  static base64Decode(text) { return gs.base64Decode(text); }
  static base64DecodeAsBytes(text) { return part('attachments').bytesFrom(textOf(text).replace(/\s/g, '')); }
  static nil(value) { return textOf(value) === ''; }
  static notNil(value) { return textOf(value) !== ''; }
}

// Two elements are the same when they are, or when one is a field and its text is the other.
function same(one, other) {
  if (one === other) return true;
  const objects = typeof one === 'object' || typeof other === 'object';
  return objects && one !== null && other !== null && !isArray(one) && !isArray(other)
    && isText(one) && isText(other) && String(one) === String(other);
}
function isText(value) {
  return typeof value !== 'object' || (typeof value.getValue === 'function' && typeof value.toString === 'function');
}
// What tells elements apart in a set, so that large arrays stay fast.
function keyOf(value) { return typeof value === 'object' && value !== null && isText(value) ? String(value) : value; }

class ArrayUtil {
  contains(array, element) { return this.indexOf(array, element) >= 0; }
  indexOf(array, element, start = 0) {
    const list = this.ensureArray(array);
    const first = Number(start) || 0; // a negative one counts from the end
    for (let index = first < 0 ? Math.max(0, first + list.length) : first; index < list.length; index++) {
      if (same(list[index], element)) return index;
    }
    return -1;
  }
  concat(parent, child) { return [...this.ensureArray(parent), ...this.ensureArray(child)]; }
  diff(array, ...others) {
    const known = new Set(others.flatMap((other) => this.ensureArray(other)).map(keyOf));
    return this.unique(this.ensureArray(array)).filter((element) => !known.has(keyOf(element)));
  }
  intersect(array, ...others) {
    const sets = others.map((other) => new Set(this.ensureArray(other).map(keyOf)));
    return this.unique(this.ensureArray(array)).filter((element) => (
      sets.every((known) => known.has(keyOf(element)))
    ));
  }
  union(...arrays) { return this.unique(arrays.flatMap((array) => this.ensureArray(array))); }
  unique(array) {
    const known = new Set();
    return this.ensureArray(array).filter((element) => {
      const key = keyOf(element);
      if (known.has(key)) return false;
      known.add(key);
      return true;
    });
  }
  ensureArray(value) {
    if (isArray(value)) return value;
    if (value === null || value === undefined) return [];
    return typeof value.size === 'function' ? this.convertArray(value) : [value];
  }
  convertArray(list) {
    if (isArray(list)) return Array.from(list);
    const size = typeof list.size === 'function' ? list.size() : list.length;
    return Array.from({ length: size }, (_, index) => (
      typeof list.get === 'function' ? list.get(index) : list[index]
    ));
  }
}
Object.defineProperty(ArrayUtil.prototype, 'type', { value: 'ArrayUtil', writable: true });

function protoOf(value) { return Object.getPrototypeOf(value); } // of a primitive: its class's

class JSUtil {
  static nil(value) { return value === null || value === undefined || textOf(value) === ''; }
  static notNil(value) { return !JSUtil.nil(value); }
  static has(value) { return value !== null && value !== undefined; }
  static doesNotHave(value) { return !JSUtil.has(value); }
  static toBoolean(value) {
    if (typeof value === 'boolean') return value;
    if (typeof value === 'number') return value !== 0 && value === value;
    return textOf(value) === 'true';
  }
  static getBooleanValue(record, field) { return ['true', '1'].includes(textOf(record.getValue(textOf(field)))); }
  static instance_of(value, name) {
    if (value === null || value === undefined) return false;
    if (typeof name === 'function') return value instanceof name;
    const wanted = textOf(name).replace(/^.*\./, '');
    for (let at = protoOf(value); at !== null; at = protoOf(at)) {
      if (at.constructor?.name === wanted) return true;
    }
    return false;
  }
  static type_of(value) {
    if (value === null || value === undefined) return 'null';
    const kind = JSUtil.strict_type_of(value);
    if (['string', 'number', 'boolean'].includes(kind)) return kind; // wrapped ones, too
    return typeof value;
  }
  static isJavaObject(value) { return isJavaList(value); } // there is no other Java here
  static escapeText(text) {
    return textOf(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  }
  static unescapeText(text) {
    return textOf(text).replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
  }
  static escapeAttr(text) { return textOf(text).replaceAll('&', '&amp;'); }
  static unescapeAttr(text) { return textOf(text).replaceAll('&amp;', '&'); }
  static strict_type_of(value) { return Object.prototype.toString.call(value).slice(8, -1).toLowerCase(); }
  static logObject(value, name) {
    gs.log(`Log Object: ${textOf(name)}`);
    for (const line of described(value, 1)) gs.log(line);
  }
  static describeObject(value, name) {
    return [`Log Object: ${textOf(name)}`, ...described(value, 1)].join('\n');
  }
  static isRhino() { return false; }
}

function described(value, depth) {
  const indent = '  '.repeat(depth);
  if (isRecord(value)) return [`${indent}GlideRecord('${value.getTableName()}') @ ${textOf(value.getDisplayValue())}`];
  if (isArray(value)) {
    return [`${indent}Array of ${value.length} elements`,
      ...value.flatMap((element, index) => labelled(`[${index}]`, element, depth))];
  }
  if (typeof value !== 'object' || value === null) return [`${indent}${String(value)}`];
  return [`${indent}Object`,
    ...Object.keys(value).flatMap((key) => labelled(key, value[key], depth))];
}
function labelled(name, value, depth) {
  const indent = '  '.repeat(depth + 1);
  const nested = typeof value === 'object' && value !== null && depth < 5;
  if (!nested) return [`${indent}${name}: ${typeof value} = ${String(value)}`];
  return [`${indent}${name}:`, ...described(value, depth + 1)];
}

class JSONParser {
  parse(text) { return parseJson(textOf(text)); }
}

return { GlideStringUtil, ArrayUtil, JSUtil, JSONParser };
})
