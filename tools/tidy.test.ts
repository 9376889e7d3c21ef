/**
 * What keeps the project in shape, run as a test: the floors, the paths that the documents name, the table of
 * errors, the lock file. Each check comes with a canary, a planted fault that it must see.
 */
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { ERROR_CODES } from '../src/base/errors.ts';
import { S3_ERRORS } from '../src/gateway/s3/http/errors.ts';
import { checkFile, findCycles, findGroupCircles } from './floors.ts';
import type { SourceFile } from './floors.ts';

const root = path.dirname(import.meta.dirname);

function filesBelow(folder: string, pattern: RegExp): string[] {
  const full = path.join(root, folder);
  if (!fs.existsSync(full)) return [];
  return fs
    .readdirSync(full, { recursive: true, encoding: 'utf8' })
    .map((name) => `${folder}/${name.split(path.sep).join('/')}`)
    .filter((name) => pattern.test(name))
    .sort();
}

function read(file: string): SourceFile {
  return { file, text: fs.readFileSync(path.join(root, file), 'utf8') };
}

const sources = filesBelow('src', /\.ts$/).map(read);
const line = (fault: { file: string; line: number; what: string }): string => `${fault.file}:${fault.line} ${fault.what}`;

describe('floors', () => {
  it('every file of src/ keeps to the floors and reaches the world through ports', () => {
    expect(sources.length).toBeGreaterThan(20);
    expect(sources.flatMap(checkFile).map(line)).toEqual([]);
  });

  it('no file imports itself through others', () => {
    expect(findCycles(sources.filter((file) => !file.file.endsWith('.test.ts'))).map(line)).toEqual([]);
  });

  it('the folders of the S3 front import each other one way', () => {
    const product = sources.filter((file) => !/\.(test|contract)\.ts$/.test(file.file));
    expect(findGroupCircles('src/gateway/s3', product).map(line)).toEqual([]);
  });

  const canaries: readonly (readonly [string, string, string, string])[] = [
    ['an import from above', 'src/base/x.ts', "import { a } from '../crypto/keys.ts';", 'stands above it'],
    ['an import from beside', 'src/client/x.ts', "import type { A } from '../storage-node/state.ts';", 'beside it'],
    ['an import of the real platform', 'src/gateway/x.ts', "import { NodeDisk } from '../platform/disk.ts';", 'only cli/ and tests do'],
    ['a platform that knows the protocol', 'src/platform/x.ts', "import { a } from '../protocol/stamp.ts';", 'it knows base/ only'],
    ['an import of the composition root', 'src/gateway/x.ts', "import { a } from '../cli/main.ts';", 'stands above it'],
    ['an import hidden in a type', 'src/base/x.ts', "type A = import('../log/tail.ts').A;", 'stands above it'],
    ['an import at run time', 'src/base/x.ts', "const a = await import('../log/tail.ts');", 'stands above it'],
    ['an import that hides its file', 'src/log/x.ts', "import { a } from './tail';", 'ends in .ts'],
    ['an import of a test', 'src/log/x.ts', "import { a } from '../merkle/tree.test.ts';", 'only tests'],
    ['the clock past its port', 'src/log/x.ts', 'const a = Date.now();', 'clock.nowMs'],
    ['the clock in a constructor', 'src/log/x.ts', 'const a = new Date();', 'clock.nowMs'],
    ['the clock through globalThis', 'src/log/x.ts', 'const a = globalThis.performance.now();', 'clock.monotonicMs'],
    ['chance past its port', 'src/client/x.ts', 'const a = Math.random();', 'random.bytes'],
    ['a timer past its port', 'src/gateway/x.ts', 'setTimeout(() => undefined, 5);', 'clock.after'],
    ['a timer through globalThis', 'src/gateway/x.ts', 'globalThis.setInterval(f, 5);', 'clock.after'],
    ['a timer under another name', 'src/gateway/x.ts', 'const later = setTimeout;', 'clock.after'],
    ['the disk past its port', 'src/journal/x.ts', "import fs from 'node:fs';", 'the Disk port'],
    ['the network past its port', 'src/gateway/x.ts', "import net from 'node:net';", 'the Transport port'],
    ['TLS past its port', 'src/storage-node/x.ts', "import tls from 'node:tls';", 'the Transport port'],
    ['fetch', 'src/client/x.ts', "await fetch('https://example.org');", 'the Transport port'],
    ['web cryptography', 'src/gateway/x.ts', 'await crypto.subtle.digest(a, b);', 'primitives.ts'],
    ['a Node built-in in browser-safe code', 'src/protocol/x.ts', "import { hash } from 'node:crypto';", 'loads in a browser'],
    ['Buffer in browser-safe code', 'src/merkle/x.ts', 'const a = Buffer.from(b);', 'Uint8Array'],
    ['a grab-bag folder', 'src/gateway/utils/x.ts', 'export const a = 1;', 'lives beside its user'],
    ['a folder on no floor', 'src/elsewhere/x.ts', 'export const a = 1;', 'stands on no floor'],
  ];
  it.each(canaries)('the check sees %s', (_, file, text, what) => {
    expect(checkFile({ file, text }).map(line).join('\n')).toContain(what);
  });

  it('the check does not mistake words, members and declarations for calls', () => {
    const text = "// Date.now()\nconst t = 'setTimeout';\nclock.fetch();\nconst o = { fetch: 1 };\ninterface A { setTimeout(): void }\nnew Date(5);";
    expect(checkFile({ file: 'src/log/x.ts', text })).toEqual([]);
  });

  it('the check sees a cycle', () => {
    const files = [
      { file: 'src/log/a.ts', text: "import { b } from './b.ts';" },
      { file: 'src/log/b.ts', text: "import { a } from './a.ts';" },
    ];
    expect(findCycles(files).map((fault) => fault.what)).toEqual(['a cycle: src/log/a.ts -> src/log/b.ts -> src/log/a.ts']);
  });

  it('the check sees folders that import each other through files that do not, and types count', () => {
    const files = [
      { file: 'src/gateway/s3/call.ts', text: "import type { A } from './access/a.ts';" },
      { file: 'src/gateway/s3/access/a.ts', text: "import { b } from '../port/b.ts';" },
      { file: 'src/gateway/s3/access/c.ts', text: "import type { Call } from '../call.ts';" },
      { file: 'src/gateway/s3/port/b.ts', text: '' },
    ];
    const circle = 'a circle of groups in src/gateway/s3: call.ts -> access -> call.ts';
    expect(findGroupCircles('src/gateway/s3', files).map(line)).toEqual([`src/gateway/s3/access/c.ts:1 ${circle}`]);
    expect(findGroupCircles('src/gateway/s3', files.slice(0, 2))).toEqual([]);
  });
});

/** Paths that a document names in backquotes or links and that do not exist. */
function deadPaths(document: string, text: string): string[] {
  const named = new Set<string>();
  for (const [, name] of text.matchAll(/`((?:src|test|tools|docs|spec|bench|compat|\.ci)\/[\w./*-]+)`/g)) named.add(name ?? '');
  const dead = [...named].filter((name) => !name.includes('*') && !fs.existsSync(path.join(root, name.replace(/\/$/, ''))));
  for (const [, target] of text.matchAll(/\]\(([^)#:\s]+)(?:#[^)]*)?\)/g)) {
    if (!fs.existsSync(path.join(root, path.dirname(document), target ?? ''))) dead.push(target ?? '');
  }
  return dead.map((name) => `${document}: ${name}`);
}

describe('documents', () => {
  const documents = [...fs.readdirSync(root).filter((name) => name.endsWith('.md')), ...filesBelow('docs', /\.md$/), ...filesBelow('spec', /\.md$/)];

  it('every file that a document names exists', () => {
    expect(documents.flatMap((document) => deadPaths(document, read(document).text))).toEqual([]);
  });

  it('the check sees a dead path and a dead link', () => {
    expect(deadPaths('docs/x.md', 'See `src/base/gone.ts` and [this](gone.md).')).toHaveLength(2);
  });

  it('docs/errors.md lists every error code with its sentence, and no other', () => {
    const rows = [...read('docs/errors.md').text.matchAll(/^\| `([A-Z_]+)` \| ([^|]+) \|/gm)];
    expect(Object.fromEntries(rows.map(([, code, sentence]) => [code, sentence?.trim()]))).toEqual(ERROR_CODES);
  });

  it('docs/errors.md lists every error of S3 with its status and sentence, and no other', () => {
    const rows = [...read('docs/errors.md').text.matchAll(/^\| `([A-Z]\w*[a-z]\w*)` \| (\d{3}) \| ([^|]+) \|/gm)];
    const listed = rows.map(([, code, status, message]) => [code, { status: Number(status), message: message?.trim() }]);
    expect(Object.fromEntries(listed)).toEqual(S3_ERRORS);
  });
});

describe('the package', () => {
  it('the lock file names no registry', () => {
    const lock = JSON.parse(read('package-lock.json').text) as { packages: Record<string, { resolved?: string }> };
    const named = Object.entries(lock.packages).filter(([, entry]) => entry.resolved !== undefined);
    expect(named.map(([name]) => name)).toEqual([]);
  });

  it('dependencies are pinned to exact versions', () => {
    const manifest = JSON.parse(read('package.json').text) as Record<string, Record<string, string>>;
    const versions = Object.entries({ ...manifest['dependencies'], ...manifest['devDependencies'] });
    expect(versions.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
  });
});
