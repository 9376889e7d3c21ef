/**
 * Which process holds the other end of a connection on loopback, by the word of the system: its socket is a
 * row of the table of connections with an inode, and one of its descriptors names that inode. So a proxy can
 * tell the links to one node apart, although everybody dials the one address that the configuration names.
 */
import fs from 'node:fs';

/** Only Linux shows this. */
export const canTellWhoDialled = fs.existsSync('/proc/net/tcp');

const LOCAL = 1;
const REMOTE = 2;
const INODE = 9;

/** The name of the process whose connection goes from port `from` to port `to`; undefined for any other. */
export function whoDialled(from: number, to: number, pids: ReadonlyMap<string, number>): string | undefined {
  const rows = fs.readFileSync('/proc/net/tcp', 'utf8').split('\n').map((row) => row.trim().split(/\s+/));
  const row = rows.find((fields) => portOf(fields[LOCAL]) === from && portOf(fields[REMOTE]) === to);
  if (row === undefined) return undefined;
  const socket = `socket:[${row[INODE]}]`;
  return [...pids].find(([, pid]) => descriptorsOf(pid).includes(socket))?.[0];
}

function portOf(address: string | undefined): number {
  return Number.parseInt(address?.split(':')[1] ?? '', 16);
}

function descriptorsOf(pid: number): string[] {
  try {
    return fs.readdirSync(`/proc/${pid}/fd`).map((descriptor) => readLink(`/proc/${pid}/fd/${descriptor}`));
  } catch {
    // The process is gone.
    return [];
  }
}

function readLink(file: string): string {
  try {
    return fs.readlinkSync(file);
  } catch {
    // Closed since the folder was read.
    return '';
  }
}
