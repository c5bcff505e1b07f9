/** The one list of hosts that Tidemark may connect to: databases, stores, restore targets and webhooks all ask here. */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { TidemarkError } from '../domain/errors.js';

export type HostPolicyRules = {
  /** undefined: every host that is not denied. */
  readonly allow: readonly string[] | undefined;
  /** Wins over `allow`. */
  readonly deny: readonly string[];
};

type Rule =
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'network'; readonly contains: (address: string) => boolean };

export type HostPolicy = {
  /**
   * Throws `host_not_allowed` when the host, or for a name any address it stands for, is denied or not among the allowed.
   * A name that does not resolve passes unless a rule about names refuses it: the connection itself will say so.
   */
  assertAllowed(host: string): Promise<void>;
};

/**
 * Rules are host names (`db.example.com`), names with everything below them (`*.example.com`), addresses and networks (`10.0.0.0/8`).
 * Throws `invalid_configuration` for anything else.
 */
export function createHostPolicy(rules: HostPolicyRules): HostPolicy {
  const allow = rules.allow?.map(parseRule);
  const deny = rules.deny.map(parseRule);
  return {
    async assertAllowed(host) {
      const name = host
        .replace(/^\[|\]$/g, '')
        .toLowerCase()
        .replace(/\.$/, '');
      const refuse = (why: string): never => {
        throw new TidemarkError('host_not_allowed', `Tidemark may not connect to ${host}: ${why}.`, { object: host });
      };
      if (deny.some((rule) => matchesName(rule, name))) refuse('it is on the list of denied hosts');
      const needsAddresses =
        deny.length > 0 || (allow?.some((rule) => rule.kind === 'network') ?? false) || isIP(name) !== 0;
      const addresses = needsAddresses ? await resolve(name) : [];
      const denied = addresses.find((address) => deny.some((rule) => matchesAddress(rule, address)));
      if (denied !== undefined) refuse(`its address ${denied} is in a denied network`);
      if (allow === undefined || allow.some((rule) => matchesName(rule, name))) return;
      const foreign = addresses.find((address) => !allow.some((rule) => matchesAddress(rule, address)));
      // Every address must be allowed: which of them a connection takes is not ours to choose.
      if (addresses.length === 0 || foreign !== undefined) refuse('it is not on the list of allowed hosts');
    },
  };
}

function parseRule(text: string): Rule {
  const value = text.trim().toLowerCase();
  try {
    if (value.includes('/')) {
      const [network, bits] = ipaddr.parseCIDR(value);
      return {
        kind: 'network',
        contains: (address) => {
          const parsed = ipaddr.process(address);
          return parsed.kind() === network.kind() && parsed.match(network, bits);
        },
      };
    }
    if (isIP(value)) {
      const wanted = ipaddr.process(value).toNormalizedString();
      return { kind: 'network', contains: (address) => ipaddr.process(address).toNormalizedString() === wanted };
    }
  } catch {
    // Said below.
  }
  if (/^(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/.test(value))
    return { kind: 'name', name: value };
  throw new TidemarkError(
    'invalid_configuration',
    `"${text}" in the list of hosts is neither a host name nor an address or network.`,
  );
}

function matchesName(rule: Rule, host: string): boolean {
  if (rule.kind !== 'name') return false;
  return rule.name.startsWith('*.') ? host.endsWith(rule.name.slice(1)) : host === rule.name;
}

function matchesAddress(rule: Rule, address: string): boolean {
  return rule.kind === 'network' && rule.contains(address);
}

async function resolve(host: string): Promise<string[]> {
  if (isIP(host)) return [host];
  try {
    return (await lookup(host, { all: true })).map((entry) => entry.address);
  } catch {
    return [];
  }
}
