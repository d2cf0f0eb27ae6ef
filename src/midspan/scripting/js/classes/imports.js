// Import sets from scripts: load the file of a data source, run the maps, keep a log.
(function (shared) {
'use strict';
const { Object, Error } = shared.intrinsics;
const { host, textOf, isArray, isRecord, publicRecord, gs, notAvailable } = shared;

function idOf(value) { return textOf(isRecord(value) ? value.getUniqueValue() : value); }

class GlideImportSetLoader {
  #error = '';
  // Opens an import set for a data source.
  getImportSetGr(source) {
    return publicRecord('sys_import_set', host('import.open', [idOf(source)]));
  }
  // Loads the newest file of the data source into the set; false when that did not work.
  loadImportSetTable(importSet, source) {
    this.#error = host('import.load', [idOf(importSet), idOf(source)]);
    if (this.#error !== '') gs.error(this.#error);
    return this.#error === '';
  }
  getErrorMessage() { return this.#error; }
}

class GlideImportSetRun {
  #id;
  constructor(importSet) { this.#id = idOf(importSet); }
  getImportSetRunSysID() {
    const run = publicRecord('sys_import_set_run', this.#id);
    if (run.isValidRecord()) return run.getUniqueValue();
    run.initialize();
    run.addQuery('set', this.#id);
    run.orderByDesc('started');
    run.setLimit(1);
    run.query();
    return run.next() ? run.getUniqueValue() : null;
  }
}

// Lines about an import go to the log of scripts, with the run they belong to.
class GlideImportLog {
  #run;
  #source;
  constructor(run, source) {
    this.#run = run;
    this.#source = textOf(source);
  }
  #say(level, message, source) {
    const from = textOf(source) || this.#source;
    gs[level](from === '' ? textOf(message) : `${from}: ${textOf(message)}`);
  }
  info(message, source) { this.#say('info', message, source); }
  warn(message, source) { this.#say('warn', message, source); }
  error(message, source) { this.#say('error', message, source); }
  getImportRunHistory() {
    return this.#run instanceof GlideImportSetRun ? this.#run.getImportSetRunSysID() : textOf(this.#run) || null;
  }
  setImportRunHistory(run) { this.#run = run; }
}

class GlideImportSetTransformer {
  #set = '';
  #map = '';
  #run = null;
  #failed = false;
  setImportSetID(id) { this.#set = idOf(id); }
  setMapID(id) { this.#map = idOf(id); }
  setImportSetRun(run) { this.#run = run; }
  setLogger() {}
  setSyncImport() {}
  // Inside a transaction a job does it after the commit; until then there is no run.
  transformAllMaps(importSet) {
    if (importSet !== undefined && importSet !== null) this.#set = idOf(importSet);
    if (this.#set === '') throw new Error('Say which import set: transformAllMaps(importSetGr)');
    const runs = host('import.transform', [this.#set, this.#map]) ?? [];
    this.#failed = runs.some((run) => run.errors > 0);
    if (runs.length > 0) this.#run = new GlideImportSetRun(runs[runs.length - 1].run);
  }
  isError() { return this.#failed; }
  getImportSetRun() { return this.#run; }
}

class GlideImportSetTransformerWorker {
  #set;
  #map;
  #later = false;
  constructor(importSet, map) {
    this.#set = idOf(importSet);
    this.#map = idOf(map);
  }
  setBackground(later) { this.#later = later === true || textOf(later) === 'true'; }
  setProgressName() {}
  start() { host(this.#later ? 'import.later' : 'import.transform', [this.#set, this.#map]); }
}

// The cells of a line; a quote within quotes is written twice.
function cellsOf(line, delimiter, quote) {
  const cells = [];
  let cell = '';
  let quoted = false;
  for (let at = 0; at < line.length; at++) {
    const character = line[at];
    if (quoted && character === quote && line[at + 1] === quote) {
      cell += quote;
      at += 1;
    } else if (character === quote && (quoted || cell === '')) {
      quoted = !quoted;
    } else if (character === delimiter && !quoted) {
      cells.push(cell);
      cell = '';
    } else {
      cell += character;
    }
  }
  cells.push(cell);
  return cells;
}

// A line of CSV: as an array, or as an object with the names of columns.
class CSVParser {
  parseLineToArray(line, delimiter, quote) {
    return cellsOf(textOf(line), textOf(delimiter) || ',', textOf(quote) || '"');
  }
  parseLineToObject(line, headers, delimiter, quote) {
    if (!isArray(headers) || headers.length === 0) throw new Error('CSVParser: Header list is empty');
    const cells = this.parseLineToArray(line, delimiter, quote);
    const found = {};
    headers.forEach((name, place) => { found[textOf(name)] = cells[place] ?? null; });
    return found;
  }
}

function absent(name) {
  return function () { throw notAvailable(`sn_impex.${name}`); };
}

const sn_impex = { CSVParser: shared.publicClass(CSVParser), GlideExcelParser: shared.part('workbooks').GlideExcelParser };
for (const name of ['GlideImportSetTable', 'GlideImportSetTransformMap', 'RTETransformer']) {
  sn_impex[name] = absent(name);
}

return {
  GlideImportSetLoader, GlideImportSetTransformer, GlideImportSetTransformerWorker, GlideImportSetRun,
  GlideImportLog, CSVParser, sn_impex: Object.freeze(sn_impex),
};
})
