/**
 * Running the conformance suite of Ceph (https://github.com/ceph/s3-tests) against an endpoint: what it needs
 * on this machine, the configuration that it reads, and one pytest process. The suite is no part of this
 * repository; a clone of it is named by HOLDFAST_S3_TESTS.
 */
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { SUITE_COMMIT, SUITE_FILES, markExpression, nameExpression } from './selection.ts';

/** One of the accounts that the suite acts for. */
export interface SuiteUser {
  readonly id: string;
  readonly displayName: string;
  readonly email: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export const SUITE_ROLES = ['main', 'alt', 'tenant', 'iam', 'iamRoot', 'iamAltRoot'] as const;
export type SuiteRole = (typeof SUITE_ROLES)[number];
export type SuiteUsers = Readonly<Record<SuiteRole, SuiteUser>>;

/** What the suite is run against. */
export interface SuiteEndpoint {
  readonly port: number;
  readonly users: SuiteUsers;
  close(): Promise<void>;
}

export interface CaseResult {
  readonly file: string;
  readonly case: string;
  readonly outcome: 'passed' | 'failed' | 'skipped';
  readonly reason: string;
  /** In the suite's file; 0 where none is known. */
  readonly line: number;
  readonly seconds: number;
  readonly marks: readonly string[];
  readonly when?: string;
}

/** Of Python. */
export const PACKAGES: readonly string[] = ['pytest', 'boto3', 'requests', 'isodate', 'pytz', 'dateutil'];
/** A case that writes a thousand keys one after the other waits for as many writes to reach the disks. */
const CASE_SECONDS_MAX = 600;
/** Lifecycle rules count days; the suite counts them in units of so many seconds. */
export const LIFECYCLE_DAY_SECONDS = 2;

/** What is missing here for a run, in words; empty when nothing is. */
export function missing(python: string, suite: string | undefined): string[] {
  const found: string[] = [];
  const probe = `import importlib.util as u, json; print(json.dumps([n for n in ${JSON.stringify(PACKAGES)} if u.find_spec(n) is None]))`;
  const probed = spawnSync(python, ['-c', probe], { encoding: 'utf8' });
  if (probed.status !== 0) found.push(`Python 3 (tried ${python})`);
  else for (const name of JSON.parse(probed.stdout) as string[]) found.push(`the Python package ${name}`);
  if (suite === undefined) found.push(`a clone of https://github.com/ceph/s3-tests at ${SUITE_COMMIT}, named by HOLDFAST_S3_TESTS or --suite`);
  else if (!fs.existsSync(path.join(suite, 's3tests', 'functional', SUITE_FILES[0]))) found.push(`the suite in ${suite}`);
  return found;
}

/** The commit of the clone, or undefined where git does not tell. */
export function suiteCommit(suite: string): string | undefined {
  const told = spawnSync('git', ['-C', suite, 'rev-parse', '--short=7', 'HEAD'], { encoding: 'utf8' });
  return told.status === 0 ? told.stdout.trim() : undefined;
}

function configuration(port: number, users: SuiteUsers): string {
  const section = (name: string, user: SuiteUser, more: readonly string[] = []): string =>
    [
      `[${name}]`,
      `display_name = ${user.displayName}`,
      `user_id = ${user.id}`,
      `email = ${user.email}`,
      `access_key = ${user.accessKeyId}`,
      `secret_key = ${user.secretAccessKey}`,
      ...more,
      '',
    ].join('\n');
  return [
    '[DEFAULT]',
    'host = localhost',
    `port = ${port}`,
    'is_secure = False',
    'ssl_verify = False',
    '',
    '[fixtures]',
    'bucket prefix = hf-{random}-',
    '',
    section('s3 main', users.main, ['api_name = ', `lc_debug_interval = ${LIFECYCLE_DAY_SECONDS}`]),
    section('s3 alt', users.alt),
    section('s3 tenant', users.tenant, ['tenant = testx']),
    section('iam', users.iam),
    section('iam root', users.iamRoot),
    section('iam alt root', users.iamAltRoot),
  ].join('\n');
}

export interface SuiteRun {
  readonly python: string;
  readonly suite: string;
  /** Where the configuration and the report are written. */
  readonly folder: string;
  readonly port: number;
  readonly users: SuiteUsers;
  /** The cases to run, as pytest names them; undefined: all that are selected. */
  readonly cases: readonly string[] | undefined;
}

const pythonFolder = (root: string): string => path.join(root, 'test', 's3', 'conformance', 'python');

function environment(root: string, folder: string): NodeJS.ProcessEnv {
  const plugins = pythonFolder(root);
  const paths = [process.env['PYTHONPATH'], plugins, path.join(plugins, 'stand-ins')].filter((one) => one !== undefined && one !== '');
  return {
    ...process.env,
    PYTHONPATH: paths.join(path.delimiter),
    PYTHONDONTWRITEBYTECODE: '1',
    S3TEST_CONF: path.join(folder, 's3tests.conf'),
    HOLDFAST_CASE_SECONDS_MAX: String(CASE_SECONDS_MAX),
    HOLDFAST_REPORT: path.join(folder, 'report.jsonl'),
    // No settings of the person who runs the tests.
    AWS_CONFIG_FILE: path.join(folder, 'none'),
    AWS_SHARED_CREDENTIALS_FILE: path.join(folder, 'none'),
    AWS_DEFAULT_REGION: 'us-east-1',
    AWS_EC2_METADATA_DISABLED: 'true',
  };
}

const selection = ['-m', markExpression, '-k', nameExpression];
const files = SUITE_FILES.map((name) => `s3tests/functional/${name}`);

/** Every selected case, as pytest names it. The suite reads its configuration already for that. */
export function collect(root: string, run: Omit<SuiteRun, 'cases' | 'port'>): string[] {
  fs.writeFileSync(path.join(run.folder, 's3tests.conf'), configuration(1, run.users));
  const told = spawnSync(run.python, ['-m', 'pytest', '-p', 'no:cacheprovider', '--collect-only', '-q', ...selection, ...files], {
    cwd: run.suite,
    env: environment(root, run.folder),
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  const cases = told.stdout.split('\n').filter((line) => line.includes('::'));
  if (told.status !== 0 || cases.length === 0) throw new Error(`pytest collected nothing:\n${told.stdout}${told.stderr}`);
  return cases;
}

/** Runs cases in one pytest process; resolves with what became of each. */
export async function runCases(root: string, run: SuiteRun, tell: () => void): Promise<CaseResult[]> {
  fs.writeFileSync(path.join(run.folder, 's3tests.conf'), configuration(run.port, run.users));
  const reportFile = path.join(run.folder, 'report.jsonl');
  fs.writeFileSync(reportFile, '');
  const log = fs.openSync(path.join(run.folder, 'pytest.log'), 'w');
  const which = run.cases ?? files;
  const child = spawn(run.python, ['-m', 'pytest', '-p', 'no:cacheprovider', '-p', 'holdfast_report', '-q', '--tb=short', ...selection, ...which], {
    cwd: run.suite,
    env: environment(root, run.folder),
    stdio: ['ignore', log, log],
  });
  const results: CaseResult[] = [];
  const readOn = (): void => {
    const lines = fs.readFileSync(reportFile, 'utf8').split('\n').slice(results.length, -1);
    for (const line of lines) {
      const result = JSON.parse(line) as CaseResult;
      results.push(result);
      tell();
    }
  };
  const timer = setInterval(readOn, 500);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  clearInterval(timer);
  fs.closeSync(log);
  readOn();
  // 0: all passed; 1: some failed. Anything else is no result at all.
  if (code !== 0 && code !== 1) throw new Error(`pytest ended with ${code}:\n${fs.readFileSync(path.join(run.folder, 'pytest.log'), 'utf8').slice(-4000)}`);
  return results;
}
