// Pages that do not have all columns of a wide table.
//
// The first page of a result has those that the scripts mention, later ones those that were read so
// far. What else is asked for is fetched for the rows of the page, the second time all of it; places
// that a row does not have yet are undefined. What a first page was made without is fetched before
// anything that may write, so that a row stays what it was when it was queried.
let narrowed = []; // weak references to states whose first page lacks columns
let pruneAt = 64;

// Host calls that change no record that a script may be on.
const READING = create(null);
for (const name of [
  'record.query', 'record.page', 'record.close', 'record.columns', 'record.get', 'record.rows',
  'record.class', 'record.defaults', 'record.reveal', 'record.journal', 'record.template',
  'record.aggregate', 'table.describe', 'function.describe', 'field.display', 'field.parse', 'access.record',
  'access.field', 'query.check', 'query.matches', 'view.open', 'view.set', 'view.abort',
  'gs.session', 'gs.property', 'gs.message', 'gs.guid', 'log', 'event.queue', 'rest.open', 'rest.address',
  'include.find', 'include.has', 'include.load', 'include.scope', 'dates.now', 'dates.zone',
  'user.find', 'user.granted', 'user.groups', 'user.rights', 'user.preference', 'attachment.digest',
  'attachment.first', 'attachment.read', 'stream.text', 'crypto.digest', 'crypto.random',
  'crypto.mac', 'rule.rows',
]) READING[name] = true;

const callInstance = __host;
// eslint-disable-next-line no-func-assign -- every file of this scope calls the host by this name
__host = function (name, args) {
  if (narrowed.length > 0 && READING[name] !== true) keepPages();
  return callInstance(name, args);
};

function layOut(state, columns) {
  state.pageIndex = create(null);
  for (let at = 0; at < columns.length; at++) state.pageIndex[columns[at]] = at;
  state.width = columns.length;
  state.missed = 0;
}

// Begins with a first page that has only these columns.
function beginNarrow(state, columns) {
  layOut(state, columns);
  if (state.page.length === 0) return;
  state.narrow = true;
  if (narrowed.length >= pruneAt) {
    narrowed = narrowed.filter((held) => held.deref() !== undefined);
    pruneAt = Math.max(64, 2 * narrowed.length);
  }
  narrowed.push(new Weak(state));
}

// The columns that a row in this layout lacks.
function lackedBy(state, row, index) {
  const names = [];
  for (const name in state.meta.index) { // eslint-disable-line guard-for-in
    if (index[name] === undefined || row[index[name]] === undefined) names.push(name);
  }
  return names;
}

// The value of a column that the row does not have yet.
function fetchedIn(state, name) {
  if (state.meta.index[name] === undefined) return '';
  noteRead(state, name);
  state.missed++;
  fill(state, state.missed > 1 ? lackedBy(state, state.row, state.index) : [name]);
  return state.row[state.index[name]] ?? '';
}

// Sees to it that the present row has all columns.
function completeRow(state) {
  if (state.row === null || state.index === state.meta.index) return;
  const names = lackedBy(state, state.row, state.index);
  if (names.length > 0) fill(state, names);
}

// Fetches columns for the present row and, as far as they fit, for those after and before it.
function fill(state, names) {
  const own = state.index === state.pageIndex ? rowsFrom(state) : [];
  const lacks = (row) => row !== null && row !== state.row && row[state.index[names[0]]] === undefined;
  fillRows(state, state.index, [state.row, ...own.filter(lacks)], names);
}

function rowsFrom(state) {
  const at = Math.max(0, state.position - state.pageStart);
  return [...state.page.slice(at), ...state.page.slice(0, at)];
}

function fillRows(state, index, rows, names) {
  const ids = rows.map((row) => row[index.sys_id]);
  const found = __host('record.columns', [state.table, ids, names, state.secure]);
  let places = 0;
  for (const name in index) if (index[name] >= places) places = index[name] + 1;
  for (const name of names) index[name] ??= places++;
  for (let at = 0; at < found.length; at++) {
    for (let nth = 0; nth < names.length; nth++) {
      const place = index[names[nth]];
      // A row that is gone keeps what is known of it; the rest is empty.
      if (rows[at][place] === undefined) rows[at][place] = found[at] === null ? null : found[at][nth];
    }
  }
  if (found.length < rows.length) forgetLong(state, rows.slice(0, found.length));
}

// Rows are long: those that are not among `kept` give back what was fetched for them.
function forgetLong(state, kept) {
  for (const row of state.page) {
    if (row !== null && row.length > state.width && !kept.includes(row)) row.length = state.width;
  }
}

// Fetches what the first pages lack, before something that may change or delete their records.
function keepPages() {
  const states = narrowed;
  narrowed = [];
  for (const held of states) {
    const state = held.deref();
    if (state === undefined || !state.narrow) continue;
    state.narrow = false;
    const names = lackedBy(state, state.page[0], state.pageIndex);
    if (names.length > 0) fillRows(state, state.pageIndex, rowsFrom(state), names);
  }
}
