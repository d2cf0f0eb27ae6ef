// The first text of every context: how scripts are run, reported and connected to the host.
//
// It is evaluated before the prelude and gets four native functions: `raw(json) -> json` makes a host
// call and waits, `stop(stack)` tells the worker that the parent wants the run to end,
// `rewrite(kind, text, line, old)` gives a text the form in which it runs, `load(name)` puts the value
// of one of our own texts into `loaded`, or returns the text. Neither they nor anything here can be
// reached from a script. Everything is captured before user code exists, so that a script
// which redefines JSON or Promise harms only itself.
(function (raw, stop, rewrite, load, rewrites) {
  'use strict';
  const { parse, stringify } = JSON;
  const {
    defineProperty, getPrototypeOf, keys, setPrototypeOf, prototype: { hasOwnProperty },
  } = Object;
  const { apply } = Reflect;
  const text = String;
  const evaluate = eval; // called by this name it is the global, sloppy eval
  const ErrorClass = Error;
  const SyntaxErrorClass = SyntaxError;
  const join = apply.bind(undefined, Array.prototype.join);
  const sliceText = apply.bind(undefined, String.prototype.slice);
  const indexOf = apply.bind(undefined, String.prototype.indexOf);
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
    if (hasOwn(reply, 'x')) return evaluate(code(reply.x.text, 'script', reply.x.line, reply.x.old));
    const error = new ErrorClass('the run was stopped');
    stop(text(error.stack));
    throw error;
  }

  function hasOwn(object, name) {
    return apply(hasOwnProperty, object, [name]);
  }

  let resolve; // gets the names that a text uses and does not declare, before it runs

  // The form in which a text runs; the names that it uses are known from then on.
  function code(source, kind, line, old) {
    if (typeof source !== 'string') return source;
    const made = rewrite(kind, join([source], ['']), line, old); // joined, a text has one piece
    if (made[0] === '!') throw syntaxError(parse(sliceText(made, [1])));
    const end = indexOf(made, ['\n']);
    meet(sliceText(made, [1, end]));
    return sliceText(made, [end + 1]);
  }

  function syntaxError({ message, stack }) {
    const error = new SyntaxErrorClass(message);
    if (stack === undefined) return error;
    const all = `${stack}\n${error.stack}`;
    defineProperty(error, 'stack', { value: all, writable: true, configurable: true });
    return error;
  }

  function meet(names) {
    if (resolve !== undefined && names !== '[]') resolve(parse(names));
  }

  // `Function` and its kin compile text as well. They stay the only way from a function to them.
  function compilers() {
    const kinds = [
      ['function', function () {}], ['function*', function* () {}],
      ['async function', async function () {}], ['async function*', async function* () {}],
    ];
    let plain;
    for (const [words, sample] of kinds) {
      const prototype = getPrototypeOf(sample);
      const original = prototype.constructor;
      const compile = (args) => {
        const last = args.length - 1;
        const parameters = [];
        for (let at = 0; at < last; at++) parameters[at] = text(args[at]);
        const body = last < 0 ? '' : text(args[last]);
        const source = `(${words} anonymous(${join(parameters, [','])}\n) {\n${body}\n})`;
        return evaluate(code(source, 'function', 0, false));
      };
      const replacement = new Proxy(original, {
        apply: (_, __, args) => compile(args),
        construct(_, args, target) {
          const made = compile(args);
          if (target !== replacement) setPrototypeOf(made, target.prototype);
          return made;
        },
      });
      defineProperty(prototype, 'constructor', { value: replacement });
      if (plain === undefined) {
        plain = replacement;
        defineProperty(root, 'Function', { value: plain, writable: true, configurable: true });
      } else {
        setPrototypeOf(original, plain);
      }
    }
  }

  if (rewrites) {
    compilers();
    const own = {
      __ms_code: (source) => code(source, 'eval', 0, false),
      __ms_eval: (source) => evaluate(code(source, 'eval', 0, false)),
    };
    for (const name of keys(own)) defineProperty(root, name, { value: own[name] });
  }

  const loaded = { __proto__: null, value: undefined };

  // The value of one of our own texts, which no script wrote.
  function part(name) {
    const source = load(name);
    if (source !== '') return evaluate(source);
    const made = loaded.value;
    loaded.value = undefined;
    return made;
  }

  // What the prelude may do with the engine itself.
  const engine = {
    evaluate: (source) => evaluate(code(source, 'script', 0, false)),
    onNames(listener) { resolve = listener; },
    part,
  };

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

  function run(source, json, names) {
    value = undefined;
    failed = false;
    try {
      set(json);
      meet(names);
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

  return { host, engine, loaded, run, finish, report };
})
