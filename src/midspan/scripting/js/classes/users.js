// GlideUser, GlideSession, GlideImpersonate.
(function (shared) {
'use strict';
const { Object, Array, Error } = shared.intrinsics;
const { host, textOf, javaList, sessionInfo, forgetSession, publicRecord } = shared;
const { gs } = shared;
const clientData = Object.create(null);

class GlideUser {
  #id;
  #values;
  #rights;
  #session = false;

  constructor(values) {
    this.#id = values === null || values === undefined ? '' : values.sys_id;
    this.#values = values;
  }

  #value(name) {
    if (this.#values === undefined) this.#values = host('user.find', [this.#id, 'sys_id']);
    return this.#values === null ? '' : this.#values[name] ?? '';
  }
  get #held() { return (this.#rights ??= host('user.rights', [this.#id])); }
  get #isCurrent() { return this.#session || (this.#id !== '' && this.#id === sessionInfo().user_id); }

  static session() {
    const user = new GlideUser(undefined);
    user.#session = true;
    user.#id = sessionInfo().user_id;
    user.#rights = sessionInfo();
    return user;
  }
  static getCurrentUser() { return GlideUser.session(); }
  static getUser(value) { return userOf(value); }
  static getUserByID(value) { return userOf(value); }
  static getUserByEmail(email) { return new GlideUser(host('user.find', [textOf(email), 'email'])); }
  static getSysIdByEmail(email) { return GlideUser.getUserByEmail(email).getID() || null; }
  static getSysId(field, value) {
    const found = host('user.find', [textOf(value), textOf(field) === 'email' ? 'email' : 'any']);
    return found === null ? null : found.sys_id;
  }
  static resolveSysId(value) { return userOf(value).getID() || null; }
  static resolveNameFromLoginName(name) { return userOf(name).getFullName() || null; }
  static resolveNameFromSysID(id) { return userOf(id).getFullName() || null; }
  static getMyGroups(value) { return userOf(value).getMyGroups(); }
  static getSysTimeZone() { return sessionInfo().system_zone; }
  static isLockedOut(value) { return userOf(value).#value('locked_out') === 'true'; }
  static isWebSvcAccessOnly(value) {
    return userOf(value).#value('web_service_access_only') === 'true';
  }

  exists() { return this.#isCurrent || this.#value('sys_id') !== ''; }
  getID() { return this.#id; }
  getName() { return this.#isCurrent ? sessionInfo().user_name : this.#value('user_name'); }
  getUserName() { return this.getName(); }
  getDisplayName() { return this.getFullName(); }
  getFullName() { return this.#isCurrent ? sessionInfo().name : this.#value('name'); }
  getFirstName() { return this.#value('first_name'); }
  getLastName() { return this.#value('last_name'); }
  getInitials() {
    return [this.getFirstName(), this.getLastName()].map((name) => name.slice(0, 1)).join('');
  }
  getEmail() { return this.#value('email'); }
  getTitle() { return this.#value('title'); }
  getBusinessNumber() { return this.#value('phone'); }
  getMobileNumber() { return this.#value('mobile_phone'); }
  getAvatar() { return this.#value('avatar'); }
  getCountry() { return this.#value('country'); }
  getCompanyID() { return this.#value('company'); }
  getCompanyRecord() { return publicRecord('core_company', this.getCompanyID()); }
  getDepartmentID() { return this.#value('department'); }
  getManagerID() { return this.#value('manager'); }
  getManagerName() { return this.#value('manager_name'); }
  getLocation() { return this.#value('location'); }
  getDomainID() { return this.#value('sys_domain') || 'global'; }
  getDomainDisplayValue() { return this.getDomainID(); }
  getLanguage() { return this.#value('preferred_language') || sessionInfo().language; }
  getRecord() { return publicRecord('sys_user', this.#id); }
  getTZ() {
    if (this.#isCurrent) return sessionInfo().time_zone;
    return this.#value('time_zone') || sessionInfo().system_zone;
  }
  getTimeZoneLabel() { return this.getTZ(); }
  getDateFormat() {
    return this.#isCurrent ? sessionInfo().date_format : this.#value('date_format') || 'yyyy-MM-dd';
  }
  getTimeFormat() {
    return this.#isCurrent ? sessionInfo().time_format : this.#value('time_format') || 'HH:mm:ss';
  }
  getDateTimeFormat() { return `${this.getDateFormat()} ${this.getTimeFormat()}`; }

  hasRole(names) {
    const held = this.#held;
    const wanted = Array.isArray(names) ? names.map(textOf) : textOf(names).split(',');
    return held.all_roles || wanted.some((name) => held.roles.includes(name.trim()));
  }
  hasAssignedRole(name) { return this.#held.roles.includes(textOf(name)); }
  hasRoles() { return this.#held.roles.length > 0; }
  getRoles() { return javaList(this.#held.roles); }
  // Those that were given to the user himself: no inherited ones, none of groups.
  getUserRoles() { return javaList(host('user.granted', [this.#id])); }
  getAllRoles() { return Array.from(this.#held.roles); }
  getMyGroups() { return javaList(this.#held.groups); }
  getMyExplicitGroups() { return this.getMyGroups(); }
  getManagedGroups() { return javaList(host('user.groups', [this.#id])); }
  isMemberOf(group) {
    const wanted = textOf(group);
    if (wanted === '') return false;
    if (this.#held.groups.includes(wanted)) return true;
    return this.#held.groups.some((id) => publicRecord('sys_user_group', id).getValue('name') === wanted);
  }
  isExplicitMemberOf(group) { return this.isMemberOf(group); }
  isReadOnlyUser() { return false; }

  // Preferences are the session user's own; those of others are not for scripts.
  #own() {
    if (!this.#isCurrent) throw new Error('Preferences can only be used for the session user');
  }
  getPreference(name) {
    this.#own();
    return host('user.preference', [textOf(name)]);
  }
  savePreference(name, value) {
    this.#own();
    host('user.setPreference', [textOf(name), textOf(value)]);
  }
  setPreference(name, value) { this.savePreference(name, value); }
  savePreferences() { return undefined; }
  setPreferencesLoaded() { return undefined; }

  // The user of an id or login name; also reached as gs.getUser().getUserByID(id).
  getUserByID(value) { return userOf(value); }
  getUser(value) { return userOf(value); }
  toString() { return this.getID(); }
  toJSON() { return this.getID(); }
}

function userOf(value) { return new GlideUser(host('user.find', [textOf(value), 'any'])); }
function currentUser() { return GlideUser.session(); }

class GlideSession {
  static get() { return currentSession(); }

  getClientData(name) { return clientData[textOf(name)] ?? null; }
  putClientData(name, value) { clientData[textOf(name)] = textOf(value); }
  clearClientData(name) { delete clientData[textOf(name)]; }
  getClientDataMap() { return { ...clientData }; }
  getProperty(name) { return clientData[`property ${textOf(name)}`] ?? null; }
  putProperty(name, value) { clientData[`property ${textOf(name)}`] = textOf(value); }
  clearProperty(name) { delete clientData[`property ${textOf(name)}`]; }
  getBooleanProperty(name, otherwise = false) {
    const value = this.getProperty(name);
    return value === null ? otherwise : value === 'true';
  }
  getLanguage() { return currentUser().getLanguage(); }
  getTimeZoneName() { return sessionInfo().time_zone; }
  getTimeZone() { return new (shared.part('dates').TimeZone)(shared.part('dates').userZone()); }
  getTimeZoneShortName() { return gs.nowGlideDateTime().getByFormat('z'); }
  getDateFormat() { return sessionInfo().date_format; }
  getTimeFormat() { return sessionInfo().time_format; }
  getDateTimeFormat() { return gs.getDateTimeFormat(); }
  getClientIP() { return host('rest.address', []); } // of a request, in the script that answers it
  getSessionID() { return sessionInfo().id; }
  getSessionToken() { return null; }
  getUser() { return currentUser(); }
  getUserID() { return sessionInfo().user_id; }
  getUserName() { return sessionInfo().user_name; }
  getFullName() { return sessionInfo().name; }
  getUID() { return sessionInfo().user_id; }
  getRoles() { return sessionInfo().roles.join(','); }
  hasRole(names) { return gs.hasRole(names); }
  isLoggedIn() { return gs.isLoggedIn(); }
  isInteractive() { return false; }
  isImpersonating() { return sessionInfo().user_id !== firstUser; }
  isLockedOut() { return false; }
  getUrlOnStack() { return null; }
  getURI() { return ''; }
  getCurrentApplicationId() { return gs.getCurrentApplicationId(); }
  getCurrentDomainID() { return 'global'; }
  setStrictQuery() { return undefined; }
  loadUserByID(id) { return userOf(id); }
  impersonate(id) { return impersonate(id); }
  onlineImpersonate(id) { return impersonate(id); }
  onlineUnimpersonate() { return impersonate(firstUser); }
  addErrorMessage(message) { gs.addErrorMessage(message); }
  addInfoMessage(message) { gs.addInfoMessage(message); }
  addSuccessMessage(message) { gs.addSuccessMessage(message); }
  addWarningMessage(message) { gs.addWarningMessage(message); }
  addHighMessage(message) { gs.addHighMessage(message); }
  addModerateMessage(message) { gs.addModerateMessage(message); }
  addLowMessage(message) { gs.addLowMessage(message); }
  toString() { return this.getSessionID(); }
}

const theSession = new GlideSession();
const firstUser = sessionInfo().user_id;

function currentSession() { return theSession; }

// Who acts as the user of the session, null when that is the user himself.
function impersonator() { return theSession.isImpersonating() ? userOf(firstUser) : null; }

function impersonate(id) {
  const target = textOf(id);
  const before = host('user.impersonate', [target]);
  forgetSession();
  return before;
}

class GlideImpersonate {
  canImpersonate(id) { return host('user.canImpersonate', [textOf(id)]); }
  impersonate(id) { return impersonate(id); }
  isImpersonating() { return theSession.isImpersonating(); }
}

return { GlideUser, GlideSession, GlideImpersonate, userOf, currentUser, currentSession, impersonator };
})
