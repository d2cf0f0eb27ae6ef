// The state behind a GlideRecord: conditions, result, cursor, current row and pending values.
//
// `row` is a list of texts and `index` the place of each column in it. Pages of wide tables do not
// have all columns; see 33_pages.js for the others.
function newState(tableName, secure) {
  const meta = describe(tableName);
  return {
    table: tableName, meta, secure, view: null,
    conditions: [], order: [], functions: [], limit: null, window: null,
    cursor: null, count: 0, total: 0, position: -1, queried: false,
    page: [], pageStart: 0, pageIndex: null, read: create(null),
    row: null, index: meta === null ? null : meta.index,
    pending: create(null), fresh: false, newId: '', displays: create(null), errors: create(null),
    reads: null, whole: false, narrow: false, width: 0, missed: 0,
    rules: true, systemFields: true, force: false, error: null, aborted: false, ahead: null,
    references: create(null), aheadRows: create(null), elements: create(null), saved: null,
    ended: false, behind: null, authors: null, cleared: create(null),
  };
}

// Whether it is a record that a rule runs for.
function isOfRule(state) {
  return state.view !== null || (state.operation ?? '') !== '';
}

function storedIn(state, name) {
  if (state.row === null) return '';
  const position = state.index[name];
  const text = position === undefined ? undefined : state.row[position];
  if (text !== undefined) return text ?? '';
  return state.index === state.meta.index ? '' : fetchedIn(state, name);
}

function noteRead(state, name) {
  if (state.meta.index[name] !== undefined) state.read[name] = true;
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
  if (field === undefined || field.computed) return;
  let text = textOf(value);
  state.cleared[name] = text === 'NULL';
  if (text === 'NULL') text = '';
  else if (field.storage === 'integer') text = wholeText(text);
  else if (field.storage === 'boolean' && text !== '') text = booleanText(text);
  state.pending[name] = text;
  if (state.view !== null) __host('view.set', [state.view, name, text]);
}

// Whole numbers keep nothing behind the point.
function wholeText(text) {
  const [, whole] = /^([+-]?\d+)\.\d*$/.exec(text) ?? [];
  return whole ?? text;
}

function booleanText(text) {
  const lower = text.toLowerCase();
  if (lower === '1' || lower === 'yes' || lower === 'on') return 'true';
  return lower === '0' || lower === 'no' || lower === 'off' ? 'false' : lower;
}

function assignDisplay(state, name, value) {
  if (state.meta === null || state.meta.fields[name] === undefined) return;
  const found = __host('field.parse', [state.table, name, textOf(value)]);
  if (found !== null) assign(state, name, found);
}

// Display values are asked for a whole page at once.
function displayIn(state, path) {
  const [name, ...rest] = isFunction(path) ? [path] : path.split('.');
  if (state.meta === null || state.meta.fields[name] === undefined) return '';
  if (rest.length > 0) {
    const next = state.meta.fields[name].reference;
    return next ? displayIn(referenced(state, name, next), rest.join('.')) : '';
  }
  if (state.meta.fields[name].journal) {
    return __host('record.journal', [state.table, idOf(state), name, -1, state.secure]);
  }
  noteRead(state, name);
  const text = valueIn(state, name);
  if (text === '') return '';
  const known = (state.displays[name] ??= create(null));
  if (known[text] === undefined) loadDisplays(state, name, text, known);
  return known[text];
}

function loadDisplays(state, name, text, known) {
  const position = state.index[name];
  const wanted = new Set([text]);
  for (const row of position === undefined ? [] : state.page) {
    if (row !== null && row[position] && known[row[position]] === undefined) wanted.add(row[position]);
  }
  const texts = Array.from(wanted);
  const shown = __host('field.display', [state.table, name, texts, state.secure]);
  texts.forEach((value, index) => { known[value] = shown[index]; });
}

// The state of the row that a reference points at; the rows of a whole page are read at once.
function referenced(state, name, table) {
  return follow(state, name, name, () => {
    const target = newState(table, state.secure);
    const id = valueIn(state, name);
    target.row = id && target.meta ? referencedRow(state, name, table, id) : null;
    return target;
  });
}

let writes = 0; // how often this context wrote; what was read ahead before is not used after
const READ_AHEAD = 100;

function referencedRow(state, name, table, id) {
  let known = state.aheadRows[name];
  if (known === undefined || known.writes !== writes) {
    known = state.aheadRows[name] = { writes, rows: create(null) };
  }
  if (known.rows[id] === undefined) {
    const ids = [...followingIds(state, name, id)];
    const found = __host('record.rows', [table, ids, state.secure]);
    known.rows = create(null);
    ids.forEach((each, at) => { known.rows[each] = found[at]; });
  }
  return known.rows[id];
}

// The values of a reference in the present row and in those that follow it in the page.
function followingIds(state, name, id) {
  const ids = new Set([id]);
  const position = state.index[name];
  for (let at = state.position - state.pageStart + 1; at > 0 && at < state.page.length; at++) {
    if (ids.size >= READ_AHEAD || position === undefined) break;
    const value = state.page[at]?.[position];
    if (value) ids.add(value);
  }
  return ids;
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
  noteRead(state, name);
  const id = valueIn(state, name);
  const known = state.references[key];
  if (known !== undefined && known.id === id) return known.state;
  const target = load();
  state.references[key] = { id, state: target };
  return target;
}

function settleOn(state, row) {
  state.row = row;
  state.index = state.meta === null ? null : state.meta.index;
  if (hasKeys(state.pending)) state.pending = create(null);
  if (hasKeys(state.references)) state.references = create(null);
  state.fresh = false;
  state.ended = false;
  state.behind = null;
  state.authors = null;
  state.newId = '';
}

function hasKeys(object) {
  for (const name in object) return name !== undefined; // eslint-disable-line guard-for-in
  return false;
}

function queryOf(state) {
  return {
    table: state.table, secure: state.secure, rules: state.rules,
    conditions: state.conditions, order: state.order,
    functions: state.functions, limit: state.limit, window: state.window,
  };
}

// Functions of fields, such as glidefunction:length(u_name), are columns behind all others.
function isFunction(name) {
  return name.startsWith('glidefunction:');
}

function addFunction(state, text) {
  if (state.meta === null || state.meta.fields[text] !== undefined) return;
  const field = __host('function.describe', [state.table, text]);
  const { meta } = state;
  const fields = Object.assign(create(null), meta.fields);
  const index = Object.assign(create(null), meta.index);
  fields[text] = field;
  if (state.grouping === undefined) index[text] = meta.columns.length + state.functions.length;
  state.functions.push(text);
  state.meta = { ...meta, fields, index };
  if (state.index === meta.index) state.index = index;
  if (state.pageIndex === meta.index) state.pageIndex = index;
}

function runQuery(state) {
  // What was set before the query is meant for updateMultiple().
  state.ahead = state.row === null && !state.fresh ? state.pending : null;
  state.pending = create(null);
  state.queried = true;
  state.position = -1;
  state.pageStart = 0;
  settleOn(state, null);
  if (state.cursor !== null) __host('record.close', [state.cursor]);
  const found = state.meta === null ? null : __host('record.query', [askedBy(state)]);
  state.cursor = found && found.cursor;
  state.page = found ? found.rows : [];
  state.pageIndex = state.meta && state.meta.index;
  state.count = found ? found.count : 0;
  state.total = found ? found.total : 0;
  state.narrow = false;
  if (found && found.columns !== undefined) beginNarrow(state, found.columns);
}

function askedBy(state) {
  const asked = queryOf(state);
  if (state.whole) asked.whole = true;
  if (state.reads !== null) asked.reads = state.reads;
  return asked;
}

// Fetches the rows from `start` on, as many as the instance finds good.
function loadPage(state, start) {
  for (const name in state.elements) noteRead(state, name); // eslint-disable-line guard-for-in
  const columns = Object.keys(state.read);
  const found = __host('record.page', [state.cursor, start, columns]);
  state.page = found.rows;
  state.pageStart = start;
  state.narrow = false;
  layOut(state, found.columns);
}

// The row at a position of the result, or null when it was deleted meanwhile.
function rowAt(state, position) {
  const at = position - state.pageStart;
  if (at >= 0 && at < state.page.length) return state.page[at];
  loadPage(state, position);
  return state.page[0] ?? null;
}

// Goes to the row at a position, or to the next that is still there; before the first at -1.
function moveTo(state, position) {
  if (position < 0) {
    state.position = -1;
    settleOn(state, null);
    return false;
  }
  for (let at = position; at < state.count; at++) {
    const row = rowAt(state, at);
    if (row !== null) {
      state.position = at;
      settleOn(state, row);
      if (!isOfRule(state)) state.aborted = false;
      state.index = state.pageIndex;
      return true;
    }
  }
  state.position = state.count;
  state.ended = true; // the last row stays readable
  return false;
}
