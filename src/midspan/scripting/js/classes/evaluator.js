// GlideScopedEvaluator and GlideEvaluator: scripts stored in records; GlideUpdateManager2.
(function (shared) {
'use strict';
const { Object, Boolean } = shared.intrinsics;
const { textOf, evaluateScript, isArray } = shared;
const { getOwnPropertyDescriptor, defineProperty } = Object;

function publicValue(name, value) {
  defineProperty(globalThis, name, { value, writable: true, enumerable: true, configurable: true });
}

class GlideScopedEvaluator {
  #variables = Object.create(null);
  #tolerant = false;

  putVariable(name, value) { this.#variables[textOf(name)] = value; }
  // One that was put there, or that the script itself made.
  getVariable(name) {
    const key = textOf(name);
    return (key in this.#variables ? this.#variables[key] : globalThis[key]) ?? null;
  }
  reset() { this.#variables = Object.create(null); }
  withReturnError(wanted) { this.#tolerant = wanted === true; return this; }
  withEnforcedSecurity() { return this; }
  withInterpretedMode() { return this; }
  withQuickEvalSupported() { return this; }
  withSandboxVariables() { return this; }

  evaluateScript(record, field, variables) {
    if (variables !== null && typeof variables === 'object') {
      for (const name of Object.keys(variables)) this.#variables[name] = variables[name];
    }
    return this.#run(field === undefined ? textOf(record) : textOf(record.getValue(textOf(field))));
  }
  evaluateString(text) { return this.#run(textOf(text)); }

  // The variables are globals while the script runs; what was there before is back afterwards.
  #run(text) {
    const names = Object.keys(this.#variables);
    const before = names.map((name) => [name, getOwnPropertyDescriptor(globalThis, name)]);
    for (const name of names) publicValue(name, this.#variables[name]);
    try {
      return evaluateScript(text);
    } catch (error) {
      if (this.#tolerant) return error;
      throw error;
    } finally {
      for (const name of names) this.#variables[name] = globalThis[name];
      for (const [name, known] of before) {
        if (known === undefined) delete globalThis[name];
        else defineProperty(globalThis, name, { ...known, configurable: true });
      }
    }
  }
}

class GlideEvaluator extends GlideScopedEvaluator {
  static evaluateString(text) { return new GlideEvaluator().evaluateString(text); }
  static evaluateStringWithGlobals(text, variables) {
    return new GlideEvaluator().evaluateScript(text, undefined, variables);
  }
  static evaluateCondition(text, variables) {
    return Boolean(new GlideEvaluator().evaluateScript(text, undefined, variables));
  }
}

// Nothing is kept in update sets here: what a script asks for is accepted, and nothing is done.
class GlideUpdateManager2 {
  saveRecord(record) { return record !== null && record !== undefined; }
  saveBusinessRule(record) { return this.saveRecord(record); }
  load() { return undefined; }
  loadFile() { return undefined; }
  getDefaultUpdateName(table, id) {
    return isArray(id) ? `${textOf(table)}_${textOf(id[0])}` : `${textOf(table)}_${textOf(id)}`;
  }
}

return { GlideScopedEvaluator, GlideEvaluator, GlideUpdateManager2 };
})
