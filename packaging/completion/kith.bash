# SPDX-License-Identifier: Apache-2.0
# Completion of kith(1) for bash. What can be completed, kith itself knows.

_kith() {
	local line i=0 quote= found=() words=("${COMP_WORDS[@]:1:COMP_CWORD}")
	COMPREPLY=()
	# Words come as they were typed: what they mean is without quotes.
	for ((i = 0; i < ${#words[@]}; i++)); do
		quote=
		[[ ${words[i]} != [\"\']* ]] || quote=${words[i]:0:1}
		words[i]=${words[i]//[\\\"\']/}
	done
	while IFS= read -r line; do
		if [ "$line" = $'\tfiles' ]; then
			compopt -o filenames 2>/dev/null
			mapfile -t COMPREPLY < <(compgen -f -- "${words[-1]}")
			return
		fi
		found+=("${line%%$'\t'*}")
	done < <("$1" __complete -- "${words[@]}" 2>/dev/null)
	# Names are others' words: the shell must not find anything to do in them.
	for line in "${found[@]}"; do
		if [ -z "$quote" ]; then
			COMPREPLY+=("$(printf %q "$line")")
		elif [[ $line != *[\`\$\\\"\'!]* ]]; then
			COMPREPLY+=("$line")
		fi
	done
}
complete -F _kith kith
