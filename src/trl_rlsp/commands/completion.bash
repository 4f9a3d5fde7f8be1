_rlsp() {
  local word="${COMP_WORDS[COMP_CWORD]}" options=""
  case "${COMP_WORDS[1]}" in
@cases@
  esac
  if [ "$COMP_CWORD" = 1 ]; then options="@commands@"; elif [ "${word:0:1}" != - ]; then options=""; fi
  COMPREPLY=($(compgen -W "$options" -- "$word"))
  [ -n "$options" ] || COMPREPLY=($(compgen -f -- "$word"))
}
complete -o filenames -F _rlsp rlsp
