// Classes that few scripts use: a family is loaded when a script first names one of it. It is a
// function of `shared` that returns its classes by name; see js/classes.
const families = {
  attachments: ['GlideSysAttachment', 'GlideSysAttachmentInputStream', 'GlideTextReader'],
  cmdb: ['sn_cmdb'],
  credentials: ['sn_cc'],
  crypto: [
    'GlideDigest', 'GlideChecksum', 'GlideEncrypter', 'CertificateEncryption',
    'GlideCertificateEncryption', 'GlideSecureRandomUtil',
  ],
  criteria: ['sn_uc', 'GlideCacheManager'],
  dates: ['GlideDateTime', 'GlideDate', 'GlideTime', 'GlideDuration'],
  flows: ['sn_fd'],
  functions: ['GlideDBFunctionBuilder'],
  imports: [
    'GlideImportSetLoader', 'GlideImportSetTransformer', 'GlideImportSetTransformerWorker',
    'GlideImportSetRun', 'GlideImportLog', 'CSVParser', 'sn_impex',
  ],
  java: ['Packages', 'java', 'javax', 'org', 'com'],
  lookups: [
    'GlideChoice', 'GlideChoiceList', 'GlidePluginManager', 'GlideLocale', 'GlideSysTitle', 'GlideJsonPath',
  ],
  messages: ['RESTMessageV2', 'RESTResponseV2', 'SOAPMessageV2', 'SOAPResponseV2', 'sn_ws'],
  queries: ['GlideQuery'],
  requests: ['GlideHTTPRequest'],
  descriptors: ['GlideElementDescriptor'],
  evaluator: ['GlideScopedEvaluator', 'GlideEvaluator', 'GlideUpdateManager2'],
  schedules: ['GlideSchedule', 'DurationCalculator'],
  scheduletimes: ['GlideScheduleDateTime'],
  streams: ['Stream', 'Optional'],
  strings: ['GlideStringUtil', 'ArrayUtil', 'JSUtil', 'JSONParser'],
  tables: ['GlideFilter', 'TableUtils', 'GlideTableHierarchy', 'GlideRecordUtil'],
  users: ['GlideUser', 'GlideSession', 'GlideImpersonate'],
  workbooks: ['GlideExcelParser'],
  xml: ['XMLDocument2', 'XMLDocument', 'XMLHelper', 'GlideXMLUtil'],
};
const loadedParts = create(null);
const shared = create(null);

// Built-ins as they were before any script: a family is evaluated after scripts may have changed them.
function copied(namespace) {
  const copy = create(null);
  for (const name of Object.getOwnPropertyNames(namespace)) copy[name] = namespace[name];
  return freeze(copy);
}

shared.intrinsics = freeze({
  Object: copied(Object), Math: copied(Math), Array: copied(Array), Number, String, Map, Set, WeakMap,
  Error, TypeError, RegExp, Date, Proxy, Int8Array, ArrayBuffer, Boolean, Symbol, decodeURIComponent,
  encodeURIComponent, parseInt,
});

// A class as scripts get it, the same one each time.
const publicClasses = new Map();

function publicClass(value) {
  if (!isClass(value)) return value;
  if (!publicClasses.has(value)) {
    const open = callable(value);
    publicClasses.set(value, open);
    publicClasses.set(open, open);
  }
  return publicClasses.get(value);
}
shared.publicClass = publicClass;

function part(name) {
  return (loadedParts[name] ??= __engine.part(name)(shared));
}

for (const family of Object.keys(families)) {
  for (const name of families[family]) {
    defineProperty(globalThis, name, {
      get() {
        const value = publicClass(part(family)[name]);
        // In a scope that a script froze it stays behind its getter.
        if (getOwnPropertyDescriptor(globalThis, name).configurable) publish(name, value);
        return value;
      },
      set(value) { publish(name, value); },
      configurable: true,
    });
  }
}
