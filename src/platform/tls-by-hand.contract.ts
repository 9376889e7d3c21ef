/**
 * TLS 1.3 by hand (RFC 8446), as small as it can be: one cipher, one group, one signature, no verification.
 * It exists because no TLS library lets its user show a certificate without holding the key, and that is
 * just what the admission tests must try. It is an attacker's tool and protects nobody.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  randomBytes,
  sign,
} from 'node:crypto';
import type { Socket } from 'node:net';
import { ALPN_PROTOCOL } from './tls-handshake.ts';

const HELLO_CLIENT = 1;
const HELLO_SERVER = 2;
const ENCRYPTED_EXTENSIONS = 8;
const CERTIFICATE = 11;
const CERTIFICATE_VERIFY = 15;
const FINISHED = 20;
const RECORD_HANDSHAKE = 22;
const RECORD_DATA = 23;
const X25519_SPKI = Buffer.from('302a300506032b656e032100', 'hex');

export interface HandMadeIdentity {
  /** Whose certificate is shown (DER). */
  readonly certificate: Buffer;
  /** Whose key signs the handshake (PEM): the same one's, unless this is the lie. */
  readonly signingKeyPem: string;
}

type Role = 'client' | 'server';

/** Runs the handshake in the role, then sends `first`; the caller looks at what comes back in `received`. */
export class HandMadeTls {
  /** Application data of the other end. */
  received = Buffer.alloc(0);
  readonly #socket: Socket;
  readonly #role: Role;
  readonly #identity: HandMadeIdentity;
  readonly #first: Uint8Array;
  readonly #share = generateKeyPairSync('x25519');
  #input = Buffer.alloc(0);
  #handshakeInput = Buffer.alloc(0);
  #transcript = Buffer.alloc(0);
  #secrets: Record<Role, Buffer> | undefined;
  #master: Buffer = Buffer.alloc(32);
  /** In the role of the server, between its own Finished and the client's. */
  #application: Record<Role, Buffer> = { client: Buffer.alloc(32), server: Buffer.alloc(32) };
  #read: RecordKeys | undefined;
  #write: RecordKeys | undefined;

  constructor(socket: Socket, role: Role, identity: HandMadeIdentity, first: Uint8Array) {
    this.#socket = socket;
    this.#role = role;
    this.#identity = identity;
    this.#first = first;
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', () => socket.destroy());
    if (role === 'client') this.#sendMessage(HELLO_CLIENT, this.#clientHello());
  }

  #receive(chunk: Buffer): void {
    this.#input = Buffer.concat([this.#input, chunk]);
    while (this.#input.length >= 5 && this.#input.length >= 5 + this.#input.readUInt16BE(3)) {
      const size = 5 + this.#input.readUInt16BE(3);
      const record = this.#input.subarray(0, size);
      this.#input = this.#input.subarray(size);
      this.#record(record);
    }
  }

  #record(record: Buffer): void {
    let type = record[0];
    let content = record.subarray(5);
    if (type === RECORD_DATA && this.#read !== undefined) {
      const inner = this.#read.open(record);
      type = inner.at(-1);
      content = inner.subarray(0, -1);
    }
    if (type === RECORD_DATA) this.received = Buffer.concat([this.received, content]);
    if (type !== RECORD_HANDSHAKE) return;
    this.#handshakeInput = Buffer.concat([this.#handshakeInput, content]);
    while (this.#handshakeInput.length >= 4) {
      const size = 4 + this.#handshakeInput.readUIntBE(1, 3);
      if (this.#handshakeInput.length < size) return;
      const message = this.#handshakeInput.subarray(0, size);
      this.#handshakeInput = this.#handshakeInput.subarray(size);
      this.#message(message);
    }
  }

  #message(message: Buffer): void {
    const type = message[0] ?? 0;
    // Session tickets come after the handshake and say nothing here.
    if (type > FINISHED || type === 4) return;
    this.#transcript = Buffer.concat([this.#transcript, message]);
    if (type === HELLO_SERVER) this.#agree(keyShareOf(message, 4 + 2 + 32, 'server'));
    if (type === HELLO_CLIENT) this.#answerHello(message);
    if (type === FINISHED && this.#role === 'client') {
      const application = this.#applicationSecrets();
      this.#prove();
      this.#speak(application);
    } else if (type === FINISHED) {
      this.#read = new RecordKeys(this.#application.client);
    }
  }

  /** The server's whole flight; its data follows at once, as TLS allows. */
  #answerHello(hello: Buffer): void {
    const sessionId = hello.subarray(38, 39 + (hello[38] ?? 0));
    const body = [Buffer.from('0303', 'hex'), randomBytes(32), sessionId, Buffer.from('130100', 'hex')];
    const extensions = [extension(43, Buffer.from('0304', 'hex')), extension(51, this.#shareEntry())];
    this.#sendMessage(HELLO_SERVER, Buffer.concat([...body, sized(2, ...extensions)]));
    this.#agree(keyShareOf(hello, 4 + 2 + 32, 'client'));
    const alpn = extension(16, sized(2, sized(1, Buffer.from(ALPN_PROTOCOL))));
    this.#sendMessage(ENCRYPTED_EXTENSIONS, sized(2, alpn));
    this.#prove();
    this.#application = this.#applicationSecrets();
    this.#write = new RecordKeys(this.#application.server);
    this.#send(RECORD_DATA, Buffer.from(this.#first));
  }

  #speak(application: Record<Role, Buffer>): void {
    this.#read = new RecordKeys(application.server);
    this.#write = new RecordKeys(application.client);
    this.#send(RECORD_DATA, Buffer.from(this.#first));
  }

  /** Certificate, CertificateVerify (where the lie is, if there is one) and Finished. */
  #prove(): void {
    const { certificate, signingKeyPem } = this.#identity;
    this.#sendMessage(CERTIFICATE, Buffer.concat([sized(1), sized(3, sized(3, certificate), sized(2))]));
    const context = `${' '.repeat(64)}TLS 1.3, ${this.#role} CertificateVerify\0`;
    const signed = Buffer.concat([Buffer.from(context), digest(this.#transcript)]);
    const signature = sign(null, signed, createPrivateKey(signingKeyPem));
    this.#sendMessage(CERTIFICATE_VERIFY, Buffer.concat([Buffer.from('0807', 'hex'), sized(2, signature)]));
    const secret = this.#secrets?.[this.#role] ?? Buffer.alloc(0);
    const finishedKey = expand(secret, 'finished', Buffer.alloc(0), 32);
    this.#sendMessage(FINISHED, createHmac('sha256', finishedKey).update(digest(this.#transcript)).digest());
  }

  /** Both hellos are in the transcript: from here on records are encrypted. */
  #agree(otherShare: Buffer): void {
    const spki = Buffer.concat([X25519_SPKI, otherShare]);
    const publicKey = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    const shared = diffieHellman({ privateKey: this.#share.privateKey, publicKey });
    const zero = Buffer.alloc(32);
    const handshake = extract(derived(extract(zero, zero)), shared);
    this.#master = extract(derived(handshake), zero);
    const hash = digest(this.#transcript);
    this.#secrets = {
      client: expand(handshake, 'c hs traffic', hash, 32),
      server: expand(handshake, 's hs traffic', hash, 32),
    };
    this.#write = new RecordKeys(this.#secrets[this.#role]);
    this.#read = new RecordKeys(this.#secrets[this.#role === 'client' ? 'server' : 'client']);
  }

  /** Of the transcript up to the server's Finished. */
  #applicationSecrets(): Record<Role, Buffer> {
    const hash = digest(this.#transcript);
    return {
      client: expand(this.#master, 'c ap traffic', hash, 32),
      server: expand(this.#master, 's ap traffic', hash, 32),
    };
  }

  #clientHello(): Buffer {
    const alpn = sized(2, sized(1, Buffer.from(ALPN_PROTOCOL)));
    const extensions = [
      extension(43, sized(1, Buffer.from('0304', 'hex'))),
      extension(10, sized(2, Buffer.from('001d', 'hex'))),
      extension(13, sized(2, Buffer.from('0807', 'hex'))),
      extension(16, alpn),
      extension(51, sized(2, this.#shareEntry())),
    ];
    const ciphers = sized(2, Buffer.from('1301', 'hex'));
    const start = [Buffer.from('0303', 'hex'), randomBytes(32), sized(1), ciphers, sized(1, Buffer.alloc(1))];
    return Buffer.concat([...start, sized(2, ...extensions)]);
  }

  #shareEntry(): Buffer {
    const raw = this.#share.publicKey.export({ format: 'der', type: 'spki' }).subarray(X25519_SPKI.length);
    return Buffer.concat([Buffer.from('001d', 'hex'), sized(2, raw)]);
  }

  #sendMessage(type: number, body: Buffer): void {
    const message = Buffer.concat([Buffer.from([type]), sized(3, body)]);
    this.#transcript = Buffer.concat([this.#transcript, message]);
    this.#send(RECORD_HANDSHAKE, message);
  }

  #send(type: number, content: Buffer): void {
    if (this.#socket.destroyed) return;
    if (this.#write !== undefined) this.#socket.write(this.#write.seal(type, content));
    else this.#socket.write(Buffer.concat([Buffer.from([type, 3, 3]), sized(2, content)]));
  }
}

/** AES-128-GCM records of one direction (RFC 8446 section 5). */
class RecordKeys {
  readonly #key: Buffer;
  readonly #iv: Buffer;
  #sequence = 0;

  constructor(secret: Buffer) {
    this.#key = expand(secret, 'key', Buffer.alloc(0), 16);
    this.#iv = expand(secret, 'iv', Buffer.alloc(0), 12);
  }

  seal(type: number, content: Buffer): Buffer {
    const header = Buffer.from([RECORD_DATA, 3, 3, 0, 0]);
    header.writeUInt16BE(content.length + 1 + 16, 3);
    const cipher = createCipheriv('aes-128-gcm', this.#key, this.#nonce()).setAAD(header);
    const sealed = cipher.update(Buffer.concat([content, Buffer.from([type])]));
    return Buffer.concat([header, sealed, cipher.final(), cipher.getAuthTag()]);
  }

  open(record: Buffer): Buffer {
    const decipher = createDecipheriv('aes-128-gcm', this.#key, this.#nonce());
    decipher.setAAD(record.subarray(0, 5)).setAuthTag(record.subarray(-16));
    return Buffer.concat([decipher.update(record.subarray(5, -16)), decipher.final()]);
  }

  #nonce(): Buffer {
    const nonce = Buffer.from(this.#iv);
    nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ this.#sequence) >>> 0, 8);
    this.#sequence += 1;
    return nonce;
  }
}

/** A vector with its length in front. */
function sized(lengthBytes: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const length = Buffer.alloc(lengthBytes);
  length.writeUIntBE(content.length, 0, lengthBytes);
  return Buffer.concat([length, content]);
}

function extension(type: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type >>> 8, type & 0xff]), sized(2, content)]);
}

/** The X25519 share in a hello: 32 bytes after its group and length. `at`: where the session id begins. */
function keyShareOf(hello: Buffer, at: number, from: Role): Buffer {
  let position = at + 1 + (hello[at] ?? 0);
  position += from === 'server' ? 3 : 2 + hello.readUInt16BE(position) + 2;
  const entry = hello.indexOf(Buffer.from('001d0020', 'hex'), position);
  return hello.subarray(entry + 4, entry + 36);
}

function digest(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest();
}

function extract(salt: Buffer, secret: Buffer): Buffer {
  return createHmac('sha256', salt).update(secret).digest();
}

function derived(secret: Buffer): Buffer {
  return expand(secret, 'derived', digest(Buffer.alloc(0)), 32);
}

/** HKDF-Expand-Label (RFC 8446 section 7.1); the platform offers extract and expand only together. */
function expand(secret: Buffer, label: string, context: Buffer, bytes: number): Buffer {
  const name = sized(1, Buffer.from(`tls13 ${label}`));
  const info = Buffer.concat([Buffer.from([0, bytes]), name, sized(1, context), Buffer.from([1])]);
  return createHmac('sha256', secret).update(info).digest().subarray(0, bytes);
}
