/**
 * What start, build and test have in common: the Node version, installed packages and compiled programs,
 * each brought up to date only when it is not. Plain JavaScript on Node built-ins alone, because it runs
 * before anything is installed; the syntax is old enough that an old Node reaches the version check.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const cache = path.join(root, 'node_modules', '.cache');

/** The two things that get compiled: the product, and the programs beside it (demo, benchmarks, adversaries). */
export const PROJECTS = {
  product: {
    config: 'tsconfig.build.json',
    out: path.join(root, 'dist'),
    info: path.join(cache, 'build.tsbuildinfo'),
    sources: ['src'],
  },
  companions: {
    config: 'tsconfig.companions.json',
    out: path.join(cache, 'companions'),
    info: path.join(cache, 'companions.tsbuildinfo'),
    sources: ['src', 'test', 'bench', 'tools'],
  },
};

export function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

/** Ends the process unless this Node fits `engines` of package.json. */
export function requireNode() {
  const wanted = /(\d+)\.(\d+)/.exec(readJson('package.json').engines.node);
  const [major, minor] = process.versions.node.split('.').map(Number);
  const [wantedMajor, wantedMinor] = [Number(wanted[1]), Number(wanted[2])];
  if (major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)) return;
  fail(`Holdfast needs Node ${wantedMajor}.${wantedMinor} or later; this is ${process.version}. Get one at https://nodejs.org`);
}

/** Runs `npm ci` unless every package of the lock file is installed in its version. */
export function installIfNeeded() {
  const difference = firstDifference();
  if (difference === null) return;
  process.stderr.write(`installing packages (${difference})\n`);
  // npm sets NODE_ENV=production or omit flags in some shells; the compiler is a development package.
  const env = { ...process.env, NODE_ENV: 'development' };
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  const result = spawnSync(npm, ['ci', '--include=dev', '--no-audit', '--no-fund'], { cwd: root, stdio: ['ignore', 2, 2], env });
  if (result.error) fail(`npm could not be run: ${result.error.message}`);
  if (result.status !== 0) fail('npm ci failed; its messages stand above.');
}

function firstDifference() {
  const wanted = readJson('package-lock.json').packages;
  let installed;
  try {
    installed = readJson('node_modules/.package-lock.json').packages;
  } catch {
    return 'none are installed yet';
  }
  for (const [name, entry] of Object.entries(wanted)) {
    if (name === '' || entry.optional || entry.devOptional || entry.link) continue;
    const found = installed[name];
    if (!found) return `${name} is missing`;
    if (found.version !== entry.version) return `${name} is ${found.version}, the lock file says ${entry.version}`;
  }
  return null;
}

/**
 * Compiles a project when a source changed since the last build. Sources that came or went empty the
 * output first, so that no program of a deleted source lives on.
 */
export function buildIfStale(name) {
  return alone(() => build(name));
}

/** Test files start at once and each wants the programs: one builds, the others wait for it. */
function alone(work) {
  const lock = path.join(cache, 'build.lock');
  fs.mkdirSync(cache, { recursive: true });
  for (;;) {
    try {
      fs.writeFileSync(lock, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
      if (!isRunning(Number(readText(lock)))) fs.rmSync(lock, { force: true });
      else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
    }
  }
  const unlock = () => fs.rmSync(lock, { force: true });
  // A build that fails ends the process.
  process.once('exit', unlock);
  try {
    return work();
  } finally {
    process.removeListener('exit', unlock);
    unlock();
  }
}

function isRunning(pid) {
  try {
    // 0 is what an empty file says: its writer is between creating and writing it.
    return pid === 0 || process.kill(pid, 0);
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function build(name) {
  const project = PROJECTS[name];
  const stampFile = path.join(cache, `${name}.stamp`);
  const files = sourceFiles(project);
  const names = files.map((file) => file.name).join('\n');
  const state = files.map((file) => `${file.name} ${file.size} ${file.changed}`).join('\n');
  const before = readText(stampFile);
  if (before === `${names}\n\n${state}` && fs.existsSync(project.out)) return false;
  if (before === null || !before.startsWith(`${names}\n\n`) || !fs.existsSync(project.out)) {
    fs.rmSync(project.out, { recursive: true, force: true });
    fs.rmSync(project.info, { force: true });
  }
  fs.rmSync(stampFile, { force: true });
  fs.mkdirSync(project.out, { recursive: true });
  // Inside node_modules the type of the package does not reach the programs; say it again.
  fs.writeFileSync(path.join(project.out, 'package.json'), '{ "type": "module" }\n');
  const tsc = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const result = spawnSync(process.execPath, [tsc, '-p', project.config], { cwd: root, stdio: ['ignore', 2, 2] });
  if (result.status !== 0) fail(`compiling ${project.config} failed; the compiler's messages stand above.`);
  fs.mkdirSync(cache, { recursive: true });
  fs.writeFileSync(stampFile, `${names}\n\n${state}`);
  return true;
}

function sourceFiles(project) {
  const files = [];
  const add = (name) => {
    const stat = fs.statSync(path.join(root, name));
    files.push({ name, size: stat.size, changed: stat.mtimeMs });
  };
  const walk = (folder) => {
    if (!fs.existsSync(path.join(root, folder))) return;
    for (const entry of fs.readdirSync(path.join(root, folder), { withFileTypes: true })) {
      const name = `${folder}/${entry.name}`;
      if (entry.isDirectory()) walk(name);
      else if (/(?<!\.test)\.ts$/.test(entry.name)) add(name);
    }
  };
  add('package.json');
  add('package-lock.json');
  add('tsconfig.json');
  add(project.config);
  for (const folder of project.sources) walk(folder);
  return files.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function readText(file) {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}

function readJson(name) {
  return JSON.parse(fs.readFileSync(path.join(root, name), 'utf8'));
}
