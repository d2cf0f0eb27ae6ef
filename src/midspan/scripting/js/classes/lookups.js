// Choice lists, plugins, the locale, titles of records, and values of JSON by path.
(function (shared) {
'use strict';
const { Object, Array, Map, Math, Error, TypeError, Number } = shared.intrinsics;
const { textOf, describe, isArray, parseJson, sessionInfo, escapeHtml } = shared;

class GlideChoice {
  #value;
  #label;
  #id;
  #image = null;
  #selected = false;
  #parameters = new Map();
  constructor(value, label, id) {
    this.#value = textOf(value);
    this.#label = textOf(label);
    this.#id = textOf(id);
  }
  getValue() { return this.#value; }
  getLabel() { return this.#label; }
  getId() { return this.#id || null; }
  getImage() { return this.#image; }
  getSelected() { return this.#selected; }
  getParameter(name) { return this.#parameters.get(textOf(name)) ?? null; }
  getParameters() { return Object.fromEntries(this.#parameters); }
  setValue(value) { this.#value = textOf(value); }
  setLabel(label) { this.#label = textOf(label); }
  setId(id) { this.#id = textOf(id); }
  setImage(image) { this.#image = textOf(image); }
  setSelected(selected) { this.#selected = selected === true; }
  setParameter(name, value) { this.#parameters.set(textOf(name), textOf(value)); }
  toJSON() { return { value: this.#value, label: this.#label }; }
  toString() { return this.#label; }
}

class GlideChoiceList {
  #choices = [];
  // The choices of a field; empty where the table or the field is not there.
  static getChoiceList(table, field) {
    const list = new GlideChoiceList();
    const found = describe(textOf(table))?.fields[textOf(field)]?.choices ?? [];
    for (const { value, label } of found) list.add(value, label);
    return list;
  }
  #at(which) {
    return typeof which === 'number' ? which : this.#choices.findIndex((one) => one.getValue() === textOf(which));
  }
  add(value, label) {
    const choice = value instanceof GlideChoice ? value : new GlideChoice(value, label);
    this.#choices.push(choice);
    return choice;
  }
  addAll(others) { for (let at = 0; at < others.getSize(); at++) this.#choices.push(others.getChoice(at)); }
  addFirst(value, label) { this.#choices.unshift(new GlideChoice(value, label)); }
  addNone() {
    this.addFirst('', '-- None --');
    return this.#choices[0];
  }
  getChoice(which) { return this.#choices[this.#at(which)] ?? null; }
  getChoiceNoTrim(which) { return this.getChoice(which); }
  getLabelOf(value) { return this.getChoice(textOf(value))?.getLabel() ?? null; }
  getValueOf(label) {
    return this.#choices.find((one) => one.getLabel() === textOf(label))?.getValue() ?? null;
  }
  getSelectedIndex() { return this.#choices.findIndex((one) => one.getSelected()); }
  getSize() { return this.#choices.length; }
  indexOf(which) {
    return which instanceof GlideChoice ? this.#choices.indexOf(which) : this.#at(textOf(which));
  }
  removeChoice(which) {
    const at = this.#at(which);
    return at < 0 ? null : this.#choices.splice(at, 1)[0] ?? null;
  }
  removeNone() { this.removeChoice(''); }
  sort() { this.#choices.sort((one, other) => one.getLabel().localeCompare(other.getLabel())); }
  toJSON() { return this.#choices.map((one) => one.toJSON()); }
  toXML() {
    const shown = this.#choices.map(
      (one) => `<item value="${escapeHtml(one.getValue())}" label="${escapeHtml(one.getLabel())}"/>`);
    return `<choicelist>${shown.join('')}</choicelist>`;
  }
}

// There are no plugins here: none is active, so scripts take the way without it.
class GlidePluginManager {
  static isActive() { return false; }
  static isRegistered() { return false; }
  isActive() { return false; }
  isRegistered() { return false; }
  getActivePlugins() { return shared.javaList([]); }
}

class GlideLocale {
  static get() { return new GlideLocale(); }
  getDecimalSeparator() { return '.'; }
  getGroupingSeparator() { return ','; }
  getLanguage() { return sessionInfo().language; }
}

class GlideSysTitle {
  #table;
  constructor(table) { this.#table = textOf(table); }
  getTitle(record) {
    const shown = record.getDisplayValue();
    return shown === '' || shown === null ? describe(this.#table)?.label ?? this.#table : shown;
  }
}

// JSON paths: $, names, indexes, slices, unions, wildcards, descent and filters.
function readPath(text) {
  const steps = [];
  let at = text.startsWith('$') ? 1 : 0;
  const token = /\.\.|\.?\[|\.?([^.[\]()]+)(\(\))?/y;
  while (at < text.length) {
    token.lastIndex = at;
    const found = token.exec(text);
    if (found === null) throw new Error(`${text} is no JSON path: unexpected ${text[at]}`);
    at = token.lastIndex;
    if (found[0] === '..') {
      steps.push({ kind: 'descent' });
    } else if (found[0].endsWith('[')) {
      const end = closing(text, at);
      steps.push(bracket(text.slice(at, end).trim(), text));
      at = end + 1;
    } else if (found[1] === '*') {
      steps.push({ kind: 'all' });
    } else {
      steps.push(found[2] === undefined
        ? { kind: 'names', names: [found[1]] } : { kind: 'measure', name: found[1] });
    }
  }
  return steps;
}

function closing(text, from) {
  let depth = 1;
  let quote = '';
  for (let at = from; at < text.length; at++) {
    const character = text[at];
    if (quote !== '') {
      if (character === quote) quote = '';
    } else if (character === "'" || character === '"') {
      quote = character;
    } else if (character === '[') {
      depth += 1;
    } else if (character === ']' && --depth === 0) {
      return at;
    }
  }
  throw new Error(`${text} is no JSON path: a bracket is not closed`);
}

function bracket(inner, text) {
  if (inner === '*') return { kind: 'all' };
  if (inner.startsWith('?')) return { kind: 'filter', test: readFilter(inner.slice(1).trim(), text) };
  if (/^-?\d*:-?\d*$/.test(inner)) {
    const [start, end] = inner.split(':').map((part) => (part === '' ? undefined : Number(part)));
    return { kind: 'slice', start, end };
  }
  const names = inner.split(',').map((part) => part.trim());
  if (names.every((name) => /^-?\d+$/.test(name))) return { kind: 'indexes', indexes: names.map(Number) };
  return { kind: 'names', names: names.map((name) => name.replace(/^(['"])(.*)\1$/, '$2')) };
}

const COMPARE = {
  '==': (one, other) => one === other, '!=': (one, other) => one !== other,
  '<': (one, other) => one < other, '<=': (one, other) => one <= other,
  '>': (one, other) => one > other, '>=': (one, other) => one >= other,
};

function readFilter(text, whole) {
  const inner = /^\((.*)\)$/s.exec(text)?.[1] ?? text;
  const any = inner.split('||').map((part) => part.split('&&').map((test) => readTest(test.trim(), whole)));
  return (value) => any.some((every) => every.every((test) => test(value)));
}

function readTest(text, whole) {
  const found = /^(!?)\s*@([^\s=!<>]*)\s*(?:(==|!=|<=|>=|<|>)\s*(.+))?$/s.exec(text);
  if (found === null) throw new Error(`${whole} is no JSON path: ${text} is no filter`);
  const [, negated, path, operator, literal] = found;
  const steps = readPath(path);
  if (operator === undefined) return (value) => (walk([value], steps).length > 0) === (negated === '');
  const wanted = parseJson(literal.replace(/^'(.*)'$/s, (_, inner) => shared.toJsonText(inner)));
  return (value) => walk([value], steps).some((one) => COMPARE[operator](one, wanted));
}

function children(value) {
  if (isArray(value)) return value;
  return value !== null && typeof value === 'object' ? Object.keys(value).map((key) => value[key]) : [];
}

function descendants(value) { return [value, ...children(value).flatMap(descendants)]; }

function named(value, names) {
  const has = value !== null && typeof value === 'object' && !isArray(value);
  return has ? names.filter((name) => Object.hasOwn(value, name)).map((name) => value[name]) : [];
}

const STEPS = {
  descent: (value) => descendants(value),
  all: (value) => children(value),
  names: (value, step) => named(value, step.names),
  indexes: (value, step) => (isArray(value)
    ? step.indexes.map((index) => value.at(index)).filter((one) => one !== undefined) : []),
  slice: (value, step) => (isArray(value) ? value.slice(step.start, step.end) : []),
  filter: (value, step) => (isArray(value) ? value : [value]).filter(step.test),
  measure(value, step) {
    const numbers = isArray(value) ? value : [];
    switch (step.name) {
      case 'length': return [isArray(value) ? value.length : children(value).length];
      case 'min': return [Math.min(...numbers)];
      case 'max': return [Math.max(...numbers)];
      case 'sum': return [numbers.reduce((sum, one) => sum + one, 0)];
      case 'avg': return [numbers.reduce((sum, one) => sum + one, 0) / numbers.length];
      case 'keys': return [Object.keys(value ?? {})];
      default: throw new TypeError(`There is no function ${step.name}() in JSON paths`);
    }
  },
};

function walk(values, steps) {
  return steps.reduce((found, step) => found.flatMap((value) => STEPS[step.kind](value, step)), values);
}

function isDefinite(step) {
  return (step.kind === 'names' && step.names.length === 1)
    || (step.kind === 'indexes' && step.indexes.length === 1) || step.kind === 'measure';
}

class GlideJsonPath {
  #data;
  constructor(json) { this.#data = parseJson(textOf(json)); }
  // One value where the path can only lead to one, and then null without it; else a list.
  read(path) {
    const steps = readPath(textOf(path).trim());
    const found = walk([this.#data], steps);
    return steps.every(isDefinite) ? found[0] ?? null : Array.from(found);
  }
}

return { GlideChoice, GlideChoiceList, GlidePluginManager, GlideLocale, GlideSysTitle, GlideJsonPath };
})
