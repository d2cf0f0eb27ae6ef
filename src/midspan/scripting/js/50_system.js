// gs: who runs the script, properties, logs, messages, dates as texts, encodings.
let session;

function sessionInfo() {
  return (session ??= __host('gs.session', []));
}

function filled(message, args) {
  const values = args.length === 1 && isArray(args[0]) ? args[0] : args;
  return logText(message).replace(/\{(\d+)\}/g, (mark, index) => (
    index < values.length ? logText(values[index]) : mark
  ));
}

function logText(value) {
  return isArray(value) ? value.map(logText).join(',') : String(value);
}

const Trace = Error;

// A line of the log, with the stack that tells the place it comes from, and a source of its own.
function writeLog(level, text, source) {
  const { stack } = new Trace();
  __host('log', [level, text, typeof stack === 'string' ? stack.slice(0, 1000) : '', textOf(source)]);
}

function logger(level) {
  return function (message, ...args) { writeLog(level, filled(message, args)); };
}

// Messages of the session by bucket; `error` and `info` are what people see.
const messages = { __proto__: null, error: [], info: [] };

function addMessage(bucket, message) {
  const list = (messages[bucket] ??= []);
  if (list.length < 1000) list.push(logText(message));
}

function messagesIn(bucket) { return javaList(messages[bucket] ?? []); }

function hasRole(names) {
  const { roles, all_roles } = sessionInfo();
  const wanted = isArray(names) ? names.map(textOf) : textOf(names).split(',');
  return all_roles || wanted.some((name) => roles.includes(name.trim()));
}

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

function bytesOf(text) {
  const bytes = [];
  for (const part of encodeURIComponent(text).matchAll(/%([0-9A-F]{2})|[^%]/g)) {
    bytes.push(part[1] === undefined ? part[0].charCodeAt(0) : parseInt(part[1], 16));
  }
  return bytes;
}

function base64(bytes) {
  let out = '';
  for (let at = 0; at < bytes.length; at += 3) {
    const three = (bytes[at] << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
    const left = bytes.length - at;
    out += BASE64[three >> 18] + BASE64[(three >> 12) & 63];
    out += (left > 1 ? BASE64[(three >> 6) & 63] : '=') + (left > 2 ? BASE64[three & 63] : '=');
  }
  return out;
}

// The bytes behind base64 text; blanks and the alphabet of URLs are accepted.
function bytesOfBase64(text) {
  const bytes = [];
  let bits = 0;
  let held = 0;
  for (const character of text.replace(/[\s=]/g, '').replaceAll('-', '+').replaceAll('_', '/')) {
    const digit = BASE64.indexOf(character);
    if (digit < 0) throw new Error('The text is not base64');
    held = ((held << 6) | digit) & 0xffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes.push((held >> bits) & 255);
    }
  }
  return bytes;
}

// Bytes read as UTF-8; those that are not are taken one character each.
function textOfBytes(bytes) {
  try {
    return decodeURIComponent(bytes.map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join(''));
  } catch {
    return bytes.map((byte) => String.fromCharCode(byte)).join('');
  }
}

function fromBase64(text) { return textOfBytes(bytesOfBase64(text)); }

function preference(name, otherwise) {
  const value = __host('user.preference', [textOf(name)]);
  return value === null ? (otherwise === undefined ? null : otherwise) : value;
}

const CompilesText = Function; // compiles when it is constructed, and runs nothing

const gs = {
  // The log
  info: logger('info'),
  warn: logger('warning'),
  error: logger('error'),
  debug: logger('debug'),
  log: (message, source) => writeLog('info', logText(message), source),
  logWarning: (message, source) => writeLog('warning', logText(message), source),
  logError: (message, source) => writeLog('error', logText(message), source),
  print: (message) => writeLog('info', logText(message)),
  isDebugging: () => false,

  // Values, properties, preferences
  nil: (value) => textOf(value) === '',
  getProperty(name, otherwise) {
    const value = __host('gs.property', [textOf(name)]);
    return value === null ? (otherwise === undefined ? null : otherwise) : value;
  },
  getPropertySecured: (name, otherwise) => gs.getProperty(name, otherwise),
  getEscapedPropertySecured: (name, otherwise) => gs.getEscapedProperty(name, otherwise),
  getEscapedProperty(name, otherwise) {
    const value = gs.getProperty(name, otherwise);
    return value === null ? null : escapeHtml(textOf(value));
  },
  setProperty(name, value, description) {
    if (textOf(name) === '') throw new Error("A property needs a name: gs.setProperty('x_acme.name', value)");
    __host('gs.setProperty', [textOf(name), textOf(value), textOf(description)]);
  },
  getPreference: preference,
  getBooleanPreference: (name, otherwise) => textOf(preference(name, otherwise)) === 'true',
  getNumericPreference: (name, otherwise) => Number(preference(name, otherwise)) || 0,
  generateGUID: () => __host('gs.guid', []),
  sleep: (millis) => { __host('gs.sleep', [Number(millis) || 0]); },

  // Who it is
  getUserID: () => sessionInfo().user_id,
  userID: () => sessionInfo().user_id,
  user_id: () => sessionInfo().user_id,
  user: () => sessionInfo().user_name,
  getUserName: () => sessionInfo().user_name,
  getUserDisplayName: () => sessionInfo().name,
  getUserNameByUserID: (id) => part('users').userOf(id).getName(),
  getUser: () => part('users').currentUser(),
  hasRole,
  hasRoleInGroup(role, group) {
    return hasRole(role) && sessionInfo().groups.includes(textOf(group));
  },
  getSession: () => part('users').currentSession(),
  getSessionID: () => sessionInfo().id,
  getImpersonatingUserDisplayName: () => part('users').impersonator()?.getDisplayName() ?? null,
  getImpersonatingUserID: () => part('users').impersonator()?.getID() ?? null,
  getImpersonatingUserName: () => part('users').impersonator()?.getName() ?? null,
  isInteractive: () => false,
  isInteractiveSession: () => false,
  isLoggedIn: () => sessionInfo().user_name !== 'guest',
  isMobile: () => false,

  // Messages to the user
  addInfoMessage: (message) => addMessage('info', message),
  addInfoMessageNoSanitization: (message) => addMessage('info', message),
  addSuccessMessage: (message) => addMessage('info', message),
  addErrorMessage: (message) => addMessage('error', message),
  addErrorMessageNoSanitization: (message) => addMessage('error', message),
  addWarningMessage: (message) => addMessage('warning', message),
  addHighMessage: (message) => addMessage('high', message),
  addModerateMessage: (message) => addMessage('moderate', message),
  addLowMessage: (message) => addMessage('low', message),
  addTrivialMessage: (message) => addMessage('trivial', message),
  addMessage: (bucket, message) => addMessage(textOf(bucket), message),
  getInfoMessages: () => messagesIn('info'),
  getErrorMessages: () => messagesIn('error'),
  getTrivialMessages: () => messagesIn('trivial'),
  getMessages: (bucket) => messagesIn(textOf(bucket)),
  hasMessages: (bucket) => (bucket === undefined
    ? Object.keys(messages).some((name) => messages[name].length > 0)
    : messagesIn(textOf(bucket)).length > 0),
  flushMessages() { for (const name of Object.keys(messages)) messages[name].length = 0; },
  flushAccessMessages: () => undefined,
  getMessage: (key, ...args) => filled(__host('gs.message', [textOf(key), '']), args),
  getMessageS: (key, ...args) => gs.getMessage(key, ...args).replaceAll("'", "\\'"),
  getMessageLang: (key, language, ...args) => (
    filled(__host('gs.message', [textOf(key), textOf(language)]), args)
  ),
  getEscapedMessage: (key, ...args) => escapeHtml(gs.getMessage(key, ...args)),

  // The dictionary
  tableExists: (name) => describe(textOf(name)) !== null,
  fieldExists(table, field) {
    const described = describe(textOf(table));
    return described !== null && described.fields[textOf(field)] !== undefined;
  },
  getDisplayColumn(name) {
    const table = describe(textOf(name));
    return table === null ? null : table.display;
  },
  getDisplayValueFor(table, id, field) {
    const record = new GlideRecord(table);
    return record.get(textOf(id)) ? record.getDisplayValue(textOf(field)) : null;
  },
  isDatabaseView: () => false,

  // Encodings
  urlEncode: (text) => encodeURIComponent(textOf(text)).replace(/%20/g, '+'),
  urlDecode: (text) => decodeURIComponent(textOf(text).replace(/\+/g, ' ')),
  base64Encode: (text) => base64(bytesOf(textOf(text))),
  base64Decode: (text) => fromBase64(textOf(text)),
  escaper: (text) => textOf(text).replace(/[\\'"]/g, '\\$&').replace(/\n/g, '\\n'),
  xmlToJSON: (text) => part('xml').xmlToObject(textOf(text)),
  getXMLText: (text, path) => part('xml').textAt(textOf(text), textOf(path)),

  // The application
  include: () => undefined,
  getCurrentApplicationName: () => 'Global',
  getCurrentApplicationScope: () => 'global',
  isCurrentApplicationInGlobalScope: () => true,
  getNodeID: () => sessionInfo().node,
  getSystemID: () => sessionInfo().node,
  isCurrentApplicationCustom: () => false,
  isCurrentApplicationCrossScopeProtected: () => false,
  isScopedApp: () => false,
  isScopedAdminApp: () => false,
  isScopeAdminForAnyApp: () => false,
  isTableInScope: (table) => gs.tableExists(table),
  isValidScript: (text) => gs.getScriptError(text) === null,
  // What is wrong with the text of a script, or null; it is not run.
  getScriptError(text) {
    try {
      return new CompilesText(textOf(text)) && null;
    } catch (error) {
      return error.message;
    }
  },
  generateURL: (table, id) => `${textOf(table)}.do?sys_id=${textOf(id)}`,
  getSessionToken: () => null,
  getAccessMessages: () => javaList([]),
  flushStatus: () => undefined,
  suppressTextIndex: () => false,
  suppressUpdateSynch: () => false,
  setTrackMetadataDeletes: () => false,
  setCleaningDemoData: () => undefined,
  isCleaningDemoData: () => false,
  isEdgeEncryptedSession: () => false,
  isSessionScopeDebugging: () => false,
  isUpgradeDebuggerEnabled: () => false,
  isPausedForAtfPerformance: () => false,
  statsThisSessionThreshold: () => undefined,
  updateUserRoles: () => undefined,
  getMaxSchemaNameLength: () => 80,
  isESLatest: () => true,

  // What only matters in a browser, or to caches that are not there
  setRedirect: () => undefined,
  setReturn: () => undefined,
  getUrlOnStack: () => null,
  workflowFlush: () => undefined,
  cacheFlush: () => undefined,
  invalidateCache: () => undefined,
  trace: () => undefined,
  isPaused: () => false,
};

publish('gs', gs);

// Methods that few scripts use are made when one asks for a name that gs itself does not have.
// A maker gets the object that they go into.
const rareMakers = [];

function withRare(methods) {
  for (let at = 0; at < rareMakers.length; at++) rareMakers[at](methods);
  rareMakers.length = 0;
  return methods;
}

Object.setPrototypeOf(gs, new Proxy({}, {
  get: (methods, name) => (typeof name === 'symbol' ? methods[name] : withRare(methods)[name]),
  has: (methods, name) => name in withRare(methods),
  ownKeys: (methods) => ownKeys(withRare(methods)),
  getOwnPropertyDescriptor: (methods, name) => getOwnPropertyDescriptor(withRare(methods), name),
}));
