// GlideRecord and GlideRecordSecure.
//
// A record is an ordinary object with an accessor for each column, so that reading a field costs no
// trap. Columns hide methods of the same name; those have a second one that begins with _.
const recordFallback = new Proxy(create(Object.prototype), {
  get(target, key, record) {
    if (typeof key === 'symbol' || key in target) return reflectGet(target, key, record);
    return record[STATE] === undefined ? undefined : mistyped(record, key, 'GlideRecord');
  },
  set(target, key, value, record) { // a name that is no column
    return record[STATE] !== undefined || reflectSet(target, key, value, record);
  },
});

// Accessors of all columns of a table, as property descriptors.
function accessorsOf(meta) {
  if (meta.accessors === undefined) {
    meta.accessors = create(null);
    for (const name of Object.keys(meta.fields)) {
      meta.accessors[name] = {
        get() { return elementOf(this[STATE], name); },
        set(value) { assign(this[STATE], name, value); },
        enumerable: true,
        configurable: true,
      };
    }
  }
  return meta.accessors;
}

function attach(record, state) {
  defineProperty(record, STATE, { value: state, configurable: true });
  if (state.meta !== null) defineProperties(record, accessorsOf(state.meta));
  return record;
}

function wrapState(state) {
  return attach(create(state.secure ? GlideRecordSecure.prototype : GlideRecord.prototype), state);
}

function fieldOf(state, name) {
  return state.meta === null || typeof name !== 'string' ? undefined : state.meta.fields[name];
}

function elementOf(state, name) {
  const known = state.elements[name];
  if (known !== undefined) return known;
  const field = fieldOf(state, name);
  if (field === undefined) return undefined;
  return (state.elements[name] = new GlideElement(STATE, state, null, name, field));
}

function elementAt(state, path) {
  if (!path.includes('.') || isFunction(path)) return elementOf(state, path);
  let element;
  for (const name of path.split('.')) {
    element = element === undefined ? elementOf(state, name) : walk(element, name);
    if (element === undefined) return undefined;
  }
  return element;
}

// What getValue() returns: null for nothing, '1' and '0' for booleans.
function plainValue(state, path) {
  const element = elementAt(state, path);
  if (element === undefined) return null;
  const text = elementText(element);
  if (text === '') return null;
  if (elementField(element).storage === 'boolean') return text === 'true' ? '1' : '0';
  return text;
}

function step(state) {
  return moveTo(state, state.position + 1);
}

function queryWith(state, args) {
  if (args.length >= 2) addTerms(state, args);
  runQuery(state);
}

// Reads the first match of what the record asks for and one more term, which is not kept.
function findBy(state, field, value) {
  const before = state.conditions;
  state.conditions = [...before, { terms: [['', field, '=', value]] }];
  state.whole = true;
  try {
    runQuery(state);
    return step(state);
  } finally {
    state.conditions = before;
    state.whole = false;
  }
}

function getRecord(state, args) {
  if (state.meta === null) return false;
  if (args.length > 1) return findBy(state, textOf(args[0]), textOf(args[1]));
  const id = textOf(args[0]);
  if (id === '') return settleOn(state, null), false;
  for (const field of new Set(['sys_id', state.meta.display])) {
    if (findBy(state, field, id)) return true;
  }
  return false;
}

function fieldElements(state) {
  const names = state.meta === null ? [] : Object.keys(state.meta.fields);
  return names.map((name) => elementOf(state, name));
}

// The value at the end of a walk such as `caller_id.location`.
function walkedText(record, path) {
  let at = record;
  for (const name of path.split('.')) at = at == null ? at : at[name];
  return at == null ? '' : textOf(at);
}

function classOf(state) {
  return valueIn(state, 'sys_class_name') || state.table;
}

function may(state, operation, id) {
  return state.meta !== null && __host('access.record', [state.table, id, operation]);
}

// Gives a new record its id, which may be read before it is inserted.
function giveId(state, id) {
  state.newId = id;
  if (!isOfRule(state) && (state.row === null || state.fresh)) state.pending.sys_id = id;
  return id;
}

class GlideRecord {
  constructor(table) {
    attach(this, newState(textOf(table), false));
  }

  // Conditions
  addQuery(...args) {
    if (args.length < 2) return addText(this[STATE], textOf(args[0]));
    return addTerms(this[STATE], args);
  }
  addUserQuery(...args) { return this.addQuery(...args); }
  addSystemQuery(...args) { return this.addQuery(...args); }
  addEncodedQuery(text) { addText(this[STATE], textOf(text)); }
  addUserEncodedQuery(text) { this.addEncodedQuery(text); }
  addSystemEncodedQuery(text) { this.addEncodedQuery(text); }
  addActiveQuery() { return addTerms(this[STATE], ['active', '=', 'true']); }
  addInactiveQuery() { return addTerms(this[STATE], ['active', '=', 'false']); }
  addNullQuery(field) { return addTerms(this[STATE], [field, 'ISEMPTY', '']); }
  addNotNullQuery(field) { return addTerms(this[STATE], [field, 'ISNOTEMPTY', '']); }
  addFunction(text) { addFunction(this[STATE], textOf(text)); }
  addJoinQuery(table, own, other) { return addJoin(this[STATE], table, own, other); }
  orderBy(field) { this[STATE].order.push([textOf(field), false]); }
  orderByDesc(field) { this[STATE].order.push([textOf(field), true]); }
  addUserOrderBy(field) { this.orderBy(field); }
  addUserOrderByDesc(field) { this.orderByDesc(field); }
  addSystemOrderBy(field) { this.orderBy(field); }
  addSystemOrderByDesc(field) { this.orderByDesc(field); }
  setLimit(count) {
    this[STATE].limit = Math.max(0, Math.trunc(Number(firstOf(count))) || 0);
    this[STATE].window = null;
  }
  chooseWindow(first, last) {
    this[STATE].window = [Math.max(0, Math.trunc(Number(first)) || 0), Math.trunc(Number(last)) || 0];
    this[STATE].limit = null;
  }
  getEncodedQuery() { return encoded(this[STATE]); }
  isValidEncodedQuery(text) {
    const query = textOf(text);
    return query !== '' && this.isValid() && __host('query.check', [this[STATE].table, query]);
  }
  // Adds the query as well; one that cannot be used finds nothing.
  isEncodedQueryValid(text) {
    const valid = this.isValidEncodedQuery(text);
    if (valid) addText(this[STATE], textOf(text));
    else addTerms(this[STATE], ['sys_id', '=', 'NotValidnull']);
    return valid;
  }

  // Result and cursor
  query(...args) { queryWith(this[STATE], args); }
  _query(...args) { queryWith(this[STATE], args); }
  next() { return step(this[STATE]); }
  _next() { return step(this[STATE]); }
  hasNext() { return this[STATE].position + 1 < this[STATE].count; }
  _hasNext() { return this[STATE].position + 1 < this[STATE].count; }
  get(...args) { return getRecord(this[STATE], args); }
  _get(...args) { return getRecord(this[STATE], args); }
  find(field, value) {
    while (step(this[STATE])) {
      if ((plainValue(this[STATE], textOf(field)) ?? '') === textOf(value)) return true;
    }
    return false;
  }
  getRowCount() {
    return this[STATE].window === null ? this[STATE].count : this[STATE].total;
  }
  getLocation() { return this[STATE].position; }
  setLocation(position) { moveTo(this[STATE], Number(position)); }
  saveLocation() { this[STATE].saved = this[STATE].position; }
  restoreLocation() { moveTo(this[STATE], this[STATE].saved ?? 0); }
  getRowNumber() { return this[STATE].saved ?? this[STATE].position; }

  // Writing
  initialize() {
    settleOn(this[STATE], null);
    this[STATE].fresh = true;
  }
  newRecord() {
    GlideRecord.prototype.initialize.call(this);
    const state = this[STATE];
    if (state.meta === null) return;
    const values = __host('record.defaults', [state.table]);
    state.row = state.meta.columns.map((name) => values[name] ?? '');
    state.newId = idOf(state);
  }
  insert() { return insertRow(this[STATE]); }
  update() { return updateRow(this[STATE]); }
  insertWithReferences() {
    writeBehind(this[STATE]);
    return insertRow(this[STATE]);
  }
  updateWithReferences() {
    writeBehind(this[STATE]);
    return updateRow(this[STATE]);
  }
  updateNoDomain() { return updateRow(this[STATE]); }
  addValue(field, amount) {
    const name = textOf(field);
    assign(this[STATE], name, Number(valueIn(this[STATE], name)) + Number(amount));
  }
  updateMultiple() {
    const state = this[STATE];
    if (state.meta === null || isAborted(state)) return;
    const values = { ...state.ahead, ...state.pending };
    // An empty value clears nothing in many records at once; the text NULL does.
    for (const name of Object.keys(values)) if (values[name] === '' && !state.cleared[name]) delete values[name];
    write(state, 'record.updateMultiple', { ...changeOf(state), values, query: queryOf(state) });
    state.pending = create(null);
    state.ahead = null;
  }
  deleteRecord() {
    const state = this[STATE];
    const id = storedIn(state, 'sys_id');
    if (id === '' || isAborted(state)) return false;
    return write(state, 'record.delete', { ...changeOf(state), values: {}, sys_id: id }) !== null;
  }
  deleteMultiple() {
    const state = this[STATE];
    if (state.meta === null || isAborted(state)) return;
    write(state, 'record.deleteMultiple', { ...changeOf(state), values: {}, query: queryOf(state) });
  }
  setNewGuid() { return giveId(this[STATE], __host('gs.guid', [])); }
  setNewGuidValue(id) { giveId(this[STATE], textOf(id)); }
  applyEncodedQuery(text) {
    for (const part of textOf(text).replaceAll('^^', '\0').split('^')) {
      const [, field, value] = /^([a-z0-9_]+)=(.*)$/s.exec(part) ?? [];
      if (field !== undefined) assign(this[STATE], field, value.replaceAll('\0', '^'));
    }
  }
  setAbortAction(abort) {
    const state = this[STATE];
    state.aborted = Boolean(abort);
    if (state.view !== null) __host('view.abort', [state.view, state.aborted]);
  }
  isWorkflow() { return this[STATE].rules; }
  getCategory() { return null; }
  isActionAborted() { return this[STATE].aborted; }
  setWorkflow(on) { this[STATE].rules = textOf(on) !== 'false'; }
  autoSysFields(on) { this[STATE].systemFields = textOf(on) !== 'false'; }
  setForceUpdate(on) { this[STATE].force = textOf(on) !== 'false'; }
  setUseEngines() {}
  setNoCount() {}
  setCategory() {}
  setQueryReferences() {}
  disableSysIdInOptimization() {}
  setViewDefinition() {}
  enableSecurityFeature() {}
  disableSecurityFeature() {}
  enableSessionLanguageJoin() {}
  largeResultExpected() {}
  addQueryHint() {}
  addExtraField() {} // fields behind references come when they are read
  addDomainQuery() {}
  queryNoDomain(...args) { queryWith(this[STATE], args); }
  getLastErrorMessage() { return this[STATE].error; }

  // Values
  getValue(path) { return plainValue(this[STATE], textOf(path)); }
  setValue(field, value) { assign(this[STATE], textOf(field), value); }
  getDisplayValue(path) {
    const state = this[STATE];
    if (state.meta === null) return '';
    return displayIn(state, path === undefined ? state.meta.display : textOf(path));
  }
  getEscapedDisplayValue(path) { return escapeTicks(this.getDisplayValue(path)); }
  setDisplayValue(field, value) { assignDisplay(this[STATE], textOf(field), value); }
  getElement(path) { return elementAt(this[STATE], textOf(path)) ?? null; }
  getElements() { return Array.from(fieldElements(this[STATE])); }
  getFields() { return javaList(fieldElements(this[STATE])); }
  getUniqueValue() { return idOf(this[STATE]) || this[STATE].newId || null; }
  changes() {
    return Object.keys(this[STATE].pending).some((name) => changedIn(this[STATE], name));
  }
  operation() { return this[STATE].operation ?? null; }

  // The table
  getTableName() { return this[STATE].table; }
  getRecordClassName() { return classOf(this[STATE]); }
  instanceOf(table) {
    const meta = describe(classOf(this[STATE]));
    return meta !== null && meta.ancestors.includes(textOf(table));
  }
  getLabel() { return this[STATE].meta === null ? '' : this[STATE].meta.label; }
  getClassDisplayValue() {
    const meta = describe(classOf(this[STATE]));
    return meta === null ? '' : meta.label;
  }
  getPlural() { return this[STATE].meta === null ? '' : this[STATE].meta.plural; }
  getED() {
    const { meta, table } = this[STATE];
    const label = meta === null ? '' : meta.label;
    const plural = meta === null ? '' : meta.plural;
    return {
      getName: () => table, getTableName: () => table, getLabel: () => label, getPlural: () => plural,
      getInternalType: () => 'collection', isActive: () => true, getAttribute: () => null,
      getBooleanAttribute: () => false, hasAttribute: () => false,
    };
  }
  getDisplayName() { return this[STATE].meta === null ? '' : this[STATE].meta.display; }
  getTableScope() { return 'global'; }
  // The attributes of a field, as they stand in the dictionary.
  getAttribute(field) {
    const known = fieldOf(this[STATE], textOf(field));
    return known === undefined ? null : part('descriptors').dictionaryEntry(textOf(field), known).text || null;
  }
  getBooleanAttribute() { return false; }
  getLink(noStack) {
    const link = `${this.getTableName()}.do?sys_id=${textOf(this.getUniqueValue())}`;
    return noStack ? link : `${link}&sysparm_stack=${this.getTableName()}_list.do?sysparm_query=active=true`;
  }
  isValid() { return this[STATE].meta !== null; }
  isValidField(path) { return fieldOf(this[STATE], textOf(path).split('.')[0]) !== undefined; }
  isValidRecord() { return this[STATE].row !== null && !this[STATE].fresh && !this[STATE].ended; }
  isNewRecord() { return this[STATE].fresh; }
  isView() { return false; }
  isDataFabricOperation() { return false; }
  applyTemplate(name) {
    const set = this[STATE].meta === null ? [] : __host('record.template', [this[STATE].table, textOf(name)]);
    for (const [field, text, path] of set) this.setValue(field, path === '' ? text : walkedText(this, path));
  }
  hasAttachments() {
    const found = newState('sys_attachment', false);
    addTerms(found, ['table_sys_id', idOf(this[STATE])]);
    found.limit = 1;
    runQuery(found);
    return found.count > 0;
  }
  canRead() { return may(this[STATE], 'read', storedIn(this[STATE], 'sys_id')); }
  canWrite() { return may(this[STATE], 'write', storedIn(this[STATE], 'sys_id')); }
  canCreate() { return may(this[STATE], 'create', ''); }
  canDelete() { return may(this[STATE], 'delete', storedIn(this[STATE], 'sys_id')); }

  toString() { return `[object ${this[TAG]}]`; }
  get [TAG]() { return 'GlideRecord'; }
  toJSON() {
    const values = {};
    const { meta } = this[STATE];
    if (meta !== null) completeRow(this[STATE]);
    if (meta !== null) for (const name of meta.columns) values[name] = valueIn(this[STATE], name);
    return values;
  }
}

class GlideRecordSecure extends GlideRecord {
  constructor(table) {
    super(table);
    this[STATE].secure = true;
  }
  get [TAG]() { return 'GlideRecordSecure'; }
}

Object.setPrototypeOf(GlideRecord.prototype, recordFallback);
publish('GlideRecord', callable(GlideRecord));
publish('GlideRecordSecure', callable(GlideRecordSecure));
publish('GlideElement', GlideElement);
publish('GlideQueryCondition', GlideQueryCondition);
publish('global', globalThis);
