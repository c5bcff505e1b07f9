/** The files that `tidemark extract` writes of a MySQL or MariaDB server, loaded as their README says, by the tools alone. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { loadConfig } from '../../src/config.js';
import { getChainEngine } from '../../src/engines/chain-registry.js';
import { engineBinDir, engineRoot } from '../../src/platform/installed.js';
import { runChild } from '../../src/platform/run-child.js';
import type { TestEngine } from '../support/engine-servers.js';
import { describeEngine, usePrivateEngine } from '../support/engine-servers.js';
import { useContext } from './contract-support.js';
import { takeFamilyFull, transactionsOf, useLogCopies } from './mysql-family-chain-support.js';

for (const product of ['mysql', 'mariadb'] as const) {
  describeEngine(product, `files of a ${product} server for a point in time`, () => {
    const source = usePrivateEngine(product);
    const target = usePrivateEngine(product, product === 'mysql' ? {} : { settings: { gtid_strict_mode: '0' } });
    const context = useContext();
    const logs = useLogCopies(source);
    const root = mkdtempSync(join(tmpdir(), 'tm-files-'));
    afterAll(() => rmSync(root, { recursive: true, force: true }));

    const write = (n: number) => source.query(`INSERT INTO shop.seq (n) VALUES (${n})`);

    it('lead to exactly the point when they are loaded as the README says', async () => {
      await source.query('CREATE DATABASE shop; CREATE TABLE shop.seq (id int AUTO_INCREMENT PRIMARY KEY, n int)');
      await source.query(`CREATE USER reader@'%' IDENTIFIED BY 'Abc-d1234'; GRANT SELECT ON shop.seq TO reader@'%'`);
      await write(1);
      const full = await takeFamilyFull(source, context());
      await write(2);
      await source.query(`FLUSH BINARY LOGS; CREATE DATABASE later; CREATE TABLE later.t (a int PRIMARY KEY)`);
      await write(3);
      await write(4);
      await source.query('FLUSH BINARY LOGS; DROP DATABASE later');
      await write(5);
      const log = await logs.collect();
      const inserts = (await transactionsOf(product, log)).slice(-5);
      // The last ones: 3, 4, the DROP, 5 and one before.
      const wanted = inserts.at(-3)?.gtid ?? '';

      const dir = join(root, 'out');
      mkdirSync(dir);
      const engine = getChainEngine(source.engine);
      const { readme } = (await engine.writeFiles?.(context(), {
        dir,
        server: full.server,
        backups: [full],
        ...log,
        target: { kind: 'position', position: wanted, before: false },
        onPhase: () => {},
      })) ?? { readme: '' };
      expect(readme).toContain(wanted);

      await target.query(
        `CREATE USER loader@'%' IDENTIFIED BY 'Abc-d1234'; GRANT ALL PRIVILEGES ON *.* TO loader@'%' WITH GRANT OPTION`,
      );
      for (const command of commandsOf(readme)) await runAsSaid(command, target);
      const rows = await runAsSaid(`${source.engine} -N -e 'SELECT n FROM shop.seq ORDER BY id'`, target);
      expect(rows.trim().split('\n')).toEqual(['1', '2', '3', '4']);
      expect(await runAsSaid(`${source.engine} -N -e 'SHOW TABLES FROM later'`, target)).toBe('t\n');
      const grants = await runAsSaid(`${source.engine} -N -e "SHOW GRANTS FOR reader@'%'"`, target);
      expect(grants).toContain('`shop`.`seq`');
    });

    /** The indented lines, those of one paragraph together. */
    function commandsOf(readme: string): string[] {
      return readme
        .split('\n\n')
        .filter((paragraph) => paragraph.startsWith('  '))
        .map((paragraph) => paragraph.replace(/^ {2}/gm, ''));
    }

    /** With the tools of the version first on the PATH, which find the server in an option file. */
    async function runAsSaid(command: string, server: TestEngine): Promise<string> {
      const bin = join(root, 'bin');
      mkdirSync(bin, { recursive: true });
      const options = join(root, 'client.cnf');
      writeFileSync(options, `[client]\nhost=127.0.0.1\nport=${server.port}\nuser=loader\npassword=Abc-d1234\n`, {
        mode: 0o600,
      });
      const tools = engineBinDir(product, engineRoot(product, loadConfig().install) ?? '');
      for (const name of ['mysql', 'mariadb']) {
        writeFileSync(join(bin, name), `#!/bin/sh\nexec ${tools}/${name} --defaults-file=${options} "$@"\n`);
        chmodSync(join(bin, name), 0o755);
      }
      const result = await runChild({
        command: '/bin/bash',
        args: ['-c', `set -o pipefail\n${command}`],
        env: { PATH: `${bin}:${tools}:/usr/bin:/bin` },
        label: 'bash',
      });
      expect(result.code === 0 || command.includes('--force'), `${command}\n${result.stderr}`).toBe(true);
      // What the README calls harmless: accounts that are there, grants of PROXY, and on objects that are not there yet or any more.
      const harmless = /^ERROR (1396|1698|1133|1146|1410|1305) /;
      expect(result.stderr.split('\n').filter((line) => line.startsWith('ERROR') && !harmless.test(line))).toEqual([]);
      return result.stdout;
    }
  });
}
