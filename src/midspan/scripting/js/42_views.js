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
  if (!view.stored) state.view = name;
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
