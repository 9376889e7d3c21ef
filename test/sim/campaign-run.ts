/** Runs the program of `npm run sim`, and reads its report. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { root } from '../cluster/programs.ts';

export interface CampaignReport {
  readonly failed: readonly { readonly seed: number; readonly violations: readonly string[] }[];
  readonly seeds: number;
}

const PROGRAM = path.join(root, 'node_modules', '.cache', 'companions', 'tools', 'sim.js');
/** Of one program run. */
export const CAMPAIGN_MS = 600_000;

/** A campaign that makes nothing smaller. Throws when the program ends without a report. */
export async function runCampaign(options: readonly string[]): Promise<CampaignReport> {
  const args = [PROGRAM, ...options, '--no-shrink'];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root, timeout: CAMPAIGN_MS, maxBuffer: 1 << 26 }).catch(
    // A campaign in which a run failed ends with 1.
    (error: unknown) => error as { readonly stdout: string },
  );
  const at = stdout.lastIndexOf('\n{\n');
  const report = stdout.startsWith('{\n') ? stdout : stdout.slice(at + 1);
  return JSON.parse(report) as CampaignReport;
}
