// The state behind a GlideRecord: conditions, result, cursor, current row and pending values.
function newState(tableName, secure) {
  return {
    table: tableName, meta: describe(tableName), secure, view: null,
    conditions: [], order: [], limit: null, window: null,
    cursor: null, count: 0, total: 0, position: -1, page: [], pageStart: 0, queried: false,
    row: null, pending: create(null), fresh: false, newId: '', displays: create(null),
    rules: true, systemFields: true, force: false, error: null, aborted: false,
    references: create(null), elements: create(null), saved: -1,
  };
}

function wrapState(state) {
  const record = create(state.secure ? GlideRecordSecure.prototype : GlideRecord.prototype);
  defineProperty(record, STATE, { value: state, configurable: true });
  return new Proxy(record, recordHandler);
}

function storedIn(state, name) {
  const position = state.meta === null ? undefined : state.meta.index[name];
  if (position === undefined || state.row === null) return '';
  return state.row[position] ?? '';
}

function valueIn(state, name) {
  const changed = state.pending[name];
  return changed === undefined ? storedIn(state, name) : changed;
}

function changedIn(state, name) {
  return state.pending[name] !== undefined && state.pending[name] !== storedIn(state, name);
}

function idOf(state) {
  return valueIn(state, 'sys_id');
}

function assign(state, name, value) {
  const field = state.meta === null ? undefined : state.meta.fields[name];
  if (field === undefined) return;
  let text = textOf(value);
  if (text === 'NULL') text = '';
  state.pending[name] = text;
  if (state.view !== null) __host('view.set', [state.view, name, text]);
}

function assignDisplay(state, name, value) {
  const found = __host('field.parse', [state.table, name, textOf(value)]);
  if (found !== null) assign(state, name, found);
}

// Display values are asked for a whole page at once.
function displayIn(state, path) {
  const [name, ...rest] = path.split('.');
  if (state.meta === null || state.meta.fields[name] === undefined) return '';
  if (rest.length > 0) {
    const next = state.meta.fields[name].reference;
    return next ? displayIn(referenced(state, name, next), rest.join('.')) : '';
  }
  if (state.meta.fields[name].journal) {
    return __host('record.journal', [state.table, idOf(state), name, -1, state.secure]);
  }
  const text = valueIn(state, name);
  if (text === '') return '';
  const known = (state.displays[name] ??= create(null));
  if (known[text] === undefined) loadDisplays(state, name, text, known);
  return known[text];
}

function loadDisplays(state, name, text, known) {
  const position = state.meta.index[name];
  const wanted = new Set([text]);
  for (const row of state.page) {
    if (row !== null && row[position] && known[row[position]] === undefined) wanted.add(row[position]);
  }
  const texts = Array.from(wanted);
  const shown = __host('field.display', [state.table, name, texts, state.secure]);
  texts.forEach((value, index) => { known[value] = shown[index]; });
}

// The state of the row that a reference points at; one read for each value of the reference.
function referenced(state, name, table) {
  return follow(state, name, name, () => {
    const target = newState(table, state.secure);
    const id = valueIn(state, name);
    target.row = id && target.meta ? __host('record.get', [table, id, state.secure]) : null;
    return target;
  });
}

function realRecord(state, name, table) {
  return follow(state, name, `${name}!`, () => {
    const id = valueIn(state, name);
    const found = id && table ? __host('record.class', [table, id]) : null;
    const target = newState(found ?? table ?? '', state.secure);
    target.row = found ? __host('record.get', [found, id, state.secure]) : null;
    return target;
  });
}

function follow(state, name, key, load) {
  const id = valueIn(state, name);
  const known = state.references[key];
  if (known !== undefined && known.id === id) return known.state;
  const target = load();
  state.references[key] = { id, state: target };
  return target;
}

function settleOn(state, row) {
  state.row = row;
  state.pending = create(null);
  state.references = create(null);
  state.fresh = false;
  state.newId = '';
}

function queryOf(state) {
  return {
    table: state.table, secure: state.secure, conditions: state.conditions, order: state.order,
    limit: state.limit, window: state.window,
  };
}

function runQuery(state) {
  state.queried = true;
  state.position = -1;
  state.pageStart = 0;
  settleOn(state, null);
  if (state.cursor !== null) __host('record.close', [state.cursor]);
  const found = state.meta === null ? null : __host('record.query', [queryOf(state)]);
  state.cursor = found && found.cursor;
  state.page = found ? found.rows : [];
  state.count = found ? found.count : 0;
  state.total = found ? found.total : 0;
}

// The row at a position of the result, or null when it was deleted meanwhile.
function rowAt(state, position) {
  const end = state.pageStart + state.page.length;
  if (position < state.pageStart || position >= end) {
    state.page = __host('record.page', [state.cursor, position]);
    state.pageStart = position;
  }
  return state.page[position - state.pageStart] ?? null;
}

function moveTo(state, position) {
  for (let at = position; at < state.count; at++) {
    const row = rowAt(state, at);
    if (row !== null) {
      state.position = at;
      settleOn(state, row);
      return true;
    }
  }
  state.position = state.count;
  return false;
}

function changeOf(state) {
  return {
    table: state.table, secure: state.secure, values: state.pending, rules: state.rules,
    system_fields: state.systemFields, force: state.force,
  };
}

// Sends a write; its outcome is {row} or {error}.
function write(state, call, change) {
  state.error = null;
  const outcome = __host(call, [change]);
  forgetTables(state.table);
  if (outcome.error !== undefined) {
    state.error = outcome.error;
    return null;
  }
  state.displays = create(null);
  return outcome;
}

function insertRow(state) {
  if (state.meta === null) return null;
  const change = changeOf(state);
  const values = create(null);
  for (const name of state.meta.columns) {
    const text = storedIn(state, name);
    if (text !== '') values[name] = text;
  }
  if (!state.fresh) delete values.sys_id; // a copy of the row it is on
  for (const name of Object.keys(state.pending)) values[name] = state.pending[name];
  const outcome = write(state, 'record.insert', { ...change, values, sys_id: state.newId });
  if (outcome === null) return null;
  settleOn(state, outcome.row);
  return idOf(state);
}

function updateRow(state) {
  if (state.meta === null) return null;
  if (state.row === null || state.fresh) return insertRow(state);
  const id = storedIn(state, 'sys_id');
  const outcome = write(state, 'record.update', { ...changeOf(state), sys_id: id });
  if (outcome === null) return null;
  if (outcome.missing) {
    delete state.pending.sys_id;
    state.newId = id;
    return insertRow(state);
  }
  settleOn(state, outcome.row);
  if (state.page[state.position - state.pageStart]) {
    state.page[state.position - state.pageStart] = outcome.row;
  }
  return id;
}
