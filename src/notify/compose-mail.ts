/** What a mail says, from the row of its event. Plain text: it is read on phones at night, and nothing in it can run or load anything. */

export type MailEvent = {
  readonly event: string;
  readonly subject: string;
  readonly what: string;
  readonly why: string;
  readonly nextStep: string;
  readonly policyId: string | null;
  readonly databaseId: string | null;
  readonly backupId: string | null;
};

export type Mail = {
  readonly to: string;
  readonly subject: string;
  readonly text: string;
  /** Stable for one event: a mail that is sent twice is shown once by most readers. */
  readonly messageId: string;
  readonly event: string;
};

/** Subject and text. `publicUrl`: the API as users see it; without it the ids stand alone. */
export function composeMail(event: MailEvent, publicUrl: string | undefined): Pick<Mail, 'subject' | 'text'> {
  const base = publicUrl?.replace(/\/+$/, '');
  const place = (label: string, path: string, id: string | null) =>
    id === null ? [] : [`${label}: ${base === undefined ? id : `${base}/v1/${path}/${id}`}`];
  const objects = [
    ...place('Backup', 'backups', event.backupId),
    ...place('Policy', 'policies', event.policyId),
    ...place('Database', 'databases', event.databaseId),
  ];
  const paragraphs = [
    `What happened\n${event.what}`,
    `Why\n${event.why}`,
    `Next step\n${event.nextStep}`,
    objects.join('\n'),
    'Sent by Tidemark, which watches over this database. All events: GET /v1/notifications.',
  ];
  return {
    // A line break would begin another header.
    subject: `[Tidemark] ${event.subject.replace(/\s+/g, ' ').trim()}`,
    text: `${paragraphs.filter((part) => part !== '').join('\n\n')}\n`,
  };
}
