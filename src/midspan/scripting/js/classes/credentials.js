// sn_cc: credentials and connections behind aliases.
(function (shared) {
'use strict';
const { Number, Boolean } = shared.intrinsics;
const { host, textOf, isArray, javaList, parseJson } = shared;
const ALIASES = { user_name: 'user_name', username: 'user_name', ssh_passphrase: 'ssh_passphrase' };

class StandardCredential {
  #held;
  constructor(held) { this.#held = held; }
  getAttribute(name) {
    const { sys_id: id, values, secrets } = this.#held;
    const field = ALIASES[textOf(name)] ?? textOf(name);
    if (secrets.includes(field)) return host('credential.secret', [id, field]);
    return field === 'sys_id' ? id : values[field] || null;
  }
  getAttributeByName(name) { return this.getAttribute(name); }
  getID() { return this.#held.sys_id; }
  getCredentialId() { return this.getAttribute('credential_id'); }
  getName() { return this.getAttribute('name'); }
  getType() { return this.getAttribute('type') ?? this.#held.class; }
  getClassification() { return this.#held.class; }
  getOrder() { return this.getAttribute('order'); }
  getTag() { return this.getAttribute('tag'); }
  hasTag(tag) { return textOf(this.getTag()).split(',').includes(textOf(tag)); }
  getAppliesTo() { return this.getAttribute('applies_to'); }
  getMIDList() { return javaList(textOf(this.getAttribute('mid_list')).split(',').filter(Boolean)); }
  getUsername() { return this.getAttribute('user_name'); }
  getPassword() { return this.getAttribute('password'); }
  getPassPhrase() { return this.getAttribute('ssh_passphrase'); }
  getKey() { return this.getAttribute('ssh_private_key'); }
  getAuthKey() { return this.getAttribute('authentication_key'); }
  getAuthProtocol() { return this.getAttribute('authentication_protocol'); }
  getPrivKey() { return this.getAttribute('privacy_key'); }
  getPrivProtocol() { return this.getAttribute('privacy_protocol'); }
  toString() { return this.getName(); }
  toJSON() { return { sys_id: this.getID(), name: this.getName(), type: this.getType() }; }
}
function credential(held) { return held === null ? null : new StandardCredential(held); }

class StandardCredentialsProvider {
  getCredentials(types, tag) {
    const wanted = types === undefined || types === null ? [] : isArray(types) ? types.map(textOf) : [textOf(types)];
    return javaList(host('credential.find', [wanted, textOf(tag)]).map(credential));
  }
  getCredentialByID(id) { return credential(host('credential.get', [textOf(id)])); }
  getAuthCredentialByID(id) { return this.getCredentialByID(id); }
  getCredentialByAliasID(alias) { return credential(host('credential.ofAlias', [textOf(alias)])); }
}

class Connection {
  #values;
  #credential;
  constructor({ values, credential: held }) {
    this.#values = values;
    this.#credential = credential(held);
  }
  getAttribute(name) { return this.#values[textOf(name)] || null; }
  getCredential() { return this.#credential; }
  getCredentialAttribute(name) { return this.#credential === null ? null : this.#credential.getAttribute(name); }
  getDataMap() { return { ...this.#values }; }
  getExtendedAttributes() {
    const text = this.getAttribute('attributes');
    return text === null ? {} : parseJson(text);
  }
  getName() { return this.getAttribute('name'); }
  getHost() { return this.getAttribute('host'); }
  getPort() { return Number(this.getAttribute('port')) || 0; }
  getProtocol() { return this.getAttribute('protocol'); }
  getConnectionTimeout() { return Number(this.getAttribute('connection_timeout')) || 0; }
  getConnectionRetries() { return Number(this.getAttribute('connection_retries')) || 0; }
  toString() { return this.getName(); }
}

class ConnectionInfoProvider {
  getConnectionInfo(alias) { return this.getConnectionInfoList(alias)[0] ?? null; }
  getConnectionInfoByDomain(alias) { return this.getConnectionInfo(alias); }
  getConnectionInfoList(alias) {
    return javaList(host('connection.list', [textOf(alias)]).map((held) => new Connection(held)));
  }
  getConnectionInfoListByDomain(alias) { return this.getConnectionInfoList(alias); }
}

return {
  sn_cc: {
    StandardCredentialsProvider, StandardCredential, Connection, ConnectionInfoProvider,
    ConnectionProvider: ConnectionInfoProvider,
  },
};
})
