// GlideDigest, GlideChecksum, GlideEncrypter, CertificateEncryption, GlideSecureRandomUtil.
// All of it happens in the instance; keys never come here.
(function (shared) {
'use strict';
const { Object, Math, Number, Error } = shared.intrinsics;
const { host, textOf, bytesOfBase64, part } = shared;
const { isFieldObject } = shared;

function hexOf(text) {
  return bytesOfBase64(text).map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
function digest(algorithm, text) { return host('crypto.digest', [algorithm, textOf(text)]); }
function digestStream(algorithm, stream) {
  return host('attachment.digest', [part('attachments').streamId(stream), algorithm]);
}

class GlideDigest {
  static {
    const make = (name, method) => {
      Object.defineProperty(this.prototype, name, { value: method, writable: true, configurable: true });
    };
    for (const algorithm of ['MD5', 'SHA1', 'SHA256']) {
      const name = algorithm.toLowerCase();
      make(`get${algorithm}Hex`, (text) => hexOf(digest(name, text)));
      make(`get${algorithm}Base64`, (text) => digest(name, text));
      make(`get${algorithm}HexFromInputStream`, (stream) => hexOf(digestStream(name, stream)));
      make(`get${algorithm}Base64FromInputStream`, (stream) => digestStream(name, stream));
      make(`${name}_digest`, (text) => hexOf(digest(name, text)));
    }
  }
}

class GlideChecksum {
  #text;
  constructor(text) { this.#text = textOf(text); }
  get() { return this.getMD5(); }
  getMD5() { return hexOf(digest('md5', this.#text)); }
  getSHA1() { return hexOf(digest('sha1', this.#text)); }
  getSHA256() { return hexOf(digest('sha256', this.#text)); }
}

class GlideEncrypter {
  #key;
  constructor(key) { this.#key = textOf(key); }
  encrypt(text) { return host('crypto.encrypt', [textOf(text), this.#key]); }
  // A field of an encrypted type is opened as what it is.
  decrypt(value) {
    if (isFieldObject(value) && value.getED().getInternalType() === 'password2') {
      return value.getDecryptedValue();
    }
    return host('crypto.decrypt', [textOf(value), this.#key]);
  }
  reencrypt(value) { return this.encrypt(this.decrypt(value)); }
}

class CertificateEncryption {
  static generateMac(key, algorithm, data) {
    return host('crypto.mac', [textOf(key), textOf(algorithm), textOf(data)]);
  }
  static getThumbPrint(id, algorithm) {
    return host('crypto.thumbprint', [textOf(id), textOf(algorithm)]);
  }
  // The alias is not looked at: a PKCS #12 file holds one key.
  static sign(id, alias, password, algorithm, data) {
    return host('crypto.sign', [textOf(id), textOf(password), textOf(algorithm), textOf(data)]);
  }
  generateMac(...args) { return CertificateEncryption.generateMac(...args); }
  getThumbPrint(...args) { return CertificateEncryption.getThumbPrint(...args); }
  sign(...args) { return CertificateEncryption.sign(...args); }
}

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
function randomBits(bytes) {
  return host('crypto.random', [bytes]).reduce((number, byte) => number * 256 + byte, 0);
}

class GlideSecureRandomUtil {
  static getSecureRandomInt() { return randomBits(4) | 0; }
  static getSecureRandomIntBound(bound) {
    const limit = Math.trunc(Number(bound));
    if (!(limit > 0 && limit <= 2147483648)) throw new Error('The bound has to be a positive integer');
    const even = 281474976710656 - 281474976710656 % limit; // so that every number is as likely
    let number = randomBits(6);
    while (number >= even) number = randomBits(6);
    return number % limit;
  }
  static getSecureRandomLong() { return randomBits(7) % 9007199254740992; }
  static getSecureRandomString(length) {
    const wanted = Math.trunc(Number(length));
    let text = '';
    while (text.length < wanted) {
      for (const byte of host('crypto.random', [Math.min(wanted - text.length, 2048) + 8])) {
        if (byte < 248 && text.length < wanted) text += LETTERS[byte % 62];
      }
    }
    return text;
  }
}

return {
  GlideDigest, GlideChecksum, GlideEncrypter, CertificateEncryption,
  GlideCertificateEncryption: CertificateEncryption, GlideSecureRandomUtil,
};
})
