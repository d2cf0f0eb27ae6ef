// GlideRecord and GlideRecordSecure.
const recordHandler = {
  get(target, key) {
    if (typeof key === 'symbol' || key in target) return reflectGet(target, key);
    return elementOf(target[STATE], key);
  },
  set(target, key, value) {
    if (typeof key === 'string') assign(target[STATE], key, value);
    return true;
  },
  has(target, key) {
    return key in target || fieldOf(target[STATE], key) !== undefined;
  },
  ownKeys(target) {
    return target[STATE].meta === null ? [] : Object.keys(target[STATE].meta.fields);
  },
  getOwnPropertyDescriptor(target, key) {
    if (fieldOf(target[STATE], key) === undefined) return undefined;
    const value = elementOf(target[STATE], key);
    return { value, writable: true, enumerable: true, configurable: true };
  },
  deleteProperty() { return true; },
};

function fieldOf(state, name) {
  return state.meta === null || typeof name !== 'string' ? undefined : state.meta.fields[name];
}

function elementOf(state, name) {
  const known = state.elements[name];
  if (known !== undefined) return known;
  const field = fieldOf(state, name);
  if (field === undefined) return undefined;
  return (state.elements[name] = makeElement({ owner: () => state, name, field }));
}

function elementAt(state, path) {
  let element;
  for (const name of path.split('.')) {
    element = element === undefined ? elementOf(state, name) : walk(element[STATE], name);
    if (element === undefined) return undefined;
  }
  return element;
}

// A condition is a list of [joint, field, operator, value], read from left to right.
class GlideQueryCondition {
  constructor(terms) { defineProperty(this, STATE, { value: terms }); }
  addOrCondition(...args) { return this[STATE].push(termOf('or', args)), this; }
  addCondition(...args) { return this[STATE].push(termOf('and', args)), this; }
}

function termOf(joint, args) {
  const [field, second, third] = args;
  const operator = args.length > 2 ? textOf(second).trim() : '=';
  const value = args.length > 2 ? third : second;
  return [joint, textOf(field), operator, textOf(value)];
}

function addTerms(state, args) {
  const terms = [termOf('', args)];
  state.conditions.push({ terms });
  return new GlideQueryCondition(terms);
}

function addText(state, text) {
  const terms = [];
  if (text !== '') state.conditions.push({ text, terms });
  return new GlideQueryCondition(terms);
}

const EMPTY_OF = { '=': 'ISEMPTY', '!=': 'ISNOTEMPTY' };

function termText([joint, field, operator, value], position) {
  const before = position === 0 ? '' : joint === 'or' ? '^OR' : '^';
  if (value === '' && EMPTY_OF[operator]) return `${before}${field}${EMPTY_OF[operator]}`;
  return `${before}${field}${operator}${value.replaceAll('^', '^^')}`;
}

function encoded(state) {
  const parts = state.conditions.filter((item) => item.join === undefined).map((item) => (
    item.text === undefined
      ? item.terms.map(termText).join('')
      : item.text + item.terms.map((term) => termText(term, 1)).join('')
  ));
  for (const [field, descending] of state.order) {
    parts.push(`${descending ? 'ORDERBYDESC' : 'ORDERBY'}${field}`);
  }
  return parts.join('^');
}

function may(state, operation, id) {
  return state.meta !== null && __host('access.record', [state.table, id, operation]);
}

class GlideRecord {
  constructor(table) {
    defineProperty(this, STATE, { value: newState(textOf(table), false), configurable: true });
    return new Proxy(this, recordHandler);
  }

  // Conditions
  addQuery(...args) {
    if (args.length === 1) return addText(this[STATE], textOf(args[0]));
    return addTerms(this[STATE], args);
  }
  addUserQuery(...args) { return this.addQuery(...args); }
  addSystemQuery(...args) { return this.addQuery(...args); }
  addEncodedQuery(text) { addText(this[STATE], textOf(text)); }
  addActiveQuery() { return addTerms(this[STATE], ['active', '=', 'true']); }
  addInactiveQuery() { return addTerms(this[STATE], ['active', '=', 'false']); }
  addNullQuery(field) { return addTerms(this[STATE], [field, 'ISEMPTY', '']); }
  addNotNullQuery(field) { return addTerms(this[STATE], [field, 'ISNOTEMPTY', '']); }
  addJoinQuery(table, own, other) {
    const conditions = [];
    this[STATE].conditions.push({
      join: {
        table: textOf(table), own: textOf(own) || 'sys_id', other: textOf(other), conditions,
      },
    });
    const terms = [];
    conditions.push({ terms });
    return new GlideQueryCondition(terms);
  }
  orderBy(field) { this[STATE].order.push([textOf(field), false]); }
  orderByDesc(field) { this[STATE].order.push([textOf(field), true]); }
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
    return this.isValid() && __host('query.check', [this[STATE].table, textOf(text)]);
  }
  isEncodedQueryValid(text) { return this.isValidEncodedQuery(text); }

  // Result and cursor
  query(...args) {
    if (args.length >= 2) this.addQuery(...args);
    runQuery(this[STATE]);
  }
  _query(...args) { this.query(...args); }
  next() { return moveTo(this[STATE], this[STATE].position + 1); }
  _next() { return this.next(); }
  hasNext() { return this[STATE].position + 1 < this[STATE].count; }
  _hasNext() { return this.hasNext(); }
  get(...args) {
    const state = this[STATE];
    if (args.length < 2) return this.getById(textOf(args[0]));
    addTerms(state, [args[0], '=', args[1]]);
    runQuery(state);
    return this.next();
  }
  getById(id) {
    const state = this[STATE];
    if (state.meta === null || id === '') return settleOn(state, null), false;
    const before = state.conditions;
    for (const field of new Set(['sys_id', state.meta.display])) {
      state.conditions = [...before, { terms: [['', field, '=', id]] }];
      runQuery(state);
      if (this.next()) return true;
    }
    return false;
  }
  find(field, value) {
    while (this.next()) if (this.getValue(field) === textOf(value)) return true;
    return false;
  }
  getRowCount() {
    return this[STATE].window === null ? this[STATE].count : this[STATE].total;
  }
  getLocation() { return this[STATE].position; }
  setLocation(position) { moveTo(this[STATE], Number(position)); }
  saveLocation() { this[STATE].saved = this[STATE].position; }
  restoreLocation() { if (this[STATE].saved >= 0) moveTo(this[STATE], this[STATE].saved); }
  getRowNumber() { return this[STATE].position + 1; }

  // Writing
  initialize() {
    settleOn(this[STATE], null);
    this[STATE].fresh = true;
  }
  newRecord() {
    this.initialize();
    const state = this[STATE];
    if (state.meta === null) return;
    const values = __host('record.defaults', [state.table]);
    state.row = state.meta.columns.map((name) => values[name] ?? '');
    state.newId = idOf(state);
  }
  insert() { return insertRow(this[STATE]); }
  update() { return updateRow(this[STATE]); }
  insertWithReferences() { return this.insert(); }
  updateWithReferences() { return this.update(); }
  updateMultiple() {
    const state = this[STATE];
    if (state.meta === null) return;
    write(state, 'record.updateMultiple', { ...changeOf(state), query: queryOf(state) });
    state.pending = create(null);
  }
  deleteRecord() {
    const state = this[STATE];
    const id = storedIn(state, 'sys_id');
    if (id === '') return false;
    return write(state, 'record.delete', { ...changeOf(state), values: {}, sys_id: id }) !== null;
  }
  deleteMultiple() {
    const state = this[STATE];
    if (state.meta === null) return;
    write(state, 'record.deleteMultiple', { ...changeOf(state), values: {}, query: queryOf(state) });
  }
  setNewGuid() { return (this[STATE].newId = __host('gs.guid', [])); }
  setNewGuidValue(id) { this[STATE].newId = textOf(id); }
  applyEncodedQuery(text) {
    for (const part of textOf(text).split('^')) {
      const [, field, value] = /^([a-z0-9_]+)=(.*)$/s.exec(part) ?? [];
      if (field !== undefined) assign(this[STATE], field, value);
    }
  }
  setAbortAction(abort) {
    const state = this[STATE];
    state.aborted = Boolean(abort);
    if (state.view !== null) __host('view.abort', [state.view, state.aborted]);
  }
  isActionAborted() { return this[STATE].aborted; }
  setWorkflow(on) { this[STATE].rules = textOf(on) !== 'false'; }
  autoSysFields(on) { this[STATE].systemFields = textOf(on) !== 'false'; }
  setForceUpdate(on) { this[STATE].force = textOf(on) !== 'false'; }
  setUseEngines() {}
  setNoCount() {}
  setCategory() {}
  setQueryReferences() {}
  disableSysIdInOptimization() {}
  queryNoDomain() { this.query(); }
  getLastErrorMessage() { return this[STATE].error; }

  // Values
  getValue(path) {
    const element = elementAt(this[STATE], textOf(path));
    if (element === undefined) return null;
    const text = element.toString();
    if (text !== '' && element[STATE].field.storage === 'boolean') return text === 'true' ? '1' : '0';
    return text === '' ? null : text;
  }
  setValue(field, value) { assign(this[STATE], textOf(field), value); }
  getDisplayValue(path) {
    const state = this[STATE];
    if (state.meta === null) return '';
    return displayIn(state, path === undefined ? state.meta.display : textOf(path));
  }
  getEscapedDisplayValue(path) { return escapeHtml(this.getDisplayValue(path)); }
  setDisplayValue(field, value) { assignDisplay(this[STATE], textOf(field), value); }
  getElement(path) { return elementAt(this[STATE], textOf(path)) ?? null; }
  getElements() { return this.getFields(); }
  getFields() {
    const { meta } = this[STATE];
    const names = meta === null ? [] : Object.keys(meta.fields);
    return javaList(names.map((name) => elementOf(this[STATE], name)));
  }
  getUniqueValue() { return idOf(this[STATE]) || this[STATE].newId || null; }
  changes() {
    return Object.keys(this[STATE].pending).some((name) => changedIn(this[STATE], name));
  }
  operation() { return this[STATE].operation ?? null; }

  // The table
  getTableName() { return this[STATE].table; }
  getRecordClassName() { return valueIn(this[STATE], 'sys_class_name') || this[STATE].table; }
  instanceOf(table) {
    const meta = describe(this.getRecordClassName());
    return meta !== null && meta.ancestors.includes(textOf(table));
  }
  getLabel() { return this[STATE].meta === null ? '' : this[STATE].meta.label; }
  getClassDisplayValue() {
    const meta = describe(this.getRecordClassName());
    return meta === null ? '' : meta.label;
  }
  getPlural() { return this[STATE].meta === null ? '' : this[STATE].meta.plural; }
  getED() {
    const { meta, table } = this[STATE];
    const label = meta === null ? '' : meta.label;
    return { getName: () => table, getLabel: () => label, getPlural: () => this.getPlural() };
  }
  getAttribute() { return null; }
  getBooleanAttribute() { return false; }
  getLink(noStack) {
    const link = `${this.getTableName()}.do?sys_id=${textOf(this.getUniqueValue())}`;
    return noStack ? link : `${link}&sysparm_stack=${this.getTableName()}_list.do?sysparm_query=active=true`;
  }
  isValid() { return this[STATE].meta !== null; }
  isValidField(path) { return fieldOf(this[STATE], textOf(path).split('.')[0]) !== undefined; }
  isValidRecord() { return this[STATE].row !== null && !this[STATE].fresh; }
  isNewRecord() { return this[STATE].fresh; }
  isView() { return false; }
  canRead() { return may(this[STATE], 'read', storedIn(this[STATE], 'sys_id')); }
  canWrite() { return may(this[STATE], 'write', storedIn(this[STATE], 'sys_id')); }
  canCreate() { return may(this[STATE], 'create', ''); }
  canDelete() { return may(this[STATE], 'delete', storedIn(this[STATE], 'sys_id')); }

  toString() { return `GlideRecord: ${this[STATE].table}`; }
  toJSON() {
    const values = {};
    const { meta } = this[STATE];
    if (meta !== null) for (const name of meta.columns) values[name] = valueIn(this[STATE], name);
    return values;
  }
}

class GlideRecordSecure extends GlideRecord {
  constructor(table) {
    super(table);
    this[STATE].secure = true;
  }
}

publish('GlideRecord', GlideRecord);
publish('GlideRecordSecure', GlideRecordSecure);
publish('GlideElement', GlideElement);
publish('GlideQueryCondition', GlideQueryCondition);
publish('global', globalThis);

// `current`, `source`... are views of drafts that the instance holds; each use asks for news.
const VIEWS = ['current', 'previous', 'source', 'target'];
const opened = create(null);

function openView(name) {
  const known = opened[name];
  const view = __host('view.open', [name, known === undefined ? -1 : known.version]);
  if (view === null) return undefined;
  if (view.version === -1) return known.record;
  const state = newState(view.table, false);
  state.row = state.meta === null ? null : state.meta.columns.map((column) => view.before[column] ?? '');
  for (const field of Object.keys(view.changed)) state.pending[field] = view.changed[field];
  state.view = name;
  state.fresh = view.operation === 'insert';
  state.operation = view.operation;
  opened[name] = { version: view.version, record: wrapState(state) };
  return opened[name].record;
}

function lazily(name, open) {
  defineProperty(globalThis, name, {
    configurable: true,
    get() { return open(name); },
    set(value) {
      defineProperty(globalThis, name, { value, writable: true, enumerable: true, configurable: true });
    },
  });
}

for (const name of VIEWS) lazily(name, openView);
