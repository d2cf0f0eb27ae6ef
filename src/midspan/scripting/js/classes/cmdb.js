// sn_cmdb: the identification and reconciliation engine.
(function (shared) {
'use strict';
const { Object } = shared.intrinsics;
const { host, textOf } = shared;

function take(source, input, options, dry) {
  const given = options === undefined || options === null ? null : options;
  const pairs = given === null ? null : Object.keys(given).map((name) => [name, textOf(given[name])]);
  return host('cmdb.take', [textOf(source), textOf(input), pairs, dry]);
}

class IdentificationEngine {
  static createOrUpdateCI(source, input) { return take(source, input, null, false); }
  // The original takes the payload alone.
  static identifyCI(source, input) {
    return input === undefined ? take('ServiceNow', source, null, true) : take(source, input, null, true);
  }
  static createOrUpdateCIEnhanced(source, input, options) { return take(source, input, options ?? {}, false); }
  static identifyCIEnhanced(source, input, options) { return take(source, input, options ?? {}, true); }
}

return { sn_cmdb: { IdentificationEngine } };
})
