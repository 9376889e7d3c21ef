/**
 * A process of a simulated world: its clock, and its doors to the disk and the network. It can be killed at
 * any moment. From then on no promise that it waits for settles, so nothing of it goes on; what it has sent
 * and written stays. While it is paused, what would wake it waits.
 */
import type { Channel, Disk, DiskFile, Frame, FrameHandler, Transport } from '../base/ports.ts';
import type { SimulatedClock } from './simulated-time.ts';

/** What the promise yields, but only as long as the process lives and runs. */
export function alive<T>(clock: SimulatedClock, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    promise.then(
      (value) => clock.act(() => resolve(value)),
      (error: unknown) => clock.act(() => reject(error as Error)),
    );
  });
}

export function processDisk(clock: SimulatedClock, disk: Disk): Disk {
  const file = async (opening: Promise<DiskFile>): Promise<DiskFile> => processFile(clock, await opening);
  return {
    open: (path, options) => alive(clock, file(disk.open(path, options))),
    list: (folder) => alive(clock, disk.list(folder)),
    exists: (path) => alive(clock, disk.exists(path)),
    makeFolder: (path) => alive(clock, disk.makeFolder(path)),
    remove: (path) => alive(clock, disk.remove(path)),
    rename: (from, to) => alive(clock, disk.rename(from, to)),
    syncFolder: (path) => alive(clock, disk.syncFolder(path)),
    readFile: (path, maxBytes) => alive(clock, disk.readFile(path, maxBytes)),
    writeFile: (path, bytes, options) => alive(clock, disk.writeFile(path, bytes, options)),
    space: () => alive(clock, disk.space()),
  };
}

function processFile(clock: SimulatedClock, file: DiskFile): DiskFile {
  return {
    path: file.path,
    size: () => alive(clock, file.size()),
    preallocate: (bytes) => alive(clock, file.preallocate(bytes)),
    writeAt: (offset, parts) => alive(clock, file.writeAt(offset, parts)),
    readAt: (offset, length) => alive(clock, file.readAt(offset, length)),
    datasync: () => alive(clock, file.datasync()),
    truncate: (bytes) => alive(clock, file.truncate(bytes)),
    close: () => alive(clock, file.close()),
  };
}

export function processTransport(clock: SimulatedClock, transport: Transport): Transport {
  return { open: (address, peer) => processChannel(clock, transport.open(address, peer)) };
}

function processChannel(clock: SimulatedClock, channel: Channel): Channel {
  return {
    peer: channel.peer,
    get connection() {
      return channel.connection;
    },
    request: (frame, options) => (clock.isStopped ? new Promise<Frame>(() => undefined) : alive(clock, channel.request(frame, options))),
    onNotice: (listener) => channel.onNotice((frame, connection) => clock.act(() => listener(frame, connection))),
    close: () => alive(clock, channel.close()),
  };
}

/** Requests reach the handler only while the process runs. */
export function processHandler(clock: SimulatedClock, handler: FrameHandler): FrameHandler {
  return (from, frame) =>
    new Promise((resolve, reject) => {
      clock.act(() => {
        handler(from, frame).then(
          (answer) => clock.act(() => resolve(answer)),
          (error: unknown) => clock.act(() => reject(error as Error)),
        );
      });
    });
}
