/**
 * Addresses of processes as text: `host:port`, with brackets around an IPv6 host. They come from
 * configurations and command lines; port 0 lets the system choose when listening.
 */
import { OperationError } from '../base/errors.ts';

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

const ADDRESS = /^(?:\[([0-9a-fA-F:.%a-z]+)\]|([^\s:[\]/]+)):(\d{1,5})$/;

/** Throws BAD_ARGUMENT. */
export function parseAddress(text: string): HostPort {
  const match = ADDRESS.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || !(port <= 65_535)) {
    throw new OperationError('BAD_ARGUMENT', `'${text.slice(0, 80)}' is not host:port`);
  }
  return { host, port };
}

export function formatAddress(address: HostPort): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}
