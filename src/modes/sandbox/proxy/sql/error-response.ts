/** SQLSTATE class 08: connection_failure. */
const CONNECTION_FAILURE = "08006";

/** The message that ends a session before it begins (protocol 3, "ErrorResponse"), as psql and drivers show it. */
export function errorResponse(reason: string): Buffer {
  const fields = `SFATAL\0VFATAL\0C${CONNECTION_FAILURE}\0M${reason.replaceAll("\0", " ")}\0\0`;
  const payload = Buffer.from(fields);
  const head = Buffer.alloc(5);
  head.write("E", 0, "latin1");
  head.writeUInt32BE(payload.length + 4, 1);
  return Buffer.concat([head, payload]);
}
