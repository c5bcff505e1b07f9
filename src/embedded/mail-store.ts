/** Messages of the mail sink: one file each, as they came in. */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { nanoid } from 'nanoid';
import PostalMime from 'postal-mime';

/** Older ones are deleted: it is a sink for development, not a mailbox. */
const KEEP = 1_000;

export type MailSummary = {
  readonly id: string;
  /** RFC 3339, UTC. */
  readonly receivedAt: string;
  readonly from: string;
  readonly to: readonly string[];
  readonly subject: string;
};

export type MailMessage = MailSummary & {
  readonly text: string;
  readonly html: string;
  readonly attachments: readonly { readonly filename: string; readonly mimeType: string; readonly bytes: number }[];
};

export class MailStore {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  }

  /** Keeps a message; returns its id. */
  add(raw: Buffer): string {
    // Sortable by name: newest is last.
    const id = `${new Date().toISOString().replaceAll(/[-:.]/g, '')}-${nanoid(8)}`;
    const path = join(this.#dir, `${id}.eml`);
    writeFileSync(`${path}.tmp`, raw, { mode: 0o600 });
    renameSync(`${path}.tmp`, path);
    for (const old of this.#ids().slice(KEEP)) rmSync(join(this.#dir, `${old}.eml`), { force: true });
    return id;
  }

  /** Newest first. */
  async list(limit = 100): Promise<MailSummary[]> {
    const found: MailSummary[] = [];
    for (const id of this.#ids().slice(0, limit)) {
      const message = await this.read(id);
      if (!message) continue;
      const { receivedAt, from, to, subject } = message;
      found.push({ id, receivedAt, from, to, subject });
    }
    return found;
  }

  /** null when there is no such message. */
  async read(id: string): Promise<MailMessage | null> {
    const raw = this.raw(id);
    if (!raw) return null;
    const mail = await PostalMime.parse(raw);
    const [, y, mo, d, h, mi, s, ms] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{3})Z/.exec(id) ?? [];
    return {
      id,
      receivedAt: `${y}-${mo}-${d}T${h}:${mi}:${s}.${ms}Z`,
      from: mail.from?.address ?? '',
      to: (mail.to ?? []).flatMap((to) => (to.address ? [to.address] : [])),
      subject: mail.subject ?? '',
      text: mail.text ?? '',
      html: mail.html ?? '',
      attachments: mail.attachments.map((attachment) => ({
        filename: attachment.filename ?? '',
        mimeType: attachment.mimeType,
        bytes: typeof attachment.content === 'string' ? attachment.content.length : attachment.content.byteLength,
      })),
    };
  }

  raw(id: string): Buffer | null {
    // The id comes from an address: nothing that could leave the folder.
    if (!/^[\w-]+$/.test(id)) return null;
    try {
      return readFileSync(join(this.#dir, `${id}.eml`));
    } catch {
      return null;
    }
  }

  #ids(): string[] {
    return readdirSync(this.#dir)
      .flatMap((name) => (name.endsWith('.eml') ? [name.slice(0, -4)] : []))
      .sort()
      .reverse();
  }
}
