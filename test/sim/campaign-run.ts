/** Runs the program of `npm run sim`, and reads its report. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { buildPrograms, root } from '../cluster/programs.ts';

export interface CampaignReport {
  readonly failed: readonly { readonly seed: number; readonly violations: readonly string[] }[];
  readonly seeds: number;
}

const PROGRAM = path.join(root, 'node_modules', '.cache', 'companions', 'tools', 'sim.js');
/** Of one program run. */
export const CAMPAIGN_MS = 600_000;

let isBuilt = false;

/** A campaign that makes nothing smaller, of the sources as they are. Throws what the program told when it ends without a report. */
export async function runCampaign(options: readonly string[]): Promise<CampaignReport> {
  if (!isBuilt) buildPrograms();
  isBuilt = true;
  const args = [PROGRAM, ...options, '--no-shrink'];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { cwd: root, timeout: CAMPAIGN_MS, maxBuffer: 1 << 26 }).catch(
    // A campaign in which a run failed ends with 1.
    (error: unknown) => error as { readonly stdout: string; readonly stderr: string },
  );
  const at = stdout.startsWith('{\n') ? 0 : stdout.lastIndexOf('\n{\n') + 1;
  if (!stdout.startsWith('{\n', at)) throw new Error(`No report of ${options.join(' ')}: ${stderr}`);
  return JSON.parse(stdout.slice(at)) as CampaignReport;
}
