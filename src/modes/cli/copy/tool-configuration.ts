/**
 * Files that programs of this machine read, or run, just because they are there (threat 15): repositories, editors, shells, build tools. A
 * sandbox that changes one of them acts on the person's machine when the tool is next used.
 */
const NAMES: ReadonlySet<string> = new Set([
  ".bash_profile",
  ".bashrc",
  ".editorconfig",
  ".envrc",
  ".eslintrc.js",
  ".gdbinit",
  ".gitattributes",
  ".gitmodules",
  ".lldbinit",
  ".mcp.json",
  ".npmrc",
  ".pre-commit-config.yaml",
  ".profile",
  ".pypirc",
  ".tool-versions",
  ".vimrc",
  ".yarnrc",
  ".yarnrc.yml",
  ".zshrc",
  "AGENTS.md",
  "CLAUDE.md",
  "CMakeLists.txt",
  "Dockerfile",
  "GNUmakefile",
  "Jenkinsfile",
  "Justfile",
  "Makefile",
  "Rakefile",
  "Vagrantfile",
  "build.gradle",
  "build.gradle.kts",
  "build.rs",
  "bunfig.toml",
  "conftest.py",
  "docker-compose.yml",
  "justfile",
  "makefile",
  "mise.toml",
  "package.json",
  "pyproject.toml",
  "setup.cfg",
  "setup.py",
  "sitecustomize.py",
  "tox.ini",
]);

const DIRECTORIES: ReadonlySet<string> = new Set([
  ".cargo",
  ".circleci",
  ".claude",
  ".cursor",
  ".devcontainer",
  ".direnv",
  ".git",
  ".github",
  ".gitlab",
  ".husky",
  ".idea",
  ".mvn",
  ".vscode",
  ".yarn",
]);

/** True for a path (relative, with `/`) that some tool takes its configuration from. */
export function isToolConfiguration(path: string): boolean {
  const parts = path.split("/");
  return NAMES.has(parts.at(-1) ?? "") || parts.slice(0, -1).some((part) => DIRECTORIES.has(part)) || DIRECTORIES.has(parts.at(-1) ?? "");
}
