import { describe, expect, it } from 'vitest';
import { isSameServer } from '../../src/domain/same-server.js';

describe('the identity of a server that is met again', () => {
  it('is the same text for PostgreSQL and MySQL, or it is another server', () => {
    expect(isSameServer('pg:7301', 'pg:7301')).toBe(true);
    expect(isSameServer('pg:7301', 'pg:7302')).toBe(false);
    expect(isSameServer('mysql:0b1c', 'mysql:0b1c')).toBe(true);
    expect(isSameServer('mysql:0b1c', 'mysql:0b1d')).toBe(false);
  });

  it('outlives a new GTID domain and a new network card of a MariaDB server', () => {
    expect(isSameServer('mariadb:7:0', 'mariadb:7:0:52aa')).toBe(true);
    expect(isSameServer('mariadb:7:0,1', 'mariadb:7:0:52aa')).toBe(true);
    expect(isSameServer('mariadb:7:0:11bb', 'mariadb:7:0:52aa')).toBe(true);
  });

  it('is another one with another server id or another domain of its own', () => {
    expect(isSameServer('mariadb:7:0:52aa', 'mariadb:8:0:52aa')).toBe(false);
    expect(isSameServer('mariadb:7:0', 'mariadb:7:1')).toBe(false);
    expect(isSameServer('mariadb:7:0', 'mysql:7:0')).toBe(false);
  });
});
