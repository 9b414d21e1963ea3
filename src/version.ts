import manifest from "../package.json" with { type: "json" };

/** Semantic version of the product. */
export const VERSION: string = manifest.version;
