// GlideElement: a field of whatever row its record is on at the moment it is used.
const NUMERIC = ['integer', 'decimal'];
const elementHandler = {
  get(target, key) {
    if (typeof key === 'symbol' || key in target) return reflectGet(target, key);
    return walk(target[STATE], key) ?? textMember(target[STATE], key);
  },
  set() { return true; }, // writing through a reference changes nothing
  has(target, key) { return key in target || walk(target[STATE], key) !== undefined; },
};

// `cell` is {owner, name, field}: `owner()` returns the state of the record that the field is in.
function makeElement(cell) {
  const element = create(GlideElement.prototype);
  defineProperty(element, STATE, { value: cell });
  return new Proxy(element, elementHandler);
}

function cellText(cell) {
  return valueIn(cell.owner(), cell.name);
}

function walk(cell, key) {
  const target = cell.field.reference ? describe(cell.field.reference) : null;
  if (target === null || target.fields[key] === undefined) return undefined;
  return makeElement({
    owner: () => referenced(cell.owner(), cell.name, cell.field.reference),
    name: key,
    field: target.fields[key],
  });
}

function textMember(cell, key) {
  if (key === 'length') return cellText(cell).length;
  const method = textMethods[key];
  if (typeof method !== 'function') return undefined;
  return (...args) => applyTo(method, cellText(cell), args);
}

class GlideElement {
  constructor() { throw new TypeError('GlideElement cannot be constructed'); }

  [Symbol.toPrimitive](hint) {
    const text = cellText(this[STATE]);
    const number = hint !== 'string' && text !== '' && NUMERIC.includes(this[STATE].field.storage);
    return number ? Number(text) : text;
  }

  toString() { return cellText(this[STATE]); }
  valueOf() { return this[Symbol.toPrimitive]('default'); }
  toJSON() { return cellText(this[STATE]); }

  getValue() { return cellText(this[STATE]) || null; }
  getDisplayValue() { return displayIn(this[STATE].owner(), this[STATE].name); }
  getHTMLValue() { return cellText(this[STATE]); }
  getTextAreaDisplayValue() { return escapeHtml(this.getDisplayValue()); }
  getXMLValue() { return escapeHtml(cellText(this[STATE])); }
  getEscapedValue() { return escapeHtml(cellText(this[STATE])); }
  setValue(value) { assign(this[STATE].owner(), this[STATE].name, value); }
  setDisplayValue(value) { assignDisplay(this[STATE].owner(), this[STATE].name, value); }
  setError(message) { __host('log', ['error', `${this[STATE].name}: ${textOf(message)}`]); }
  nil() { return cellText(this[STATE]) === ''; }
  isNil() { return this.nil(); }
  hasValue() { return !this.nil(); }
  changes() { return changedIn(this[STATE].owner(), this[STATE].name); }
  changesTo(value) { return this.changes() && cellText(this[STATE]) === textOf(value); }
  changesFrom(value) {
    return this.changes() && storedIn(this[STATE].owner(), this[STATE].name) === textOf(value);
  }

  getRefRecord() {
    const { owner, name, field } = this[STATE];
    return wrapState(realRecord(owner(), name, field.reference));
  }

  getReferenceTable() { return this[STATE].field.reference || ''; }
  getReferenceDisplayField() {
    const table = describe(this[STATE].field.reference || '');
    return table === null ? '' : table.display;
  }

  getJournalEntry(count) {
    const state = this[STATE].owner();
    const place = [state.table, idOf(state), this[STATE].name];
    return __host('record.journal', [...place, Number(count), state.secure]);
  }
  setJournalEntry(text) { this.setValue(text); }
  getChoices() { return javaList(this[STATE].field.choices); }
  getChoiceValue() { return this.getDisplayValue(); }
  getED() { return descriptor(this[STATE].name, this[STATE].field); }
  getName() { return this[STATE].name; }
  getLabel() { return this[STATE].field.label; }
  getTableName() { return this[STATE].owner().table; }
  getBaseTableName() { return this[STATE].field.table; }
  getAttribute() { return null; }
  getBooleanAttribute() { return false; }
  dateNumericValue() {
    const text = cellText(this[STATE]);
    return text === '' ? 0 : Date.parse(`${text.replace(' ', 'T')}${text.length > 10 ? 'Z' : ''}`);
  }
  setDateNumericValue(millis) {
    this.setValue(new Date(Number(millis)).toISOString().slice(0, 19).replace('T', ' '));
  }
  canRead() { return mayField(this[STATE], 'read'); }
  canWrite() { return mayField(this[STATE], 'write'); }
  canCreate() { return mayField(this[STATE], 'create'); }
  getDecryptedValue() {
    const state = this[STATE].owner();
    if (state.secure) return null; // nobody may read a secret under access control
    return __host('record.reveal', [state.table, idOf(state), this[STATE].name]);
  }
}

function mayField(cell, operation) {
  return __host('access.field', [cell.owner().table, cell.name, operation]);
}

// GlideElementDescriptor: what the dictionary says about a field.
function descriptor(name, field) {
  return {
    getName: () => name,
    getLabel: () => field.label,
    getPlural: () => `${field.label}s`,
    getInternalType: () => field.type,
    getLength: () => field.max_length,
    isMandatory: () => field.mandatory,
    isChoiceTable: () => field.choices.length > 0,
    isVirtual: () => field.storage === 'none',
    isAutoOrSysID: () => name.startsWith('sys_'),
    isBoolean: () => field.storage === 'boolean',
    isTrulyNumber: () => NUMERIC.includes(field.storage),
    choice: field.choices.length > 0 ? '1' : '0',
  };
}
