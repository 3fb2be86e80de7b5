# SPDX-License-Identifier: Apache-2.0
# Completion of kith(1) for fish. What can be completed, kith itself knows.

function __kith_complete
	set -l words (commandline -opc) (commandline -ct)
	set -l lines ($words[1] __complete -- $words[2..-1] 2>/dev/null)
	if test "$lines[1]" = \tfiles
		__fish_complete_path (commandline -ct)
	else if set -q lines[1]
		printf '%s\n' $lines
	end
end
complete -c kith -f -a '(__kith_complete)'
