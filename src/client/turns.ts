/** Takes tasks of one name one after the other, in the order in which they came. Names without tasks cost nothing. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Runs the task when those before it have ended, however they did. */
  async take<T>(name: string, task: () => Promise<T>): Promise<T> {
    const before = this.#last.get(name) ?? Promise.resolve();
    const mine = before.then(task, task);
    this.#last.set(name, mine);
    try {
      return await mine;
    } finally {
      if (this.#last.get(name) === mine) this.#last.delete(name);
    }
  }
}
