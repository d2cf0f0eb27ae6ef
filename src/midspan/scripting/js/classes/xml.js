// XMLDocument2, XMLDocument, XMLHelper, GlideXMLUtil: a tree, its text and paths into it.
// Everything happens here, inside the limits of the script; there are no DTDs and no entities but
// the five of XML, so nothing can be fetched or blown up.
(function (shared) {
'use strict';
const {
  Object, Math, Number, String, Map, Set, WeakMap, Error, Boolean, parseInt,
} = shared.intrinsics;
const { textOf, javaList, isArray } = shared;
const DEEPEST = 500;
const ENTITIES = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };
const INVALID = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu;
const NAME = /[A-Za-z_:\u0080-\uffff][-A-Za-z0-9_:.\u0080-\uffff]*/y;
const TAG_END = /\s*(\/?)>/y;
const ATTRIBUTE = /\s+([A-Za-z_:\u0080-\uffff][-A-Za-z0-9_:.\u0080-\uffff]*)\s*=\s*(?:"([^"<]*)"|'([^'<]*)')/y;

// What most nodes have none of is there once: a hundred thousand elements take a third.
const NO_ATTRIBUTES = new Map();
const NO_CHILDREN = Object.freeze([]);
function node(type, name, value) {
  return { type, name, value, attributes: NO_ATTRIBUTES, children: NO_CHILDREN, parent: null };
}
function setAttribute(item, name, value) {
  if (item.attributes === NO_ATTRIBUTES) item.attributes = new Map();
  item.attributes.set(name, value);
}
function append(parent, child) {
  if (child.parent !== null) child.parent.children.splice(child.parent.children.indexOf(child), 1);
  child.parent = parent;
  if (parent.children === NO_CHILDREN) parent.children = [];
  parent.children.push(child);
  return child;
}

// Reading

function decoded(text, place) {
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-fA-F]{1,6})|(\w+));|&/g, (whole, decimal, hex, name) => {
    if (name !== undefined) {
      if (ENTITIES[name] === undefined) throw new Error(`XML: the entity &${name}; is not known${place()}`);
      return ENTITIES[name];
    }
    if (whole === '&') throw new Error(`XML: a lone & has to be written &amp;${place()}`);
    const code = hex === undefined ? Number(decimal) : parseInt(hex, 16);
    if (code > 0x10ffff) throw new Error(`XML: there is no character ${code}${place()}`);
    return String.fromCodePoint(code);
  });
}

class Reader {
  constructor(text, cdata) {
    this.text = text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
    this.at = 0;
    this.cdata = cdata;
    this.names = new Map();
    this.place = () => ` (line ${this.text.slice(0, this.at).split('\n').length})`;
  }
  fail(message) { throw new Error(`XML: ${message}${this.place()}`); }
  until(mark, what) {
    const end = this.text.indexOf(mark, this.at);
    if (end < 0) this.fail(`${what} is not closed`);
    const found = this.text.slice(this.at, end);
    this.at = end + mark.length;
    return found;
  }
  once(name) {
    const known = this.names.get(name);
    if (known === undefined) this.names.set(name, name);
    return known ?? name;
  }
  starts(mark) { return this.text.startsWith(mark, this.at); }

  document() {
    const root = node('document', '#document', null);
    let open = root;
    let depth = 0;
    while (this.at < this.text.length) {
      if (this.text[this.at] !== '<') {
        const end = this.text.indexOf('<', this.at);
        const raw = this.text.slice(this.at, end < 0 ? undefined : end);
        if (open !== root) this.put(open, 'text', '#text', decoded(raw, this.place));
        else if (raw.trim() !== '') this.fail('there is text outside the root element');
        this.at += raw.length;
      } else if (this.starts('</')) {
        this.at += 2;
        const name = this.until('>', 'a closing tag').trim();
        if (open === root || name !== open.name) this.fail(`</${name}> closes nothing that is open`);
        open = open.parent;
        depth--;
      } else if (!this.special(open, root)) {
        const [element, closed] = this.element();
        if (open === root && elementsOf(root).length > 0) this.fail('there is a second root element');
        append(open, element);
        if (!closed) {
          open = element;
          if (++depth > DEEPEST) this.fail(`elements are nested more than ${DEEPEST} deep`);
        }
      }
    }
    if (open !== root) this.fail(`<${open.name}> is not closed`);
    if (elementsOf(root).length === 0) this.fail('there is no root element');
    return root;
  }

  special(open, root) {
    if (this.starts('<!--')) {
      this.at += 4;
      append(open, node('comment', '#comment', this.until('-->', 'a comment')));
    } else if (this.starts('<![CDATA[')) {
      if (open === root) this.fail('there is text outside the root element');
      this.at += 9;
      const text = this.until(']]>', 'a CDATA section');
      if (this.cdata) append(open, node('cdata', '#cdata-section', text));
      else this.put(open, 'text', '#text', text);
    } else if (this.starts('<?')) {
      this.at += 2;
      this.until('?>', 'a processing instruction');
    } else if (this.starts('<!')) {
      this.fail('a document type is not allowed');
    } else {
      return false;
    }
    return true;
  }

  // Neighbouring texts are one node.
  put(open, type, name, text) {
    const last = open.children[open.children.length - 1];
    if (last !== undefined && last.type === 'text') last.value += text;
    else if (text !== '') append(open, node(type, name, text));
  }

  element() {
    NAME.lastIndex = this.at + 1;
    const name = NAME.exec(this.text);
    if (name === null) this.fail('a < has to be written &lt;, or begins no tag');
    const element = node('element', this.once(name[0]), null);
    this.at = NAME.lastIndex;
    for (;;) {
      ATTRIBUTE.lastIndex = this.at;
      const found = ATTRIBUTE.exec(this.text);
      if (found === null) break;
      if (element.attributes.has(found[1])) this.fail(`the attribute ${found[1]} is given twice`);
      setAttribute(element, found[1], decoded(found[2] ?? found[3], this.place));
      this.at = ATTRIBUTE.lastIndex;
    }
    TAG_END.lastIndex = this.at;
    const closing = TAG_END.exec(this.text);
    if (closing === null) this.fail(`the tag <${name[0]}> is not well formed`);
    this.at = TAG_END.lastIndex;
    return [element, closing[1] === '/'];
  }
}

function parse(text, cdata = false) { return new Reader(text, cdata).document(); }
function elementsOf(parent) { return parent.children.filter((child) => child.type === 'element'); }

// Writing

function escapeText(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
function escapeValue(text) {
  return escapeText(text).replaceAll('"', '&quot;').replace(/[\t\n\r]/g, (c) => `&#${c.charCodeAt(0)};`);
}

function written(item, indent = null, depth = 0) {
  switch (item.type) {
    case 'text': return escapeText(item.value);
    case 'cdata': return `<![CDATA[${item.value}]]>`;
    case 'comment': return `<!--${item.value}-->`;
    case 'attribute': return `${item.name}="${escapeValue(item.value)}"`;
    case 'document': return item.children.map((child) => written(child, indent, depth)).join('');
  }
  const attributes = [...item.attributes].sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => ` ${name}="${escapeValue(value)}"`).join('');
  if (item.children.length === 0) return `<${item.name}${attributes}/>`;
  const plain = indent === null || item.children.some((child) => child.type === 'text' && child.value.trim() !== '');
  if (plain) {
    const inner = item.children.map((child) => written(child)).join('');
    return `<${item.name}${attributes}>${inner}</${item.name}>`;
  }
  const pad = `\n${indent.repeat(depth + 1)}`;
  const inner = item.children.filter((child) => child.type !== 'text')
    .map((child) => pad + written(child, indent, depth + 1)).join('');
  return `<${item.name}${attributes}>${inner}\n${indent.repeat(depth)}</${item.name}>`;
}

function textIn(item) {
  if (item.value !== null && item.value !== undefined) return item.type === 'comment' ? '' : item.value;
  return item.children.map(textIn).join('');
}

// Paths: the part of XPath 1.0 that scripts use. Names are compared as they are written, with prefix.

const TOKEN = /\s*(?:(\/\/|\/|::|\.\.|\.|@|\[|\]|\(|\)|\||!=|<=|>=|=|<|>|,|\+|-(?=\s|\d)|\*)|"([^"]*)"|'([^']*)'|(\d+(?:\.\d+)?)|([A-Za-z_\u0080-\uffff][-\w.\u0080-\uffff]*(?::(?:[A-Za-z_\u0080-\uffff][-\w.\u0080-\uffff]*|\*)(?!:))?))/y;
const AXES = {
  child: (item) => item.children,
  descendant: (item) => below(item),
  'descendant-or-self': (item) => [item, ...below(item)],
  self: (item) => [item],
  parent: (item) => (item.parent === null ? [] : [item.parent]),
  ancestor: (item) => above(item),
  'ancestor-or-self': (item) => [item, ...above(item)],
  attribute: (item) => attributesOf(item),
  'following-sibling': (item) => siblings(item).slice(siblings(item).indexOf(item) + 1),
  'preceding-sibling': (item) => siblings(item).slice(0, Math.max(0, siblings(item).indexOf(item))).reverse(),
};
function below(item) {
  const found = [];
  const visit = (parent) => { for (const child of parent.children) { found.push(child); visit(child); } };
  visit(item);
  return found;
}
function above(item) {
  const found = [];
  for (let at = item.parent; at !== null; at = at.parent) found.push(at);
  return found;
}
function siblings(item) { return item.parent === null ? [] : item.parent.children; }
function attributesOf(item) {
  return [...item.attributes].map(([name, value]) => ({ ...node('attribute', name, value), parent: item }));
}

function tokensOf(path) {
  const tokens = [];
  let at = 0;
  while (at < path.trimEnd().length) {
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(path);
    if (found === null) throw new Error(`The path '${path}' cannot be read from '${path.slice(at)}'`);
    at = TOKEN.lastIndex;
    const [, mark, double, single, number, name] = found;
    if (mark !== undefined) tokens.push({ kind: mark });
    else if (number !== undefined) tokens.push({ kind: 'number', value: Number(number) });
    else if (name !== undefined) tokens.push({ kind: 'name', value: name });
    else tokens.push({ kind: 'text', value: double ?? single });
  }
  return tokens;
}

// A recursive-descent reader; every method gives a function of a context {item, position, size}.
class PathReader {
  constructor(path) {
    this.path = path;
    this.tokens = tokensOf(path);
    this.at = 0;
  }
  kind(ahead = 0) { return this.tokens[this.at + ahead]?.kind; }
  name(ahead = 0) {
    const token = this.tokens[this.at + ahead];
    return token?.kind === 'name' ? token.value : undefined;
  }
  take(kind) {
    if (this.kind() !== kind) return false;
    this.at++;
    return true;
  }
  need(kind) { if (!this.take(kind)) throw new Error(`The path '${this.path}' lacks a '${kind}'`); }
  whole() {
    const found = this.either();
    if (this.at < this.tokens.length) throw new Error(`The path '${this.path}' cannot be read`);
    return found;
  }
  either() { return this.joined('or', () => this.both(), (a, b) => truth(a) || truth(b)); }
  both() { return this.joined('and', () => this.comparison(), (a, b) => truth(a) && truth(b)); }
  joined(word, next, join) {
    let left = next();
    while (this.name() === word) {
      this.at++;
      const [before, right] = [left, next()];
      left = (context) => join(before(context), right(context));
    }
    return left;
  }
  comparison() {
    const left = this.sum();
    const operator = this.kind();
    if (!['=', '!=', '<', '<=', '>', '>='].includes(operator)) return left;
    this.at++;
    const right = this.sum();
    return (context) => compare(operator, left(context), right(context));
  }
  sum() {
    let left = this.union();
    while (this.kind() === '+' || this.kind() === '-') {
      const sign = this.take('+') ? 1 : (this.at++, -1);
      const [before, right] = [left, this.union()];
      left = (context) => numberOf(before(context)) + sign * numberOf(right(context));
    }
    return left;
  }
  union() {
    let left = this.operand();
    while (this.take('|')) {
      const [before, right] = [left, this.operand()];
      left = (context) => [...new Set([...before(context), ...right(context)])];
    }
    return left;
  }
  operand() {
    const token = this.tokens[this.at];
    if (token === undefined) throw new Error(`The path '${this.path}' ends too early`);
    if (token.kind === 'text' || token.kind === 'number') {
      this.at++;
      return () => token.value;
    }
    if (this.take('(')) {
      const inner = this.either();
      this.need(')');
      return this.rest(this.filtered(inner));
    }
    const called = this.name();
    if (called !== undefined && this.kind(1) === '(' && !NODE_TESTS.has(called)) return this.rest(this.call());
    return this.location();
  }
  filtered(inner) {
    let found = inner;
    while (this.kind() === '[') {
      const [before, keep] = [found, this.predicate()];
      found = (context) => keep(before(context));
    }
    return found;
  }
  // What follows a value: `/step…`.
  rest(start) {
    if (this.kind() !== '/' && this.kind() !== '//') return start;
    const deep = this.kind() === '//';
    this.at++;
    const steps = this.steps(deep);
    return (context) => steps(start(context));
  }
  call() {
    const name = this.name();
    this.at += 2;
    const args = [];
    while (this.kind() !== ')') {
      if (args.length > 0) this.need(',');
      args.push(this.either());
    }
    this.need(')');
    const called = FUNCTIONS[name];
    if (called === undefined) throw new Error(`The path '${this.path}' calls ${name}(), which is not known`);
    return (context) => called(context, ...args.map((arg) => arg(context)));
  }
  location() {
    if (this.take('//')) {
      const steps = this.steps(true);
      return (context) => steps([rootOf(context.item)]);
    }
    if (this.take('/')) {
      if (this.at >= this.tokens.length || this.kind() === '|' || this.kind() === ')') {
        return (context) => [rootOf(context.item)];
      }
      const steps = this.steps(false);
      return (context) => steps([rootOf(context.item)]);
    }
    const steps = this.steps(false);
    return (context) => steps([context.item]);
  }
  steps(deep) {
    const list = [];
    let anywhere = deep;
    do {
      if (anywhere) list.push((item) => AXES['descendant-or-self'](item));
      list.push(this.step());
      if (this.take('//')) anywhere = true;
      else if (this.take('/')) anywhere = false;
      else break;
    } while (true);
    return (items) => list.reduce((now, step) => [...new Set(now.flatMap((item) => step(item)))], items);
  }
  step() {
    if (this.take('.')) return (item) => [item];
    if (this.take('..')) return AXES.parent;
    let axis = 'child';
    if (this.take('@')) axis = 'attribute';
    else if (this.kind(1) === '::') {
      axis = this.name();
      if (AXES[axis] === undefined) throw new Error(`The path '${this.path}' has the unknown axis '${axis}'`);
      this.at += 2;
    }
    const test = this.test(axis);
    const keeps = [];
    while (this.kind() === '[') keeps.push(this.predicate());
    return (item) => keeps.reduce((found, keep) => keep(found), AXES[axis](item).filter(test));
  }
  test(axis) {
    const wanted = axis === 'attribute' ? 'attribute' : 'element';
    if (this.take('*')) return (item) => item.type === wanted;
    const name = this.name();
    if (name === undefined) throw new Error(`The path '${this.path}' lacks a name`);
    this.at++;
    if (NODE_TESTS.has(name) && this.kind() === '(') {
      this.need('(');
      this.need(')');
      if (name === 'node') return () => true;
      if (name === 'text') return (item) => item.type === 'text' || item.type === 'cdata';
      return (item) => item.type === name;
    }
    if (name.endsWith(':*')) return (item) => item.type === wanted && item.name.startsWith(name.slice(0, -1));
    return (item) => item.type === wanted && item.name === name;
  }
  predicate() {
    this.need('[');
    const condition = this.either();
    this.need(']');
    return (items) => items.filter((item, index) => {
      const value = condition({ item, position: index + 1, size: items.length });
      return typeof value === 'number' ? value === index + 1 : truth(value);
    });
  }
}

const NODE_TESTS = new Set(['text', 'node', 'comment']);
const FUNCTIONS = {
  position: (context) => context.position,
  last: (context) => context.size,
  count: (_, items) => items.length,
  not: (_, value) => !truth(value),
  true: () => true,
  false: () => false,
  string: (context, value = [context.item]) => stringOf(value),
  number: (context, value = [context.item]) => numberOf(value),
  sum: (_, items) => items.reduce((total, item) => total + Number(textIn(item)), 0),
  name: (context, items = [context.item]) => items[0]?.name ?? '',
  'local-name': (context, items = [context.item]) => (items[0]?.name ?? '').replace(/^.*:/, ''),
  contains: (_, a, b) => stringOf(a).includes(stringOf(b)),
  'starts-with': (_, a, b) => stringOf(a).startsWith(stringOf(b)),
  'string-length': (context, value = [context.item]) => stringOf(value).length,
  'normalize-space': (context, value = [context.item]) => stringOf(value).trim().replace(/\s+/g, ' '),
  concat: (_, ...values) => values.map(stringOf).join(''),
  'substring-before': (_, a, b) => {
    const at = stringOf(a).indexOf(stringOf(b));
    return at < 0 ? '' : stringOf(a).slice(0, at);
  },
  'substring-after': (_, a, b) => {
    const at = stringOf(a).indexOf(stringOf(b));
    return at < 0 ? '' : stringOf(a).slice(at + stringOf(b).length);
  },
};

function stringOf(value) { return isArray(value) ? (value.length === 0 ? '' : textIn(value[0])) : String(value); }
function numberOf(value) { return typeof value === 'number' ? value : Number(stringOf(value).trim() || NaN); }
function truth(value) { return isArray(value) ? value.length > 0 : Boolean(value); }
function rootOf(item) { let at = item; while (at.parent !== null) at = at.parent; return at; }

function compare(operator, left, right) {
  const lefts = isArray(left) ? left.map(textIn) : [left];
  const rights = isArray(right) ? right.map(textIn) : [right];
  return lefts.some((a) => rights.some((b) => comparePlain(operator, a, b)));
}
function comparePlain(operator, a, b) {
  const asNumbers = typeof a === 'number' || typeof b === 'number' || !['=', '!='].includes(operator);
  const [x, y] = asNumbers ? [Number(a), Number(b)] : [String(a), String(b)];
  switch (operator) {
    case '=': return x === y;
    case '!=': return x !== y;
    case '<': return x < y;
    case '<=': return x <= y;
    case '>': return x > y;
    default: return x >= y;
  }
}

// Nodes in the order of their document; attributes come right after their element.
function inOrder(items) {
  if (items.length < 2) return items;
  const places = new Map();
  for (const item of AXES['descendant-or-self'](rootOf(items[0]))) places.set(item, places.size);
  const placeOf = (item) => (item.type === 'attribute' ? places.get(item.parent) + 0.5 : places.get(item));
  return [...items].sort((a, b) => placeOf(a) - placeOf(b));
}

const paths = new Map();
function evaluated(item, path) {
  let compiled = paths.get(path);
  if (compiled === undefined) {
    compiled = new PathReader(path).whole();
    if (paths.size > 500) paths.clear();
    paths.set(path, compiled);
  }
  return compiled({ item, position: 1, size: 1 });
}
function select(item, path) {
  const found = evaluated(item, path);
  if (isArray(found)) return /\||ancestor|preceding/.test(path) ? inOrder(found) : found;
  return [node('text', '#text', String(found))];
}

// The classes

const wrapped = new WeakMap();
const itemOf = new WeakMap();
function wrap(item) {
  if (item === null || item === undefined) return null;
  let found = wrapped.get(item);
  if (found === undefined) {
    found = new XMLNode(item);
    wrapped.set(item, found);
  }
  return found;
}

class XMLNode {
  constructor(item) { itemOf.set(this, item); }
  getNodeName() { return itemOf.get(this).name; }
  getTagName() { return itemOf.get(this).name; }
  getLocalName() { return itemOf.get(this).name.replace(/^.*:/, ''); }
  getNodeValue() { return itemOf.get(this).value; }
  getTextContent() { return textIn(itemOf.get(this)); }
  setTextContent(text) {
    const item = itemOf.get(this);
    item.children = [];
    append(item, node('text', '#text', textOf(text)));
  }
  getNodeType() { return { element: 1, attribute: 2, text: 3, cdata: 4, comment: 8, document: 9 }[itemOf.get(this).type]; }
  getAttribute(name) { return itemOf.get(this).attributes.get(textOf(name)) ?? ''; }
  setAttribute(name, value) { setAttribute(itemOf.get(this), checkedName(name), textOf(value)); }
  removeAttribute(name) { itemOf.get(this).attributes.delete(textOf(name)); }
  hasAttribute(name) { return itemOf.get(this).attributes.has(textOf(name)); }
  // An object by name, which also answers as Java's map of nodes does.
  getAttributes() {
    const nodes = AXES.attribute(itemOf.get(this)).map(wrap);
    const map = Object.fromEntries(itemOf.get(this).attributes);
    const methods = {
      getLength: () => nodes.length,
      item: (index) => nodes[index] ?? null,
      getNamedItem: (name) => nodes.find((each) => each.getNodeName() === textOf(name)) ?? null,
    };
    for (const name of Object.keys(methods)) Object.defineProperty(map, name, { value: methods[name] });
    return map;
  }
  hasChildNodes() { return itemOf.get(this).children.length > 0; }
  getChildNodes() { return nodeList(itemOf.get(this).children); }
  getElementsByTagName(name) { return nodeList(select(itemOf.get(this), `.//${textOf(name)}`)); }
  getFirstChild() { return wrap(itemOf.get(this).children[0]); }
  getLastChild() { return wrap(itemOf.get(this).children.at(-1)); }
  getParentNode() { return wrap(itemOf.get(this).parent); }
  getNextSibling() { return wrap(AXES['following-sibling'](itemOf.get(this))[0]); }
  getPreviousSibling() { return wrap(AXES['preceding-sibling'](itemOf.get(this))[0]); }
  appendChild(child) { append(itemOf.get(this), itemOf.get(child)); return child; }
  removeChild(child) {
    const item = itemOf.get(child);
    const siblings = itemOf.get(this).children;
    if (item.parent === itemOf.get(this)) siblings.splice(siblings.indexOf(item), 1);
    item.parent = null;
    return child;
  }
  isCDATANode() { return itemOf.get(this).type === 'cdata'; }
  getChildNodeIterator() {
    const children = itemOf.get(this).children.map(wrap);
    let at = 0;
    return { hasNext: () => at < children.length, next: () => children[at++] ?? null };
  }
  toString() { return written(itemOf.get(this)); }
  toJSON() { return this.toString(); }
}

// A Java NodeList and list at once.
function nodeList(items) {
  const list = javaList(items.map(wrap));
  Object.defineProperty(list, 'getLength', { value: () => list.length });
  Object.defineProperty(list, 'item', { value: (index) => list[index] ?? null });
  return list;
}

function checkedName(name) {
  const text = textOf(name);
  NAME.lastIndex = 0;
  if (NAME.exec(text)?.[0] !== text) throw new Error(`XML: '${text}' is no name`);
  return text;
}

const DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>';

class XMLDocument2 {
  #root = node('document', '#document', null);
  #current = null;
  #cdata = false;
  #error = null;
  #found = [];

  constructor(text) { if (text !== undefined) this.parseXML(text); }
  parseXML(text) {
    this.#error = null;
    this.#current = null;
    try {
      this.#root = parse(textOf(text), this.#cdata);
    } catch (error) {
      this.#error = error.message;
      this.#root = node('document', '#document', null);
    }
    return this.#error === null;
  }
  isValid() { return this.#error === null && elementsOf(this.#root).length > 0; }
  getErrorMsg() { return this.#error; }
  setNamespaceAware() { return undefined; } // names are compared with their prefixes anyway
  setEnableCDATAReporting(enable) { this.#cdata = enable === true; }
  getDocumentElement() { return wrap(elementsOf(this.#root)[0]); }
  getNode(path) { return wrap(select(this.#root, textOf(path))[0]); }
  getFirstNode(path) {
    this.#found = select(this.#root, textOf(path));
    return wrap(this.#found[0]);
  }
  getNextNode(previous) {
    const at = this.#found.indexOf(itemOf.get(previous));
    return at < 0 ? null : wrap(this.#found[at + 1]);
  }
  getNodeText(path) {
    const found = select(this.#root, textOf(path))[0];
    return found === undefined ? null : textIn(found);
  }
  createElement(name) {
    const element = node('element', checkedName(name), null);
    const parent = this.#current ?? elementsOf(this.#root)[0] ?? this.#root;
    return wrap(append(parent, element));
  }
  createElementWithTextValue(name, value) {
    const element = this.createElement(name);
    element.setTextContent(value);
    return element;
  }
  setCurrentElement(element) { this.#current = itemOf.get(element) ?? null; }
  toString() { return DECLARATION + written(this.#root); }
  toJSON() { return this.toString(); }
}

// The older class: a text in the constructor, paths in every question.
class XMLDocument {
  #root = node('document', '#document', null);
  #current = null;
  #error = null;

  constructor(text) {
    const given = textOf(text);
    if (given === '') return;
    try {
      this.#root = parse(given, true);
    } catch (error) {
      this.#error = error.message;
    }
    this.#current = elementsOf(this.#root)[0] ?? null;
  }
  isValid() { return this.#error === null && elementsOf(this.#root).length > 0; }
  getErrorMsg() { return this.#error; }
  #first(path) { return select(this.#root, textOf(path))[0]; }
  getDocumentElement() { return wrap(elementsOf(this.#root)[0]); }
  getNode(path) { return wrap(this.#first(path)); }
  getNodes(path) { return nodeList(select(this.#root, textOf(path))); }
  selectNodes(path) { return this.getNodes(path); }
  selectSingleNode(path) { return this.getNode(path); }
  getNodeText(path) {
    const found = this.#first(path);
    return found === undefined ? null : textIn(found);
  }
  getNodeName(path) { return this.#first(path)?.name ?? null; }
  getNodeInt(path) { return parseInt(textOf(this.getNodeText(path)), 10) || 0; }
  getNodeType(path) { return this.getNode(path)?.getNodeType() ?? null; }
  // The attribute of a name, or what the path itself leads to.
  getAttribute(path, name) {
    const found = this.#first(path);
    if (found === undefined) return null;
    return name === undefined ? textIn(found) : found.attributes.get(textOf(name)) ?? null;
  }
  getElementByTagName(name) { return wrap(this.#first(`//${textOf(name)}`)); }
  getElementsByTagName(name) { return this.getNodes(`//${textOf(name)}`); }
  getElementValueByTagName(name) { return this.getNodeText(`//${textOf(name)}`); }
  getChildTextByTagName(parent, name) {
    const found = select(itemOf.get(parent), textOf(name))[0];
    return found === undefined ? null : textIn(found);
  }
  createElement(name, value) {
    const element = node('element', checkedName(name), null);
    append(this.#current ?? this.#root, element);
    if (value !== undefined) append(element, node('text', '#text', textOf(value)));
    if (this.#current === null) this.#current = element;
    return wrap(element);
  }
  createCDATAElement(name, value) {
    const element = this.createElement(name);
    append(itemOf.get(element), node('cdata', '#cdata-section', textOf(value)));
    return element;
  }
  createTextNode(value) {
    return wrap(append(this.#current ?? this.#root, node('text', '#text', textOf(value))));
  }
  createComment(value) {
    return wrap(append(this.#current ?? this.#root, node('comment', '#comment', textOf(value))));
  }
  setAttribute(name, value) {
    const [checked, text] = [checkedName(name), textOf(value)];
    if (this.#current) setAttribute(this.#current, checked, text);
  }
  setNodeText(path, value) { this.getNode(path)?.setTextContent(value); }
  appendElement(path, element) { append(this.#first(path) ?? this.#root, itemOf.get(element)); }
  setCurrent(element) { this.#current = itemOf.get(element) ?? null; }
  getCurrent() { return wrap(this.#current); }
  pop() { this.#current = this.#current?.parent ?? null; }
  toString() { return DECLARATION + written(this.#root); }
  toIndentedString() { return `${DECLARATION}\n${written(this.#root, '  ')}`; }
  toJSON() { return this.toString(); }
}

// Objects from trees: repeated children are arrays, attributes `@name`, text beside others `#text`.
function objectOf(item) {
  const elements = elementsOf(item);
  const own = item.children.filter((child) => child.type === 'text' || child.type === 'cdata');
  const text = own.map((child) => child.value).join('');
  if (elements.length === 0 && item.attributes.size === 0) return text;
  const object = {};
  for (const [name, value] of item.attributes) put(object, `@${name}`, value);
  for (const child of elements) {
    const value = objectOf(child);
    if (!Object.hasOwn(object, child.name)) put(object, child.name, value);
    else if (isArray(object[child.name])) object[child.name].push(value);
    else put(object, child.name, [object[child.name], value]);
  }
  if (text.trim() !== '') put(object, '#text', text.trim());
  return object;
}
// Whatever the name is, also __proto__.
function put(object, name, value) {
  Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true });
}
function xmlToObject(text) {
  const [root] = elementsOf(parse(text));
  const object = {};
  put(object, root.name, objectOf(root));
  return object;
}
function fill(element, value, depth = 0) {
  if (depth > DEEPEST) throw new Error(`XML: objects are nested more than ${DEEPEST} deep`);
  if (value === null || value === undefined) return;
  const plain = typeof value === 'object' && !isArray(value) && typeof value.toJSON !== 'function';
  if (!plain) {
    append(element, node('text', '#text', textOf(value)));
    return;
  }
  for (const name of Object.keys(value)) {
    if (name[0] === '@') setAttribute(element, checkedName(name.slice(1)), textOf(value[name]));
    else if (name === '#text') append(element, node('text', '#text', textOf(value[name])));
    else {
      for (const part of isArray(value[name]) ? value[name] : [value[name]]) {
        fill(append(element, node('element', checkedName(name), null)), part, depth + 1);
      }
    }
  }
}

class XMLHelper {
  constructor(text) { this.initialize(text); }

  // Classes of scripts that extend this one are made by it.
  initialize(text) { this.xmlString = text; }
  toObject(text) {
    const given = text === undefined ? this.xmlString : text;
    if (given instanceof XMLNode) return objectOf(itemOf.get(given));
    const [root] = elementsOf(parse(textOf(given)));
    const object = objectOf(root);
    return object === '' ? {} : object;
  }
  toXMLStr(object) { return this.toXMLDoc(object).toString(); }
  toXMLDoc(object) {
    const document = new XMLDocument('<xml/>');
    const names = Object.keys(object);
    const [only] = names;
    const single = names.length === 1 && typeof object[only] === 'object' && !isArray(object[only]);
    if (!single) {
      fill(itemOf.get(document.getDocumentElement()), object);
      return document;
    }
    const named = new XMLDocument(`<${checkedName(only)}/>`);
    fill(itemOf.get(named.getDocumentElement()), object[only]);
    return named;
  }
}

class GlideXMLUtil {
  static removeInvalidChars(text) { return textOf(text).replace(INVALID, ''); }
  // What is wrong with a text, or null when it is well formed.
  static validateXML(text) {
    try {
      parse(textOf(text));
      return null;
    } catch (error) {
      return error.message;
    }
  }
}

function textAt(text, path) {
  const found = select(parse(text), path)[0];
  return found === undefined ? null : textIn(found);
}

return { XMLDocument2, XMLDocument, XMLHelper, GlideXMLUtil, XMLNode, xmlToObject, textAt };
})
