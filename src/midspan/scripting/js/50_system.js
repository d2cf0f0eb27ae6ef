// gs: who runs the script, properties, logs, encodings.
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

function logger(level) {
  return function (message, ...args) { __host('log', [level, filled(message, args)]); };
}

const messages = { error: [], info: [] };

const userMethods = {
  getID: () => sessionInfo().user_id,
  getName: () => sessionInfo().user_name,
  getUserName: () => sessionInfo().user_name,
  getDisplayName: () => sessionInfo().name,
  getFullName: () => sessionInfo().name,
  getRoles: () => javaList(sessionInfo().roles),
  getUserRoles: () => javaList(sessionInfo().roles),
  getMyGroups: () => javaList(sessionInfo().groups),
  hasRole: (names) => gs.hasRole(names),
  isMemberOf: (group) => sessionInfo().groups.includes(textOf(group)),
};

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

function bytesOf(text) {
  const bytes = [];
  for (const part of encodeURIComponent(text).matchAll(/%([0-9A-F]{2})|[^%]/g)) {
    bytes.push(part[1] === undefined ? part[0].charCodeAt(0) : parseInt(part[1], 16));
  }
  return bytes;
}

function base64(text) {
  const bytes = bytesOf(text);
  let out = '';
  for (let at = 0; at < bytes.length; at += 3) {
    const three = (bytes[at] << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
    const left = bytes.length - at;
    out += BASE64[three >> 18] + BASE64[(three >> 12) & 63];
    out += (left > 1 ? BASE64[(three >> 6) & 63] : '=') + (left > 2 ? BASE64[three & 63] : '=');
  }
  return out;
}

function fromBase64(text) {
  let bits = 0;
  let held = 0;
  let percent = '';
  for (const character of text.replace(/[\s=]/g, '')) {
    const digit = BASE64.indexOf(character);
    if (digit < 0) throw new Error('The text is not base64');
    held = ((held << 6) | digit) & 0xffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      percent += `%${((held >> bits) & 255).toString(16).padStart(2, '0')}`;
    }
  }
  try {
    return decodeURIComponent(percent);
  } catch {
    return unescape(percent);
  }
}

const gs = {
  info: logger('info'),
  warn: logger('warning'),
  error: logger('error'),
  debug: logger('debug'),
  log: (message) => __host('log', ['info', logText(message)]),
  logWarning: (message) => __host('log', ['warning', logText(message)]),
  logError: (message) => __host('log', ['error', logText(message)]),
  print: (message) => __host('log', ['info', logText(message)]),
  isDebugging: () => false,
  nil: (value) => textOf(value) === '',
  getProperty(name, otherwise) {
    const value = __host('gs.property', [textOf(name)]);
    return value === null ? (otherwise === undefined ? null : otherwise) : value;
  },
  setProperty: (name, value) => { __host('gs.setProperty', [textOf(name), textOf(value)]); },
  getUserID: () => sessionInfo().user_id,
  userID: () => sessionInfo().user_id,
  getUserName: () => sessionInfo().user_name,
  getUserDisplayName: () => sessionInfo().name,
  getUser: () => ({ ...userMethods }),
  hasRole(names) {
    const { roles, all_roles } = sessionInfo();
    return all_roles || textOf(names).split(',').some((name) => roles.includes(name.trim()));
  },
  getSession: () => ({
    isLoggedIn: () => gs.isLoggedIn(),
    isInteractive: () => false,
    getUserID: () => gs.getUserID(),
    getUserName: () => gs.getUserName(),
    hasRole: (names) => gs.hasRole(names),
    getLanguage: () => 'en',
  }),
  getSessionID: () => sessionInfo().id,
  isInteractive: () => false,
  isLoggedIn: () => sessionInfo().user_name !== 'guest',
  isMobile: () => false,
  addInfoMessage: (message) => { messages.info.push(logText(message)); },
  addSuccessMessage: (message) => { messages.info.push(logText(message)); },
  addErrorMessage: (message) => { messages.error.push(logText(message)); },
  getInfoMessages: () => javaList(messages.info),
  getErrorMessages: () => javaList(messages.error),
  flushMessages() {
    messages.info.length = 0;
    messages.error.length = 0;
  },
  now: () => __host('gs.now', ['date']),
  nowDateTime: () => __host('gs.now', ['display']),
  nowNoTZ: () => __host('gs.now', ['internal']),
  getMessage: (key, ...args) => filled(key, args),
  generateGUID: () => __host('gs.guid', []),
  tableExists: (name) => describe(textOf(name)) !== null,
  getDisplayColumn(name) {
    const table = describe(textOf(name));
    return table === null ? null : table.display;
  },
  urlEncode: (text) => encodeURIComponent(textOf(text)).replace(/%20/g, '+'),
  urlDecode: (text) => decodeURIComponent(textOf(text).replace(/\+/g, ' ')),
  base64Encode: (text) => base64(textOf(text)),
  base64Decode: (text) => fromBase64(textOf(text)),
  include: () => undefined,
  getCurrentScopeName: () => 'rhino.global',
  getCallerScopeName: () => null,
  getCurrentApplicationId: () => 'global',
  getPreference: (name, otherwise) => (otherwise === undefined ? null : otherwise),
};

publish('gs', gs);
