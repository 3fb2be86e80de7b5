# SPDX-License-Identifier: Apache-2.0
# Completion of kith(1) for bash: commands from its own help, machines and devices from its lists.

_kith_names() {
	# Names may hold blanks: one a line.
	kith --no-input --json "$1" 2>/dev/null | grep -o '"name": *"[^"]*"' |
		sed 's/^"name": *"//; s/"$//'
}

_kith() {
	local cur=${COMP_WORDS[COMP_CWORD]} words=() word skip
	local IFS=$'\n'
	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		[ -z "$skip" ] || { skip=; continue; }
		case $word in
		--config | --rung) skip=1 ;;
		--all) words+=("$word") ;;
		-*) ;;
		*) words+=("$word") ;;
		esac
	done
	if [ "${COMP_WORDS[COMP_CWORD-1]}" = --rung ]; then
		COMPREPLY=($(compgen -W $'live\nwarm\ncold' -- "$cur"))
		return
	fi
	case ${#words[@]}:${words[0]} in
	0:*)
		if [[ $cur == -* ]]; then
			COMPREPLY=($(compgen -W $'--json\n--yes\n--no-input\n--read-only\n--config' -- "$cur"))
		else
			COMPREPLY=($(compgen -W "$(kith help 2>/dev/null |
				sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p' | sort -u)" -- "$cur"))
		fi
		;;
	1:move)
		COMPREPLY=($(compgen -W "$(_kith_names vms)"$'\n--all\n--rung\n--eject' -- "$cur"))
		;;
	1:console)
		COMPREPLY=($(compgen -W "$(_kith_names vms)"$'\n--serial\n--print\n--force' -- "$cur"))
		;;
	1:plan | 1:claim | 1:cancel)
		COMPREPLY=($(compgen -W "$(_kith_names vms)" -- "$cur"))
		;;
	2:move | 2:plan | 1:pair | 1:trust)
		COMPREPLY=($(compgen -W "$(_kith_names devices)" -- "$cur"))
		;;
	1:vm)
		COMPREPLY=($(compgen -W $'show\nroam' -- "$cur"))
		;;
	2:vm)
		COMPREPLY=($(compgen -W "$(_kith_names vms)" -- "$cur"))
		;;
	3:vm)
		[ "${words[1]}" = roam ] && COMPREPLY=($(compgen -W $'--devices\n--undo' -- "$cur"))
		;;
	2:policy)
		COMPREPLY=($(compgen -W "$(_kith_names vms)" -- "$cur"))
		;;
	esac
	COMPREPLY=("${COMPREPLY[@]// /\\ }")
}
complete -F _kith kith
