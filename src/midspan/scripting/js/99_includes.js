// Script includes: a name that a text uses and nobody has defined is asked for once; when it is an
// include, a getter evaluates it at its first use. Last of the files: it completes `gs` and `global`.
const metNames = create(null);
const loadedIncludes = create(null);
const homes = create(null); // by the name of an include that a global variable is or will be: its scope
let includeScope = null; // of the include that is being evaluated, null in the script itself

__engine.onNames((names) => {
  const asked = [];
  for (let at = 0; at < names.length; at++) {
    const name = names[at];
    if (metNames[name] !== true && !(name in globalThis)) {
      metNames[name] = true;
      asked[asked.length] = name;
    }
  }
  if (asked.length === 0) return;
  const asker = includeScope;
  const found = __host('include.find', [asked, asker]);
  for (let at = 0; at < found.length; at++) {
    const [name, kind, scope] = found[at];
    if (kind === 'scope') publish(name, scopeObject(name));
    else awaitUse(name, scope, asker);
  }
});

// `asker` is the scope of the text that uses the name, null for the script itself.
function awaitUse(name, scope, asker) {
  homes[name] = scope;
  defineProperty(globalThis, name, {
    configurable: true,
    get() {
      delete globalThis[name];
      try {
        return loadInclude(scope, name, asker);
      } catch (error) {
        if (!hasOwn(globalThis, name)) awaitUse(name, scope, asker); // the next use says it again
        throw error;
      }
    },
    set(value) {
      defineProperty(globalThis, name, { value, writable: true, enumerable: true, configurable: true });
    },
  });
}

// What an include defines under its name; evaluated once in each global scope.
function loadInclude(scope, name, asker) {
  const key = `${scope}.${name}`;
  const known = loadedIncludes[key];
  if (known !== undefined) {
    if (known.done) return known.value;
    throw new ReferenceError(`${key} is used while it is being defined`);
  }
  const include = loadedIncludes[key] = { done: false, value: undefined };
  const before = includeScope;
  includeScope = scope;
  try {
    include.value = __host('include.load', [scope, name, asker]);
  } catch (error) {
    delete loadedIncludes[key];
    throw error;
  } finally {
    includeScope = before;
  }
  if (include.value === undefined && hasOwn(globalThis, name)) include.value = globalThis[name];
  if (include.value === undefined) {
    delete loadedIncludes[key];
    throw new ReferenceError(`the script include ${key} does not define ${name}`);
  }
  include.done = true;
  if (!hasOwn(globalThis, name)) publish(name, include.value);
  homes[name] = scope;
  return include.value;
}

// The include under its scope's name; a global variable of the same name is not touched.
function loadScoped(scope, name) {
  const former = getOwnPropertyDescriptor(globalThis, name);
  const home = homes[name];
  delete globalThis[name];
  try {
    return loadInclude(scope, name, includeScope);
  } finally {
    delete globalThis[name];
    homes[name] = home;
    if (former !== undefined) defineProperty(globalThis, name, former);
  }
}

function scopeObject(scope) {
  return new Proxy({}, {
    get(target, name) {
      if (typeof name === 'symbol' || name in target) return target[name];
      return __host('include.has', [scope, name]) ? loadScoped(scope, name) : undefined;
    },
    has(target, name) {
      return name in target || (typeof name === 'string' && __host('include.has', [scope, name]));
    },
  });
}

// Whether a name means an include of the script's own scope, which hides the global one.
function isOwnInclude(name) {
  const home = homes[name];
  if (home === undefined || home === 'global') return false;
  const present = getOwnPropertyDescriptor(globalThis, name);
  const include = loadedIncludes[`${home}.${name}`];
  return present?.get !== undefined || (include?.done === true && present?.value === include.value);
}

// The global scope by its name; it also has the global script includes that nobody has used yet.
publish('global', new Proxy(globalThis, {
  get(target, name) {
    if (name === 'eval') return __ms_eval;
    if (isOwnInclude(name) && __host('include.has', ['global', name])) return loadScoped('global', name);
    if (typeof name === 'symbol' || name in target) return target[name];
    return __host('include.has', ['global', name]) ? loadInclude('global', name, includeScope) : undefined;
  },
}));

// Scope and application of the script that calls gs, and the scope of who called that.
function scopeHere() {
  const { stack } = new Trace();
  return __host('include.scope', [typeof stack === 'string' ? stack.slice(0, 10000) : '']);
}

function shownScope(scope) { return scope === 'global' ? 'rhino.global' : scope; }

Object.assign(gs, {
  getCurrentScopeName: () => shownScope(scopeHere()[0]),
  getCurrentApplicationId: () => scopeHere()[1],
  getCallerScopeName: () => shownScope(scopeHere()[2]),
});

gs.include = (name) => {
  const path = textOf(name);
  const dot = path.lastIndexOf('.');
  if (dot > 0) {
    const [scope, own] = [path.slice(0, dot), path.slice(dot + 1)];
    return __host('include.has', [scope, own]) && loadScoped(scope, own) !== undefined;
  }
  const found = __host('include.find', [[path], includeScope]);
  if (found.length === 0 || found[0][1] !== 'include') return false;
  if (hasOwn(globalThis, path) && loadedIncludes[`${found[0][2]}.${path}`]?.done) return true;
  delete globalThis[path];
  return loadInclude(found[0][2], path, includeScope) !== undefined;
};
