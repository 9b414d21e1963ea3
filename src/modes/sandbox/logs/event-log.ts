import type { EventSink, SecurityEvent } from "../../../events/event.ts";
import { type OcsfContext, toOcsf } from "../../../events/ocsf.ts";
import { formatShorthand } from "../../../events/shorthand.ts";
import { RotatedFile } from "./rotated-file.ts";

export interface EventLogOptions {
  readonly context: OcsfContext;
  /** Readable lines go there; undefined: nowhere. */
  readonly readable?: (line: string) => void;
  /** Rotated files `openshell.*.log` and, with `ocsf`, `openshell-ocsf.*.log`. */
  readonly directory?: string;
}

/** Writes every event as a readable line, and as OCSF JSON lines when that is switched on. */
export class EventLog {
  readonly #options: EventLogOptions;
  readonly #lines: RotatedFile | undefined;
  readonly #records: RotatedFile | undefined;
  /** Setting `ocsf_json_enabled`; hot. */
  ocsf: boolean;

  constructor(options: EventLogOptions, ocsf: boolean) {
    this.#options = options;
    this.ocsf = ocsf;
    this.#lines = options.directory === undefined ? undefined : new RotatedFile(options.directory, "openshell");
    this.#records = options.directory === undefined ? undefined : new RotatedFile(options.directory, "openshell-ocsf");
  }

  readonly write: EventSink = (event) => {
    const line = logLine(event);
    this.#options.readable?.(line);
    this.#lines?.write(line);
    if (this.ocsf) this.#records?.write(JSON.stringify(toOcsf(event, this.#options.context)));
  };

  flush(): void {
    this.#lines?.flush();
    this.#records?.flush();
  }
}

/** `2026-04-01T04:04:13.058Z OCSF NET:OPEN [INFO] …` */
export function logLine(event: SecurityEvent): string {
  return `${new Date(event.time).toISOString()} OCSF ${formatShorthand(event)}`;
}
