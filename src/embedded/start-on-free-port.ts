import { isPortFree } from '../platform/ports.js';
import type { RunningComponent } from './component.js';
import type { EmbeddedState, PortName } from './embedded-state.js';

/** Enough for several Tidemarks that start at the same moment and all want the usual ports. */
const TRIES = 6;

/**
 * Starts a component on ports of its own. The first time, when another program takes one between our look and the component's, others are chosen;
 * later starts keep them, because by then their addresses are known elsewhere.
 */
export class PortKeeper<Name extends PortName> {
  readonly #state: EmbeddedState;
  readonly #names: readonly Name[];
  #ports: Record<Name, number> | undefined;

  constructor(state: EmbeddedState, ...names: Name[]) {
    this.#state = state;
    this.#names = names;
  }

  /** Known once `start` succeeded. */
  get(name: Name): number {
    if (!this.#ports) throw new Error(`the port of ${name} is asked for before the start`);
    return this.#ports[name];
  }

  async start(start: (ports: Record<Name, number>) => Promise<RunningComponent>): Promise<RunningComponent> {
    if (this.#ports) return start(this.#ports);
    for (let attempt = 1; ; attempt++) {
      const ports = {} as Record<Name, number>;
      for (const name of this.#names) ports[name] = await this.#state.choosePort(name);
      try {
        const running = await start(ports);
        this.#ports = ports;
        return running;
      } catch (error) {
        const taken = await Promise.all(this.#names.map(async (name) => !(await isPortFree(ports[name]))));
        if (attempt >= TRIES || !taken.includes(true)) throw error;
      }
    }
  }
}
