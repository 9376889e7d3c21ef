/**
 * The rules of architecture.md that a compiler does not check: which folder may import which, and which
 * calls reach time, randomness, disk or network past the ports. Works on syntax trees, so a comment or a
 * text never counts. Each fault names the file, the line and what to use instead.
 */
import path from 'node:path';
import ts from 'typescript';

/** Floor of each folder of src/; platform stands beside the floors. */
export const FLOORS: Readonly<Record<string, number>> = {
  base: 0,
  crypto: 1,
  erasure: 2,
  merkle: 2,
  protocol: 3,
  journal: 4,
  log: 4,
  evidence: 5,
  'storage-node': 6,
  client: 6,
  keyring: 6,
  jobs: 6,
  gateway: 7,
  control: 7,
  cli: 8,
  sim: 8,
};
/** These load in a browser: no Node built-ins, no Buffer. */
const BROWSER_SAFE = new Set(['base', 'crypto', 'erasure', 'merkle', 'protocol', 'log', 'evidence', 'client']);
/** The one file there that wraps the platform's cryptography. */
const PRIMITIVES = 'src/crypto/primitives.ts';
/** These stand on the real machine. */
const REAL = new Set(['platform', 'cli']);
const FORBIDDEN_FOLDERS = new Set(['utils', 'util', 'helpers', 'common', 'shared', 'misc']);

const BANNED_MODULES: Readonly<Record<string, string>> = {
  'node:fs': 'the Disk port',
  'node:fs/promises': 'the Disk port',
  'node:net': 'the Transport port',
  'node:tls': 'the Transport port',
  'node:http': 'the Transport port, or a handler that platform/ serves',
  'node:https': 'the Transport port, or a handler that platform/ serves',
  'node:http2': 'the Transport port',
  'node:dgram': 'the Transport port',
  'node:dns': 'the Transport port',
  'node:timers': 'the Clock port',
  'node:timers/promises': 'the Clock port',
  'node:perf_hooks': 'the Clock port',
  'node:worker_threads': 'a port of platform/',
  'node:child_process': 'cli/',
  'node:process': 'cli/',
  'node:os': 'cli/',
};
const BANNED_CALLS: Readonly<Record<string, string>> = {
  setTimeout: 'clock.after or clock.sleep',
  setInterval: 'clock.after',
  setImmediate: 'clock.after',
  fetch: 'the Transport port',
};
const BANNED_MEMBERS: Readonly<Record<string, string>> = {
  'Date.now': 'clock.nowMs',
  'Math.random': 'random.bytes',
  'performance.now': 'clock.monotonicMs',
  'crypto.subtle': 'crypto/primitives.ts',
  'crypto.getRandomValues': 'random.bytes',
  'crypto.randomUUID': 'random.bytes',
  'process.hrtime': 'clock.monotonicMs',
  'process.env': 'an argument that cli/ hands in',
  'process.exit': 'an error that cli/ turns into an exit code',
};

export interface Fault {
  readonly file: string;
  readonly line: number;
  readonly what: string;
}

/** A file of the project: its path from the root with `/`, and its text. */
export interface SourceFile {
  readonly file: string;
  readonly text: string;
}

/** Faults of one file against the floors. `file` is where it claims to stand. */
export function checkFile({ file, text }: SourceFile): Fault[] {
  const faults: Fault[] = [];
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const report = (node: ts.Node, what: string): void => {
    const { line } = source.getLineAndCharacterOfPosition(node.getStart(source));
    faults.push({ file, line: line + 1, what });
  };
  for (const folder of path.posix.dirname(file).split('/')) {
    if (FORBIDDEN_FOLDERS.has(folder)) report(source, `a folder called ${folder}: a helper lives beside its user`);
  }
  const home = homeOf(file);
  const isTest = /\.(test|contract)\.ts$/.test(file);
  if (home === undefined || isTest) return faults;
  const { folder } = home;
  if (folder !== 'platform' && FLOORS[folder] === undefined) report(source, `src/${folder} stands on no floor`);
  const browserSafe = BROWSER_SAFE.has(folder) && file !== PRIMITIVES;
  const ported = !REAL.has(folder);
  const visit = (node: ts.Node): void => {
    const module = importedModule(node);
    if (module !== undefined) {
      if (module.startsWith('.')) {
        const fault = importFault(folder, file, module);
        if (fault !== null) report(node, fault);
      } else if (module.startsWith('node:')) {
        if (browserSafe) report(node, `${module} in ${folder}/, which loads in a browser`);
        else if (ported && BANNED_MODULES[module] !== undefined) report(node, `${module}: use ${BANNED_MODULES[module]}`);
      }
    }
    if (ported) {
      const fault = hiddenDoor(node);
      if (fault !== null) report(node, fault);
    }
    if (browserSafe && isReference(node) && node.text === 'Buffer') report(node, 'Buffer: use Uint8Array and base/bytes.ts');
    ts.forEachChild(node, visit);
  };
  visit(source);
  return faults;
}

/** Cycles among the files, by the relative imports that run when a module loads (types do not). */
export function findCycles(files: readonly SourceFile[]): Fault[] {
  const known = new Map(files.map((file) => [file.file, importsOf(file)]));
  const done = new Set<string>();
  const faults: Fault[] = [];
  const walk = (file: string, trail: readonly string[]): void => {
    if (done.has(file)) return;
    const at = trail.indexOf(file);
    if (at !== -1) {
      faults.push({ file, line: 1, what: `a cycle: ${[...trail.slice(at), file].join(' -> ')}` });
      return;
    }
    for (const next of known.get(file) ?? []) if (known.has(next)) walk(next, [...trail, file]);
    done.add(file);
  };
  for (const file of known.keys()) walk(file, []);
  return faults;
}

/**
 * Circles among the groups of a folder: its subfolders, and the files that lie in it directly, each for itself.
 * Files of two groups that import each other may make no cycle of files, and still nobody can read one group first.
 */
export function findGroupCircles(folder: string, files: readonly SourceFile[]): Fault[] {
  const groupOf = (file: string): string => file.slice(folder.length + 1).split('/', 1).join('');
  const inside = files.filter(({ file }) => file.startsWith(`${folder}/`));
  const groups = new Map<string, Map<string, string>>();
  for (const file of inside) {
    const own = groupOf(file.file);
    const needs = groups.get(own) ?? new Map<string, string>();
    groups.set(own, needs);
    for (const target of importsOf(file)) {
      if (target.startsWith(`${folder}/`) && groupOf(target) !== own && !needs.has(groupOf(target))) needs.set(groupOf(target), file.file);
    }
  }
  const faults: Fault[] = [];
  const done = new Set<string>();
  const walk = (group: string, trail: readonly string[]): void => {
    const at = trail.indexOf(group);
    if (at !== -1) {
      const circle = [...trail.slice(at), group];
      const file = groups.get(trail.at(-1) ?? group)?.get(group) ?? folder;
      faults.push({ file, line: 1, what: `a circle of groups in ${folder}: ${circle.join(' -> ')}` });
      return;
    }
    if (done.has(group)) return;
    for (const next of groups.get(group)?.keys() ?? []) walk(next, [...trail, group]);
    done.add(group);
  };
  for (const group of groups.keys()) walk(group, []);
  return faults;
}

/** Its relative imports, those of types too: files that need each other's types are one thing. */
function importsOf({ file, text }: SourceFile): string[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    const module = importedModule(node);
    if (module?.startsWith('.') === true) found.push(resolve(file, module));
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function importedModule(node: ts.Node): string | undefined {
  if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier !== undefined) {
    return ts.isStringLiteral(node.moduleSpecifier) ? node.moduleSpecifier.text : undefined;
  }
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
    const [argument] = node.arguments;
    return argument !== undefined && ts.isStringLiteral(argument) ? argument.text : undefined;
  }
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument) && ts.isStringLiteral(node.argument.literal)) {
    return node.argument.literal.text;
  }
  return undefined;
}

function importFault(folder: string, file: string, module: string): string | null {
  if (!module.endsWith('.ts')) return `${module}: a relative import ends in .ts`;
  const target = resolve(file, module);
  const home = homeOf(target);
  if (home === undefined) return `${module} leaves src/`;
  if (home.folder === folder) return null;
  if (/\.(test|contract)\.ts$/.test(target)) return `${module}: only tests import tests`;
  if (folder === 'platform') return home.folder === 'base' ? null : `platform/ imports ${home.folder}/: it knows base/ only`;
  if (home.folder === 'platform') return folder === 'cli' ? null : `${folder}/ imports platform/: only cli/ and tests do`;
  const from = FLOORS[folder] ?? -1;
  const to = FLOORS[home.folder] ?? Infinity;
  if (to > from) return `${folder}/ (floor ${from}) imports ${home.folder}/ (floor ${to}), which stands above it`;
  if (to === from) return `${folder}/ imports ${home.folder}/ beside it on floor ${to}`;
  return null;
}

function hiddenDoor(node: ts.Node): string | null {
  if (ts.isPropertyAccessExpression(node)) {
    const object = withoutGlobal(node.expression);
    const name = object === '' ? node.name.text : `${object}.${node.name.text}`;
    const instead = BANNED_MEMBERS[name];
    return instead === undefined ? null : `${name}: use ${instead}`;
  }
  if (ts.isNewExpression(node) && ts.isIdentifier(node.expression) && node.expression.text === 'Date') {
    return (node.arguments?.length ?? 0) === 0 ? 'new Date(): use clock.nowMs' : null;
  }
  if (isReference(node) && Object.hasOwn(BANNED_CALLS, node.text)) return `${node.text}: use ${BANNED_CALLS[node.text]}`;
  return null;
}

function withoutGlobal(node: ts.Expression): string | undefined {
  if (ts.isIdentifier(node)) return node.text === 'globalThis' ? '' : node.text;
  if (ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.expression) && node.expression.text === 'globalThis') {
    return node.name.text;
  }
  return undefined;
}

/** An identifier that names a value in scope: not a member, a property's name or a declaration. */
function isReference(node: ts.Node): node is ts.Identifier {
  if (!ts.isIdentifier(node)) return false;
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) {
    return parent.expression === node || (ts.isIdentifier(parent.expression) && parent.expression.text === 'globalThis');
  }
  if (ts.isPropertyAssignment(parent)) return parent.initializer === node;
  if (ts.isMethodDeclaration(parent) || ts.isPropertySignature(parent) || ts.isMethodSignature(parent)) return false;
  if (ts.isPropertyDeclaration(parent)) return parent.initializer === node;
  return !(ts.isVariableDeclaration(parent) && parent.name === node) && !(ts.isParameter(parent) && parent.name === node);
}

function resolve(from: string, module: string): string {
  return path.posix.normalize(path.posix.join(path.posix.dirname(from), module));
}

function homeOf(file: string): { readonly folder: string } | undefined {
  const [top, folder, ...rest] = file.split('/');
  return top === 'src' && folder !== undefined && rest.length > 0 ? { folder } : undefined;
}
