/** Completion scripts: each asks `openshell complete` for the candidates of the words so far. */
export const scripts = {
  bash: `# openshell completions for bash:  source <(openshell completions bash)
_openshell() {
  local IFS=$'\\n'
  local words=("\${COMP_WORDS[@]:1:COMP_CWORD}")
  local found
  found=$(openshell complete -- "\${words[@]}" 2>/dev/null)
  if [[ "$found" == *":files"* ]]; then
    COMPREPLY=($(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}"))
  else
    COMPREPLY=($(compgen -W "$found" -- "\${COMP_WORDS[COMP_CWORD]}"))
  fi
}
complete -o filenames -F _openshell openshell
`,
  zsh: `#compdef openshell
# openshell completions for zsh:  source <(openshell completions zsh)
_openshell() {
  local -a found
  found=("\${(@f)$(openshell complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if (( \${found[(Ie):files]} )); then
    _files
  else
    compadd -- "\${found[@]}"
  fi
}
compdef _openshell openshell
`,
  fish: `# openshell completions for fish:  openshell completions fish | source
function __openshell_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l found (openshell complete -- $words[2..-1] 2>/dev/null)
    if contains -- :files $found
        __fish_complete_path (commandline -ct)
    else
        printf '%s\\n' $found
    end
end
complete -c openshell -f -a '(__openshell_complete)'
`,
} as const;
