import type {StatusName} from './types.ts';

// Every failure of the module's runtime. `message` is one line for people: what was wrong, what came, what would have
// been right.
export class ModuleError extends Error {
  override readonly name = 'ModuleError';
  readonly status: StatusName;

  constructor(status: StatusName, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}
