// The first text of every context: how scripts are run, reported and connected to the host.
//
// It is evaluated before the prelude and gets two native functions: `raw(json) -> json` makes a host
// call and waits, `stop(stack)` tells the worker that the parent wants the run to end. Neither they
// nor anything here can be reached from a script. Everything is captured before user code exists, so
// that a script which redefines JSON or Promise harms only itself.
(function (raw, stop) {
  'use strict';
  const { parse, stringify } = JSON;
  const { defineProperty, keys, prototype: { hasOwnProperty } } = Object;
  const { apply } = Reflect;
  const text = String;
  const evaluate = eval; // called by this name it is the global, sloppy eval
  const ErrorClass = Error;
  const then = Promise.prototype.then;
  const root = globalThis;
  const hosted = new WeakMap();
  const idOf = apply.bind(undefined, WeakMap.prototype.get, hosted);
  const remember = apply.bind(undefined, WeakMap.prototype.set, hosted);

  // Positions in stacks are the parent's business: scripts can neither reshape nor switch them off.
  defineProperty(Error, 'stackTraceLimit', { value: 50, writable: false, configurable: false });
  defineProperty(Error, 'prepareStackTrace', { value: undefined, writable: false, configurable: false });
  // No clocks finer than Date, no shared memory: one could measure, the other could block.
  for (const name of ['performance', 'Atomics', 'SharedArrayBuffer']) delete root[name];

  function hostError(report) {
    const error = new ErrorClass(report.message);
    const hidden = { code: report.code, getMessage() { return text(error.message); } };
    for (const name of keys(hidden)) {
      defineProperty(error, name, { value: hidden[name], writable: true, configurable: true });
    }
    if (report.detail) defineProperty(error, 'detail', { value: report.detail, configurable: true });
    remember([error, report.id]);
    return error;
  }

  function host(name, args) {
    const reply = parse(raw(stringify([text(name), args === undefined ? [] : args])));
    if (hasOwn(reply, 'v')) return reply.v;
    if (hasOwn(reply, 'e')) throw hostError(reply.e);
    const error = new ErrorClass('the run was stopped');
    stop(text(error.stack));
    throw error;
  }

  function hasOwn(object, name) {
    return apply(hasOwnProperty, object, [name]);
  }

  let value;
  let failed = false;

  function settle(settledValue, settledFailed) {
    value = settledValue;
    failed = settledFailed;
  }

  // A script whose last value is a promise has the promise's outcome, once the microtasks ran.
  function follow(promise) {
    try {
      apply(then, promise, [(v) => settle(v, false), (e) => settle(e, true)]);
      value = undefined;
    } catch {
      value = promise;
    }
  }

  function set(json) {
    const variables = parse(json);
    for (const name of keys(variables)) {
      defineProperty(root, name, {
        value: variables[name], writable: true, enumerable: true, configurable: true,
      });
    }
  }

  function run(source, json) {
    value = undefined;
    failed = false;
    try {
      set(json);
      value = evaluate(source);
    } catch (error) {
      settle(error, true);
      return true;
    }
    if (typeof value === 'object' && value !== null) follow(value);
    return false;
  }

  function attempt(action, otherwise) {
    try {
      return action();
    } catch {
      return otherwise;
    }
  }

  function hostId(error) {
    for (let link = error, hops = 0; link !== null && typeof link === 'object' && hops < 8; hops++) {
      const id = idOf([link]);
      if (id !== undefined) return id;
      link = attempt(() => link.cause, null);
    }
    return null;
  }

  function jsonOf(error) {
    if (!(error instanceof ErrorClass) || typeof error.toJSON === 'function') return stringify(error);
    const copy = { name: text(error.name), message: text(error.message) };
    for (const name of keys(error)) copy[name] = error[name];
    return stringify(copy);
  }

  function textOf(error, json) {
    if (typeof error !== 'object' || error === null) return text(error);
    const shown = text(error);
    return shown === '[object Object]' && json !== undefined ? json : shown;
  }

  function describe(error) {
    const json = attempt(() => jsonOf(error), undefined);
    const isError = error instanceof ErrorClass;
    return stringify({
      text: attempt(() => textOf(error, json), 'a value without a text form'),
      name: attempt(() => (isError ? text(error.name) : ''), ''),
      message: attempt(() => (isError ? text(error.message) : ''), ''),
      stack: attempt(() => (isError ? text(error.stack) : ''), ''),
      thrown: json === undefined ? 'null' : json,
      host: hostId(error),
    });
  }

  // The last run's value as JSON, or nothing when it is undefined, unwanted or a failure.
  function finish(discard) {
    if (failed || discard) return '';
    try {
      const json = stringify(value);
      value = undefined;
      return json === undefined ? '' : json;
    } catch (error) {
      settle(error, true);
      return '';
    }
  }

  // The last run's failure as JSON, or nothing; asked after `finish`, with some memory to spare.
  function report() {
    if (!failed) return '';
    const described = describe(value);
    value = undefined;
    return described;
  }

  return { host, run, finish, report };
})
