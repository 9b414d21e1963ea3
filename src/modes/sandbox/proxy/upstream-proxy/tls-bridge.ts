import { Socket as StreamSocket } from "node:net";
import { pipeline } from "node:stream";
import { connect } from "node:tls";
import { close, setNonBlocking, socketPair } from "../../../../linux/descriptors.ts";

export interface TlsBridgeTarget {
  readonly host: string;
  readonly port: number;
  /** PEM. */
  readonly authorities: readonly string[];
  /** Time until it is verified. */
  readonly handshakeMs: number;
}

/**
 * A verified TLS connection as a plain socket: one end of a pair, whose other end is copied from and to the TLS. So whatever is done with a
 * socket, TLS inside it too, can be done with it. `open` is called with a descriptor that is the receiver's from then on.
 */
export function openTlsBridge(
  { host, port, authorities, handshakeMs }: TlsBridgeTarget,
  open: (bridge: { readonly fd: number; readonly address: string | undefined }) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const secure = connect({
      host,
      port,
      ...(/^[\d.]+$|:/.test(host) ? {} : { servername: host }),
      ca: [...authorities],
      rejectUnauthorized: true,
      ALPNProtocols: ["http/1.1"],
      allowHalfOpen: true,
    });
    secure.setTimeout(handshakeMs, () => secure.destroy(new Error(`no TLS handshake within ${handshakeMs} ms`)));
    secure.once("error", reject);
    secure.once("secureConnect", () => {
      secure.setTimeout(0);
      const [ours, theirs] = socketPair();
      try {
        setNonBlocking(ours);
        setNonBlocking(theirs);
      } catch (error) {
        close(ours);
        close(theirs);
        secure.destroy();
        reject(error);
        return;
      }
      const plain = new StreamSocket({ fd: ours, allowHalfOpen: true, readable: true, writable: true });
      const end = () => {
        secure.destroy();
        plain.destroy();
      };
      pipeline(secure, plain, (error: Error | null | undefined) => error && end());
      pipeline(plain, secure, (error: Error | null | undefined) => error && end());
      resolve();
      open({ fd: theirs, address: secure.remoteAddress });
    });
  });
}
