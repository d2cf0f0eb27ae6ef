// sn_fd: flows that a script starts. Flows are for a record here; subflows, actions by themselves
// and data streams are not there, and say so.
(function (shared) {
'use strict';
const { Object, Error, Number } = shared.intrinsics;
const { host, textOf, isRecord, part, GlideRecord, notAvailable } = shared;

// The record among the inputs of a flow: `current`, or else the first that is one.
function recordOf(inputs) {
  if (inputs === null || typeof inputs !== 'object') return null;
  if (isRecord(inputs.current)) return inputs.current;
  const name = Object.keys(inputs).find((key) => isRecord(inputs[key]));
  return name === undefined ? null : inputs[name];
}

function begin(name, inputs, about) {
  const record = recordOf(inputs);
  const [table, id] = record === null ? about : [record.getRecordClassName(), record.getUniqueValue()];
  return host('flow.start', [textOf(name), textOf(table), textOf(id)]);
}

function finished(started, millis) {
  const ended = host('flow.wait', [started.run, Number(millis) || 0]);
  if (ended !== null && ended.state !== 'COMPLETE') {
    throw new Error(`Flow ${started.name} ended as ${ended.state}: ${ended.error}`);
  }
  return ended;
}

class FlowRunnerResult {
  #started;
  #date;
  constructor(started) {
    this.#started = started;
    this.#date = new (part('dates').GlideDateTime)();
  }
  getContextId() { return this.#started.run; }
  getOutputs() { return host('flow.state', [this.#started.run])?.outputs ?? {}; }
  getDate() { return this.#date; }
  getDomainId() { return 'global'; }
  getFlowObjectName() { return this.#started.name; }
  getFlowObjectType() { return 'flow'; }
  getDataStream() { throw notAvailable('sn_fd.FlowRunnerResult.getDataStream'); }
  debug() { return `flow ${this.#started.name}, run ${this.#started.run}`; }
}

class FlowRunner {
  #name = null;
  #inputs = Object.create(null);
  #about = ['', ''];
  #waits = true;
  #millis = 0;

  flow(name) { this.#name = textOf(name); return this; }
  subflow() { throw notAvailable('sn_fd.FlowRunner.subflow'); }
  action() { throw notAvailable('sn_fd.FlowRunner.action'); }
  datastream() { throw notAvailable('sn_fd.FlowRunner.datastream'); }
  inForeground() { this.#waits = true; return this; }
  inBackground() { this.#waits = false; return this; }
  withInputs(inputs) {
    if (inputs !== null && typeof inputs === 'object') Object.assign(this.#inputs, inputs);
    return this;
  }
  addInput(name, value) { this.#inputs[textOf(name)] = value; return this; }
  sourceTable(table) { this.#about[0] = table; return this; }
  sourceRecordId(id) { this.#about[1] = id; return this; }
  timeout(millis) { this.#millis = millis; return this; }
  quick() { return this; }
  asUser() { return this; }
  inDomain() { return this; }
  withRoles() { return this; }
  validateInputs() { return this; }
  withConnectionAliasOverride() { throw notAvailable('sn_fd.FlowRunner.withConnectionAliasOverride'); }
  restartFlowFromContext() { throw notAvailable('sn_fd.FlowRunner.restartFlowFromContext'); }
  compile() { return true; }
  run() {
    if (this.#name === null) throw new Error('Say which flow to run: getRunner().flow(name)');
    const started = begin(this.#name, this.#inputs, this.#about);
    if (this.#waits) finished(started, this.#millis);
    return new FlowRunnerResult(started);
  }
}

const FlowAPI = {
  getRunner: () => new FlowRunner(),
  startFlow: (name, inputs) => begin(name, inputs, ['', '']).run,
  startFlowQuick(name, inputs) { begin(name, inputs, ['', '']); },
  executeFlow(name, inputs, millis) { finished(begin(name, inputs, ['', '']), millis); },
  executeFlowQuick(name, inputs, millis) { finished(begin(name, inputs, ['', '']), millis); },
  getState: (run) => host('flow.state', [textOf(run)])?.state ?? null,
  getStatus: (run) => host('flow.state', [textOf(run)]),
  getErrorMessage: (run) => host('flow.state', [textOf(run)])?.error || null,
  getOutputs: (run) => host('flow.state', [textOf(run)])?.outputs ?? {},
  cancel(run) { host('flow.cancel', [textOf(run)]); },
  // The runs about a record that have not ended, as a record that was queried.
  getRunningFlows(record, children, name) {
    const runs = new GlideRecord('sys_flow_context');
    runs.addQuery('source_record', record.getUniqueValue());
    runs.addQuery('state', 'IN', 'QUEUED,IN_PROGRESS,WAITING');
    if (textOf(name) !== '') runs.addQuery('name', textOf(name));
    runs.query();
    return runs;
  },
  hasApprovals: () => 'false',
};

for (const name of `executeSubflow executeSubflowQuick startSubflow startSubflowQuick
    startSubflowSkipInputValidation executeAction executeActionQuick startAction startActionQuick
    executeDataStreamAction sendMessage publish compile getFlowStages scheduleCancel nudgeFlow
    nudgeFlowsWaitingOn`.split(/\s+/)) {
  FlowAPI[name] = () => { throw notAvailable(`sn_fd.FlowAPI.${name}`); };
}

return { sn_fd: { FlowAPI, FlowRunner, FlowRunnerResult } };
})
