// GlideElement: a field of whatever row its record is on at the moment it is used.
//
// An element is an ordinary object, so that its methods cost no trap. What is no method, columns
// behind a reference and methods of strings, is found by the proxy at the end of its prototypes.
const NUMERIC = ['integer', 'decimal'];
let elementState; // the state of the record that the element's field is in
let groupedText;
let elementText; // its stored text, '' when it is empty; booleans are 'true' and 'false'
let elementName;
let elementField; // the description of its field
let isElement; // whether a value is a field object; nothing that a script makes is
let noteBehind; // keeps what is to be written into the record that a reference points at
let walk; // the element of a column of the record that a reference points at, or undefined

const elementFallback = new Proxy(create(Object.prototype), {
  get(target, key, element) {
    if (typeof key === 'symbol' || key in target) return reflectGet(target, key, element);
    if (!isElement(element)) return undefined;
    return walk(element, key) ?? textMember(element, key) ?? mistyped(element, key, 'GlideElement');
  },
  set(target, key, value, element) { // only insertWithReferences() and its like write behind references
    if (!isElement(element)) return reflectSet(target, key, value, element);
    noteBehind(element, key, value);
    return true;
  },
});

function textMember(element, key) {
  if (key === 'length') return elementText(element).length;
  const method = textMethods[key];
  if (typeof method !== 'function') return undefined;
  return (...args) => applyTo(method, elementText(element), args);
}

// Column names have no capitals, so a name that has some, or is a method's in another case, was
// meant as a method; it ends as the original does when it is called.
function mistyped(object, key, kind) {
  const meant = nearestMethod(object, key);
  if (meant === '' && key.toLowerCase() === key) return undefined;
  return () => {
    const hint = meant === '' ? '' : `. Did you mean ${meant}?`;
    throw new TypeError(`Cannot find function ${key} in object ${kind}${hint}`);
  };
}

const methodNames = new Map();

function nearestMethod(object, key) {
  const kind = object.constructor;
  let names = methodNames.get(kind);
  if (names === undefined) {
    names = [];
    for (let at = kind.prototype; at && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
      names.push(...Object.getOwnPropertyNames(at).filter((name) => name !== 'constructor'));
    }
    methodNames.set(kind, names);
  }
  const wanted = key.toLowerCase();
  const same = names.find((name) => name.toLowerCase() === wanted);
  return same ?? (wanted.length < 8 ? '' : names.find((name) => isNear(name.toLowerCase(), wanted)) ?? '');
}

// Whether one letter more, less or other makes one text of the other.
function isNear(one, other) {
  if (Math.abs(one.length - other.length) > 1) return false;
  let start = 0;
  while (start < one.length && one[start] === other[start]) start++;
  let end = 0;
  while (end < Math.min(one.length, other.length) - start && one.at(-1 - end) === other.at(-1 - end)) end++;
  return Math.max(one.length, other.length) - start - end <= 1;
}

function shortened(text, most) {
  return most > 0 && text.length > most ? text.slice(0, most) : text;
}

class GlideElement {
  #state; // of the record itself, or null where the field is reached through #parent
  #parent;
  #name;
  #field;
  #children = null;

  constructor(key, state, parent, name, field) {
    if (key !== STATE) throw new TypeError('GlideElement cannot be constructed');
    this.#state = state;
    this.#parent = parent;
    this.#name = name;
    this.#field = field;
    if (typeof markField === 'function') {
      markField(this, () => elementText(this), field.storage === 'boolean');
    }
  }

  static {
    elementState = (element) => {
      const parent = element.#parent;
      if (parent === null) return element.#state;
      return referenced(elementState(parent), parent.#name, parent.#field.reference);
    };
    elementText = (element) => {
      if (element.#parent === null) return valueIn(element.#state, element.#name);
      return groupedText(element) ?? valueIn(elementState(element), element.#name);
    };
    // The text of a walk that groups of an aggregate have; undefined for all else.
    groupedText = (element) => {
      let root = element;
      while (root.#parent !== null) root = root.#parent;
      const { grouping, index, row } = root.#state;
      if (grouping === undefined || root === element) return undefined;
      let path = element.#name;
      for (let at = element.#parent; at !== null; at = at.#parent) path = `${at.#name}.${path}`;
      return index?.[path] === undefined ? undefined : row?.[index[path]] ?? '';
    };
    elementName = (element) => element.#name;
    elementField = (element) => element.#field;
    isElement = (value) => typeof value === 'object' && value !== null && #field in value;
    noteBehind = (element, key, value) => {
      if (element.#parent !== null || walk(element, key) === undefined) return;
      element.#state.behind ??= create(null);
      (element.#state.behind[element.#name] ??= create(null))[key] = value;
    };
    walk = (element, key) => {
      const known = element.#children?.[key];
      if (known !== undefined) return known;
      const target = element.#field.reference ? describe(element.#field.reference) : null;
      const field = target === null ? undefined : target.fields[key];
      if (field === undefined) return undefined;
      element.#children ??= create(null);
      return (element.#children[key] = new GlideElement(STATE, null, element, key, field));
    };
  }

  [Symbol.toPrimitive](hint) {
    const text = elementText(this);
    if (hint === 'string' || text === '' || !NUMERIC.includes(this.#field.storage)) return text;
    const number = Number(text);
    return hint === 'number' || String(number) === text ? number : text;
  }

  toString() { return elementText(this); }
  valueOf() { return this[Symbol.toPrimitive]('default'); }
  toJSON() { return elementText(this); }

  getValue() { return elementText(this) || null; }
  getElementValue(name) { return valueIn(elementState(this), textOf(name)) || null; }
  getDisplayValue(most) {
    const text = groupedText(this);
    const shown = text === undefined ? displayIn(elementState(this), this.#name)
      : __host('field.display', [this.#field.table, this.#name, [text], false])[0];
    return shortened(shown, most);
  }
  getDisplayValueExt(most, otherwise) { return this.getDisplayValue(most) || textOf(otherwise); }
  getHTMLValue(most) { return shortened(elementText(this), most); }
  getHTMLValueExt(most, otherwise) { return this.getHTMLValue(most) || textOf(otherwise); }
  getXHTMLValue() { return elementText(this); }
  getTextAreaDisplayValue() { return escapeHtml(this.getDisplayValue()); }
  getXMLValue() { return escapeHtml(elementText(this)); }
  getEscapedValue() { return escapeTicks(elementText(this)); }
  setValue(value) { if (this.#parent === null) assign(this.#state, this.#name, value); }
  setDisplayValue(value) { if (this.#parent === null) assignDisplay(this.#state, this.#name, value); }
  setError(message) {
    elementState(this).errors[this.#name] = textOf(message);
    __host('log', ['error', `${this.#name}: ${textOf(message)}`]);
  }
  getError() { return elementState(this).errors[this.#name] ?? null; }
  nil() { return elementText(this) === ''; }
  isNil() { return this.nil(); }
  hasValue() { return !this.nil(); }

  changes() { return changedIn(elementState(this), this.#name); }
  changesTo(value) { return this.changes() && elementText(this) === textOf(value); }
  changesFrom(value) { return this.changes() && this.getInitialValue() === textOf(value); }
  changesToNotEmpty() { return this.changes() && !this.nil(); }
  changesFromNotEmpty() { return this.changes() && this.getInitialValue() !== ''; }
  getInitialValue() { return storedIn(elementState(this), this.#name); }

  getRefRecord() {
    return wrapState(realRecord(elementState(this), this.#name, this.#field.reference));
  }
  getReferenceTable() { return this.#field.reference || ''; }
  getReferenceKey() { return this.#field.reference ? 'sys_id' : ''; }
  getReferenceDisplayField() {
    const table = describe(this.#field.reference || '');
    return table === null ? '' : table.display;
  }
  getGlideRecord() { return wrapState(elementState(this)); }

  getJournalEntry(count) {
    const state = elementState(this);
    const most = Math.trunc(Number(count)) || -1;
    return __host('record.journal', [state.table, idOf(state), this.#name, most, state.secure]);
  }
  // An entry, by whoever writes or by the user of this name.
  setJournalEntry(text, user) {
    this.setValue(text);
    if (this.#parent === null && textOf(user) !== '') (this.#state.authors ??= create(null))[this.#name] = textOf(user);
  }
  getChoices(dependent) {
    const values = (this.#field.choices ?? []).map((choice) => choice.value);
    const on = textOf(dependent);
    if (on === '' || values.length === 0) return javaList(values);
    const allowed = dependentChoices(this.#field.table, this.#name, this.#dependsOn(on));
    return javaList(values.filter((value) => allowed.includes(value)));
  }
  // A value of the field that the choices depend on, or the name of that field.
  #dependsOn(given) {
    const state = elementState(this);
    return state.meta.fields[given] === undefined ? given : valueIn(state, given);
  }
  getChoiceValue() { return this.getDisplayValue(); }

  // The field that decides which choices this one has, or null.
  getDependent() { return part('descriptors').dictionaryEntry(this.#name, this.#field).dependent; }
  getED() { return new (part('descriptors').GlideElementDescriptor)(STATE, this.#name, this.#field); }
  getName() { return this.#name; }
  getLabel() { return this.#field.label ?? ''; }
  getTableName() { return elementState(this).table; }
  getBaseTableName() { return this.#field.table; }
  getAttribute(name) { return this.getED().getAttribute(name); }
  getBooleanAttribute(name) { return this.getED().getBooleanAttribute(name); }
  hasAttribute(name) { return this.getED().hasAttribute(name); }

  // The date class of the field's type, or null for other fields.
  getGlideObject() {
    const kind = globalThis[GLIDE_OBJECTS[this.#field.type] ?? GLIDE_OBJECTS[this.#field.storage]];
    return typeof kind === 'function' ? new kind(elementText(this)) : null; // eslint-disable-line new-cap
  }
  dateNumericValue() {
    const text = elementText(this);
    return text === '' ? 0 : Date.parse(`${text.replace(' ', 'T')}${text.length > 10 ? 'Z' : ''}`);
  }
  setDateNumericValue(millis) {
    this.setValue(new Date(Number(millis)).toISOString().slice(0, 19).replace('T', ' '));
  }

  canRead() { return this.hasRightsTo('read'); }
  canWrite() { return this.hasRightsTo('write'); }
  canCreate() { return this.hasRightsTo('create'); }
  hasRightsTo(operation) {
    const state = elementState(this);
    return __host('access.field', [state.table, this.#name, textOf(operation), idOf(state) || '']);
  }
  getDecryptedValue() {
    const state = elementState(this);
    if (state.secure) return null; // nobody may read a secret under access control
    return __host('record.reveal', [state.table, idOf(state), this.#name]);
  }
}

function dependentChoices(table, name, on) {
  const found = newState('sys_choice', false);
  for (const pair of [['name', table], ['element', name]]) addTerms(found, pair);
  addTerms(found, ['dependent_value', on]).addOrCondition('dependent_value', '');
  runQuery(found);
  const values = [];
  while (step(found)) values.push(valueIn(found, 'value'));
  return values;
}

const GLIDE_OBJECTS = {
  datetime: 'GlideDateTime', date: 'GlideDate', glide_duration: 'GlideDuration', timer: 'GlideDuration',
  glide_time: 'GlideTime',
};
Object.setPrototypeOf(GlideElement.prototype, elementFallback);
