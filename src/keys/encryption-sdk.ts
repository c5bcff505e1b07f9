/**
 * The one place that knows the AWS Encryption SDK. Everything that is sealed or encrypted goes through these settings (design
 * section 3): AES-256-GCM with key commitment and no signature (suite 0x478), one data key per message, wrapped by one raw AES key.
 *
 * The SDK's default suite (0x578) is not used: it releases all plaintext before it reports an invalid signature.
 */
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  AlgorithmSuiteIdentifier,
  buildClient,
  CommitmentPolicy,
  RawAesKeyringNode,
  RawAesWrappingSuiteIdentifier,
} from '@aws-crypto/client-node';
import { AdoptedStream } from './adopt-stream.js';

/** As recorded in manifests. */
export const encryptionSuite = 'AES-256-GCM-HKDF-SHA512-COMMIT-KEY (0x0478), 1 MiB frames';

/** Length of every key here, in bytes. */
export const KEY_BYTES = 32;

const FRAME_BYTES = 1024 * 1024;
const suiteId = AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY;

const client = buildClient({
  commitmentPolicy: CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT,
  // A forged header could otherwise name thousands of data keys, each of which costs a decryption.
  maxEncryptedDataKeys: 1,
});

/** A key of ours in the SDK's form. `name` is written in the clear into each message, so that a wrong key is told from a damaged message. */
export type NamedKey = { readonly name: string; readonly bytes: Uint8Array };

/** Plain facts bound to a message: not secret, authenticated, and compared with what the reader expects. */
export type EncryptionContext = Readonly<Record<string, string>>;

function keyring(key: NamedKey): RawAesKeyringNode {
  if (key.bytes.length !== KEY_BYTES) throw new TypeError(`A key is ${KEY_BYTES} bytes, not ${key.bytes.length}.`);
  return new RawAesKeyringNode({
    keyNamespace: 'tidemark',
    keyName: key.name,
    // A copy with a buffer of its own: the SDK refuses slices of Node's shared pool.
    unencryptedMasterKey: Uint8Array.from(key.bytes),
    wrappingSuite: RawAesWrappingSuiteIdentifier.AES256_GCM_IV12_TAG16_NO_PADDING,
  });
}

/** True when every expected pair stands in the message. The SDK adds no pair of its own with this suite, so the sets must be equal. */
function sameContext(found: EncryptionContext, expected: EncryptionContext): boolean {
  const names = Object.keys(expected);
  return names.length === Object.keys(found).length && names.every((name) => found[name] === expected[name]);
}

/** The message was made for another purpose or object, for example an object that was swapped with another. */
export class ContextMismatch extends Error {
  constructor() {
    super('The encrypted message belongs to another object.');
    this.name = 'ContextMismatch';
  }
}

/** Encrypts a small text or key whole. */
export async function encryptBytes(key: NamedKey, plain: Uint8Array, context: EncryptionContext): Promise<Buffer> {
  const { result } = await client.encrypt(keyring(key), plain, { suiteId, encryptionContext: { ...context } });
  return result;
}

/** Decrypts what `encryptBytes` made; throws the SDK's error or `ContextMismatch`. */
export async function decryptBytes(key: NamedKey, message: Uint8Array, context: EncryptionContext): Promise<Buffer> {
  const chunks: Buffer[] = [];
  await pipeline([message], decryptStream(key, context), async (plain: AsyncIterable<Buffer>) => {
    for await (const chunk of plain) chunks.push(chunk);
  });
  return Buffer.concat(chunks);
}

/** A stream that encrypts what is written to it in frames of 1 MiB. */
export function encryptStream(key: NamedKey, context: EncryptionContext): Duplex {
  const inner = client.encryptStream(keyring(key), {
    suiteId,
    frameLength: FRAME_BYTES,
    encryptionContext: { ...context },
  });
  return new AdoptedStream(inner);
}

/**
 * A stream that decrypts. It is destroyed with `ContextMismatch` before the first byte when the message was made for another object.
 * What it gives counts only when it ends without an error: a damaged last frame is reported after all before it was given out.
 */
export function decryptStream(key: NamedKey, context: EncryptionContext): Duplex {
  const inner = client.decryptUnsignedMessageStream(keyring(key));
  const stream = new AdoptedStream(inner);
  inner.once('MessageHeader', (header: { encryptionContext: EncryptionContext }) => {
    if (!sameContext(header.encryptionContext, context)) stream.destroy(new ContextMismatch());
  });
  return stream;
}
