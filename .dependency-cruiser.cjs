// The layers of docs/architecture.md, checked by `bun run check:layers`.
const shared = "^src/(address|policy|engine|events|inference|linux|rpc)/";
module.exports = {
  forbidden: [
    { name: "no-cycles", severity: "error", from: {}, to: { circular: true, dependencyTypesNot: ["type-only"] } },
    { name: "shared-layers-know-no-mode", severity: "error", from: { path: shared }, to: { path: "^src/modes/" } },
    { name: "modes-do-not-meet", severity: "error", from: { path: "^src/modes/([^/]+)/" }, to: { path: "^src/modes/", pathNot: "^src/modes/$1/" } },
    { name: "ffi-only-in-linux", severity: "error", from: { path: "^src/", pathNot: "^src/linux/" }, to: { path: "^bun:ffi$" } },
    {
      name: "pure-layers-do-no-io",
      severity: "error",
      from: { path: "^src/(address|policy|modes/sandbox/proxy/http1)/", pathNot: "\\.test\\.ts$" },
      to: { path: "^(node:)?(fs|fs/promises|net|tls|http|https|http2|dns|child_process|dgram|worker_threads)$|^bun:|^src/linux/" },
    },
    { name: "no-orphans", severity: "warn", from: { orphan: true, pathNot: ["\\.d\\.ts$", "\\.test\\.ts$"] }, to: {} },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "^src/rpc/gen/" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: { extensions: [".ts", ".js"] },
  },
};
