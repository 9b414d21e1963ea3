/** A file that the build embeds; the import is its path. */
declare module "*.wasm" {
  const path: string;
  export default path;
}
