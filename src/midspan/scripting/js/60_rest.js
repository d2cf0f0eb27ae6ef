// Scripted REST: request, response and the errors a resource may answer with.
const ERROR_MARK = '\u0000sn_ws_err';
const ERRORS = {
  BadRequestError: [400, 'Bad Request'],
  UnauthorizedError: [401, 'Unauthorized'],
  ForbiddenError: [403, 'Forbidden'],
  NotFoundError: [404, 'Not Found'],
  NotAcceptableError: [406, 'Not Acceptable'],
  ConflictError: [409, 'Conflict'],
  UnsupportedMediaTypeError: [415, 'Unsupported Media Type'],
};

class RestError extends Error {
  constructor(status, message) {
    super(message);
    defineProperty(this, STATE, { value: { status, detail: '' } });
  }
  setStatus(status) { this[STATE].status = Number(status) || 0; }
  setMessage(message) { this.message = textOf(message); }
  setDetail(detail) { this[STATE].detail = textOf(detail); }
  getStatus() { return this[STATE].status; }
  getMessage() { return this.message; }
  getDetail() { return this[STATE].detail; }
  // At the top of an answer it is the answer; inside one it is data.
  toJSON(key) {
    const shown = { message: this.message, detail: this[STATE].detail };
    return key === '' ? { [ERROR_MARK]: { ...shown, status: this[STATE].status } } : shown;
  }
}

// A class that may be called without `new`.
function errorClass(name, status, otherwise) {
  function ErrorClass(message) {
    const error = new RestError(status, message === undefined ? otherwise : textOf(message));
    Object.setPrototypeOf(error, ErrorClass.prototype);
    return error;
  }
  ErrorClass.prototype = create(RestError.prototype, {
    constructor: { value: ErrorClass, writable: true, configurable: true },
    name: { value: name, writable: true, configurable: true },
  });
  defineProperty(ErrorClass, 'name', { value: name });
  return ErrorClass;
}

const errorClasses = { ServiceError: errorClass('ServiceError', 500, '') };
for (const name of Object.keys(ERRORS)) errorClasses[name] = errorClass(name, ...ERRORS[name]);
publish('sn_ws_err', errorClasses);

function refuseJson(name) {
  return () => { throw new TypeError(`The ${name} object cannot be part of a response`); };
}

function hidden(object, name, value) {
  return defineProperty(object, name, { value, writable: true, configurable: true });
}

// A stream that scripts hand on unread: the host knows what it stands for. Kinds are request,
// attachment (with id), text (with text) and bytes (with an array of numbers).
function makeStream(source, text) {
  const stream = {
    close() {},
    toString: () => (text === undefined ? __host('stream.text', [source]) : text()),
  };
  return defineProperty(stream, STATE, { value: { stream: source } });
}

function streamSource(value) {
  const source = value === null || value === undefined ? undefined : value[STATE]?.stream;
  if (source !== undefined) return source;
  const isBytes = isArray(value) && value.every((byte) => typeof byte === 'number');
  return isBytes ? { kind: 'bytes', bytes: Array.from(value) } : { kind: 'text', text: textOf(value) };
}

function requestBody(raw) {
  const body = {
    dataString: raw.text,
    dataStream: makeStream({ kind: 'request' }, () => raw.text),
    hasNext() { return position < entries().length; },
    nextEntry() { return entries()[position++]; },
  };
  let position = 0;
  let parsed;
  let done = false;
  function data() {
    if (!done) {
      parsed = parseBody(raw);
      done = true;
    }
    return parsed;
  }
  function entries() {
    const value = data();
    return isArray(value) ? value : value === null || value === undefined ? [] : [value];
  }
  return defineProperty(body, 'data', { get: data, enumerable: true, configurable: true });
}

function parseBody(raw) {
  if (raw.problem) throw new errorClasses.BadRequestError(raw.problem);
  if (raw.text === '') return null;
  if (raw.kind === 'xml') return raw.data;
  if (raw.kind === 'other') throw new Error(`Content type ${raw.type} is read with dataStream`);
  try {
    return parseJson(raw.text);
  } catch (error) {
    throw new errorClasses.BadRequestError(`The body is not JSON: ${error.message}`);
  }
}

// Header names are looked up without regard to case.
function headerObject(headers) {
  const byLower = create(null);
  for (const name of Object.keys(headers)) byLower[name.toLowerCase()] = headers[name];
  return new Proxy(headers, {
    get(target, key) {
      return typeof key === 'string' && !(key in target) ? byLower[key.toLowerCase()] : target[key];
    },
    has(target, key) {
      return key in target || (typeof key === 'string' && key.toLowerCase() in byLower);
    },
  });
}

function makeRequest(sent) {
  const headers = headerObject(sent.headers);
  const request = {
    body: requestBody(sent.body),
    pathParams: sent.path_params,
    queryParams: sent.query_params,
    queryString: sent.query_string,
    uri: sent.uri,
    url: sent.url,
    headers,
    getHeader: (name) => headers[textOf(name)] ?? null,
    getSupportedResponseContentTypes: () => sent.accept,
    getRequestedQueryCategory: () => sent.query_params.sysparm_query_category?.[0] ?? null,
  };
  return hidden(request, 'toJSON', refuseJson('request'));
}

function tell(name, ...args) {
  __host(`rest.${name}`, args);
}

const writer = {
  writeString: (text) => tell('write', textOf(text)),
  writeStream: (stream) => tell('copy', streamSource(stream)),
};

function makeResponse() {
  const response = {
    setStatus: (status) => tell('status', Math.trunc(Number(firstOf(status))) || 0),
    setBody(value) {
      const text = toJsonText(value);
      tell('body', text === undefined ? null : text);
    },
    setHeader: (name, value) => tell('header', textOf(name), textOf(value)),
    setHeaders(headers) {
      for (const name of Object.keys(headers)) tell('header', name, textOf(headers[name]));
    },
    setContentType: (type) => tell('type', textOf(type)),
    setLocation: (uri) => tell('header', 'Location', textOf(uri)),
    setError(error) {
      const shown = parseJson(toJsonText(error) ?? 'null');
      tell('error', shown?.[ERROR_MARK] ?? { message: textOf(error), detail: '', status: 500 });
    },
    getStreamWriter() {
      tell('stream');
      return { ...writer };
    },
  };
  return hidden(response, 'toJSON', refuseJson('response'));
}

const call = create(null);

function restObject(name) {
  if (call[name] === undefined) {
    const sent = __host('rest.open', []);
    if (sent === null) return undefined;
    call.request = makeRequest(sent);
    call.response = makeResponse();
  }
  return call[name];
}

lazily('request', restObject);
lazily('response', restObject);

// The envelope of a SOAP call as a tree, made when a script first asks for it.
lazily('soapRequestDocument', () => {
  if (call.envelope === undefined && typeof globalThis.soapRequestXML === 'string') {
    call.envelope = new (part('xml').XMLDocument)(globalThis.soapRequestXML);
  }
  return call.envelope;
});
