// GlideElementDescriptor: what the dictionary says about a field.
(function (shared) {
'use strict';
const { Boolean, Object, String, TypeError } = shared.intrinsics;
const { GlideRecord, STATE, textOf } = shared;
const { NUMERIC } = shared.records;
const DATE_TYPES = ['datetime', 'date'];
const DURATIONS = ['glide_duration', 'timer'];

class GlideElementDescriptor {
  #name;
  #field;

  constructor(key, name, field) {
    if (key !== STATE) throw new TypeError('GlideElementDescriptor cannot be constructed');
    this.#name = name;
    this.#field = field;
  }

  // 0: none, 1: a list with an empty entry, 3: one without; a mandatory field cannot be empty.
  get choice() { return String(this.getChoice()); }
  getChoice() { return this.isChoiceTable() ? (this.#field.mandatory ? 3 : 1) : 0; }
  getChoiceTable() { return this.isChoiceTable() ? this.#field.table : ''; }
  isChoiceTable() { return this.#field.choices !== undefined; }

  getName() { return this.#name; }
  getColumnName() { return this.#name; }
  getLabel() { return this.#field.label ?? ''; }
  getPlural() { return `${this.getLabel()}s`; }
  getHint() { return ''; }
  getInternalType() { return this.#field.type; }
  getLength() { return this.#field.max_length ?? 0; }
  getSqlLength() { return this.getLength(); }
  getDefault() { return this.#field.default || null; }
  getReference() { return this.#field.reference || null; }
  getReferenceKey() { return this.#field.reference ? 'sys_id' : null; }
  getTableName() { return this.#field.table; }
  getFirstTableName() { return this.#field.table; }
  getSchemaTableName() { return this.#field.table; }
  getUniqueID() { return `${this.#field.table}.${this.#name}`; }

  isMandatory() { return this.#field.mandatory === true; }
  isReadOnly() { return this.#field.read_only === true; }
  isDisplay() { return this.#field.display === true; }
  isActive() { return true; }
  isVirtual() { return this.#field.storage === 'none'; }
  isInDatabase() { return this.#field.storage !== 'none'; }
  isAutoOrSysID() { return this.#name.startsWith('sys_'); }
  isBoolean() { return this.#field.storage === 'boolean'; }
  isNumber() { return NUMERIC.includes(this.#field.storage); }
  isTrulyNumber() { return this.isNumber(); }
  isString() { return this.#field.storage === 'text' && !this.#field.reference; }
  isMultiText() { return this.isString() && this.getLength() > 255; }
  isReference() { return Boolean(this.#field.reference) && !this.#field.multiple; }
  isList() { return this.#field.multiple === true; }
  isJournal() { return this.#field.journal === true; }
  isJournalList() { return this.#field.type === 'journal_list'; }
  isDateType() { return DATE_TYPES.includes(this.#field.storage) && !this.isDuration(); }
  isDateOnly() { return this.#field.storage === 'date'; }
  isTimeType() { return this.#field.type === 'glide_time'; }
  isTime() { return this.isTimeType(); }
  isDuration() { return DURATIONS.includes(this.#field.type); }
  isEncrypted() { return this.#field.type === 'password2'; }
  canSum() { return this.isNumber() || this.isDuration(); }
  canAvg() { return this.canSum(); }
  canMin() { return this.#field.storage !== 'none'; }
  canMax() { return this.#field.storage !== 'none'; }

  getDependent() { return dictionaryEntry(this.#name, this.#field).dependent; }
  getAttribute(name) { return this.#attributes()[textOf(name)] ?? null; }
  getBooleanAttribute(name, otherwise) {
    const text = this.getAttribute(name);
    return text === null ? otherwise === true : text === 'true';
  }
  hasAttribute(name) { return this.getAttribute(name) !== null; }
  #attributes() { return dictionaryEntry(this.#name, this.#field).attributes; }
  toString() { return this.getUniqueID(); }
}

// What the record of a field says besides: its attributes, and the field that it depends on.
function dictionaryEntry(name, field) {
  if (field.entry === undefined) {
    const entry = new GlideRecord('sys_dictionary');
    entry.addQuery('name', field.table);
    entry.addQuery('element', name);
    entry[STATE].whole = true;
    entry.query();
    const attributes = Object.create(null);
    const text = entry.next() ? textOf(entry.getValue('attributes')) : '';
    for (const pair of text.split(',').filter((one) => one.trim() !== '')) {
      const [key, ...value] = pair.split('=');
      attributes[key.trim()] = value.join('=').trim() || 'true';
    }
    const depends = ['dependent', 'dependent_on_field'].map((column) => entry.getValue(column));
    field.entry = { attributes, text, dependent: depends.find((one) => one !== null) ?? null };
  }
  return field.entry;
}

return { GlideElementDescriptor, dictionaryEntry };
})
