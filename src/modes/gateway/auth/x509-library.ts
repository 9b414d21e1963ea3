/**
 * The X.509 library decorates its classes while it loads and needs the metadata polyfill before that. Imports are free to be reordered by
 * a bundler, calls are not, hence `require`.
 */
require("reflect-metadata");
const library: typeof import("@peculiar/x509") = require("@peculiar/x509");

export default library;
