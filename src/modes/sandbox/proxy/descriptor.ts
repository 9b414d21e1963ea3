/** The descriptor of a socket of `Bun.listen` or `Bun.connect`, which have it though their types do not; -1 of a closed one and of anything else. */
export function descriptorOf(socket: object): number {
  return (socket as { readonly fd?: number }).fd ?? -1;
}
