// GlideHTTPRequest: the old way to call another system, on top of RESTMessageV2.
(function (shared) {
'use strict';
const { Number } = shared.intrinsics;
const { textOf } = shared;
const { RESTMessageV2 } = shared.part('messages');

class GlideHTTPResponse {
  #reply;
  constructor(reply) { this.#reply = reply; }
  getStatusCode() { return this.#reply.getStatusCode(); }
  getBody() { return this.#reply.getBody(); }
  getHeader(name) { return this.#reply.getHeader(name); }
  getHeaders() { return this.#reply.getHeaders(); }
  getAllHeaders() { return this.#reply.getAllHeaders(); }
  getCookies() { return this.#reply.getCookies(); }
  haveError() { return this.#reply.haveError(); }
  getErrorCode() { return this.#reply.getErrorCode(); }
  getErrorMessage() { return this.#reply.getErrorMessage(); }
}

class GlideHTTPRequest {
  #message = new RESTMessageV2();
  constructor(url) { this.#message.setEndpoint(url); }
  addHeader(name, value) { this.#message.setRequestHeader(name, value); }
  addParameter(name, value) { this.#message.setQueryParameter(name, value); }
  setContentType(type) { this.#message.setRequestHeader('Content-Type', type); }
  setBasicAuth(user, password) { this.#message.setBasicAuth(user, password); }
  setFollowRedirect(follows) { if (follows === false) this.#message.setAllowedRedirectURIs([]); }
  setHttpTimeOut(millis) { this.setHttpTimeout(millis); } // as the reference writes it once
  setHttpTimeout(millis) { this.#message.setHttpTimeout(Number(textOf(millis))); }
  setLogLevel(level) { this.#message.setLogLevel(level); }
  #send(method, body) {
    this.#message.setHttpMethod(method);
    if (body !== undefined) this.#message.setRequestBody(body);
    return new GlideHTTPResponse(this.#message.execute());
  }
  get() { return this.#send('get'); }
  post(body) { return this.#send('post', body); }
  put(body) { return this.#send('put', body); }
  patch(body) { return this.#send('patch', body); }
  del() { return this.#send('delete'); }
}

return { GlideHTTPRequest, GlideHTTPResponse };
})
