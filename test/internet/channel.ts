/** Calls and events as JSON lines over a Unix socket: how a test talks to the processes of its test internet. */
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { createInterface } from "node:readline";

/** A message that is not an answer. */
export interface ChannelEvent {
  readonly event: string;
  readonly [key: string]: unknown;
}

interface Request {
  readonly id: number;
  readonly method: string;
  readonly params: unknown;
}

type Answer = { readonly id: number; readonly result?: unknown; readonly error?: string };

export type Handler = (params: never, emit: (event: ChannelEvent) => void) => unknown;

function send(socket: Socket, message: object): void {
  if (!socket.destroyed) socket.write(`${JSON.stringify(message)}\n`);
}

/** Answers calls on `path`. A handler may return a promise, and may send events to its caller for as long as the caller stays. */
export async function serveChannel(path: string, handlers: Readonly<Record<string, Handler>>): Promise<Server> {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    const emit = (event: ChannelEvent) => send(socket, event);
    createInterface({ input: socket }).on("line", async (line) => {
      const { id, method, params } = JSON.parse(line) as Request;
      try {
        const handler = handlers[method];
        if (handler === undefined) throw new Error(`no method '${method}'`);
        send(socket, { id, result: (await handler(params as never, emit)) ?? null });
      } catch (error) {
        send(socket, { id, error: error instanceof Error ? error.message : String(error) });
      }
    });
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(path, resolve));
  return server;
}

/** The calling side. */
export class Channel {
  #next = 1;
  readonly #pending = new Map<number, { resolve: (value: unknown) => void; reject: (reason: Error) => void }>();
  readonly #socket: Socket;
  readonly #listeners = new Set<(event: ChannelEvent) => void>();

  private constructor(socket: Socket) {
    this.#socket = socket;
    createInterface({ input: socket }).on("line", (line) => this.#receive(JSON.parse(line) as Answer | ChannelEvent));
    const gone = () => {
      for (const { reject } of this.#pending.values()) reject(new Error("the test internet is gone"));
      this.#pending.clear();
    };
    socket.on("close", gone).on("error", gone);
  }

  static async connect(path: string): Promise<Channel> {
    const socket = createConnection(path);
    await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    return new Channel(socket);
  }

  /** Resolves with the handler's result, rejects with its message. */
  call<T>(method: string, params: unknown = {}): Promise<T> {
    const id = this.#next++;
    return new Promise<T>((resolve, reject) => {
      this.#pending.set(id, { resolve: resolve as (value: unknown) => void, reject });
      send(this.#socket, { id, method, params });
    });
  }

  onEvent(listener: (event: ChannelEvent) => void): void {
    this.#listeners.add(listener);
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(message: Answer | ChannelEvent): void {
    if ("event" in message) {
      for (const listener of this.#listeners) listener(message);
      return;
    }
    const waiting = this.#pending.get(message.id);
    this.#pending.delete(message.id);
    if (message.error === undefined) waiting?.resolve(message.result);
    else waiting?.reject(new Error(message.error));
  }
}
