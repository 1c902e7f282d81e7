# shellcheck shell=sh
# What the hooks post-merge, post-commit and post-rewrite share: they tell Quantum's gateway what came, and wait for the
# verdict. They move nothing themselves, and git never hears of a failure. Needs a POSIX shell, git, and curl.

newline='
'

say() {
	printf 'quantum: %s\n' "$1" >&2
}

# guard EVENT ARGUMENTS…: the whole of it.
guard() {
	event=$1
	# Somebody's script that Quantum runs did this, or Quantum itself.
	[ -z "${QUANTUM_HOOK_DEPTH:-}" ] || return 0
	case $event in
	post-commit) git rev-parse -q --verify 'HEAD^2' >/dev/null 2>&1 || return 0 ;; # most commits are no merges
	post-rewrite) [ "${2:-}" = rebase ] || return 0 ;; # post-commit has seen the amended one
	esac
	case ${CI:-} in
	'' | 0 | false) ;;
	*)
		say "not checked: this is CI (the variable CI is set)."
		return 0
		;;
	esac
	find_repository || return 0
	if [ "$event" = post-merge ] && [ "${2:-0}" = 1 ]; then
		say "nothing to check: a squash has committed nothing yet."
		return 0
	fi
	arrived || return 0
	read_wishes
	if [ "$event" = post-rewrite ] || [ "$background" = true ]; then
		check_in_background
	else
		check_and_wait
	fi
}

# Where we are: top, git_dir, common_dir; from then on git's own variables mean this repository and nothing else.
find_repository() {
	# Typed by hand within .git there is no work tree around us, and the last of the four is missing.
	places=$(git rev-parse --is-bare-repository --absolute-git-dir --git-common-dir --show-toplevel 2>/dev/null) ||
		places="$places$newline"
	bare=${places%%"$newline"*}
	places=${places#*"$newline"}
	git_dir=${places%%"$newline"*}
	places=${places#*"$newline"}
	common_dir=${places%%"$newline"*}
	top=${places#*"$newline"}
	if [ -z "$git_dir" ]; then
		say "nothing to check: git finds no repository here."
		return 1
	fi
	case $common_dir in /*) ;; *) common_dir=$PWD/$common_dir ;; esac
	if [ "$bare" = true ]; then
		say "nothing to check: this repository is bare."
		return 1
	fi
	top=${top:-${git_dir%/.git}}
	# shellcheck disable=SC2046 # names of variables, one a line
	unset $(git rev-parse --local-env-vars)
	GIT_DIR=$git_dir GIT_WORK_TREE=$top GIT_OPTIONAL_LOCKS=0
	export GIT_DIR GIT_WORK_TREE GIT_OPTIONAL_LOCKS

	repository='' workspace=''
	settings=$(git config --local --get-regexp '^quantum\.' 2>/dev/null)
	old_ifs=$IFS IFS=$newline
	set -f
	for setting in $settings; do
		case $setting in
		'quantum.repository '*) repository=${setting#* } ;;
		'quantum.workspace '*) workspace=${setting#* } ;;
		esac
	done
	set +f
	IFS=$old_ifs
}

# What came: old and new, as hints; the check reads them again. 1 when it is plain that nothing did.
arrived() {
	for state in rebase-merge rebase-apply sequencer CHERRY_PICK_HEAD REVERT_HEAD; do
		# At its end a rebase calls post-rewrite before it clears away.
		if [ -e "$git_dir/$state" ] && [ "$event" != post-rewrite ]; then
			say "not checked: a rebase, cherry-pick or revert is under way."
			return 1
		fi
	done
	entry=$(git log -g -1 --no-show-signature --format=%gs HEAD -- 2>/dev/null)
	case $event:$entry in
	# Without a reflog the check itself decides. A name for the merge may be set by GIT_REFLOG_ACTION.
	*: | post-merge:merge\ * | post-merge:pull* | post-merge:*'Fast-forward' | post-merge:*'Merge made by'*) ;;
	post-merge:commit\ \(merge\)* | post-commit:commit\ \(merge\)* | post-rewrite:*) ;;
	*)
		say "nothing to check: HEAD's newest move is no merge, but \"$entry\"."
		return 1
		;;
	esac
	# By the reflog, as the check reads it; ORIG_HEAD may be of a command long ago, but of a rebase it is the start.
	case $event in
	post-rewrite) before=ORIG_HEAD ;;
	*) before='HEAD@{1}' ;;
	esac
	commits=$(git rev-parse HEAD "$before" 2>/dev/null)
	new=$(name_of_commit "${commits%%"$newline"*}")
	old=$(name_of_commit "${commits#*"$newline"}")
	if [ -z "$new" ]; then
		say "nothing to check: HEAD has no commit yet."
		return 1
	fi
}

name_of_commit() {
	case $1 in *[!0-9a-f]* | '') ;; *) printf '%s' "$1" ;; esac
}

# [merge] timeout and background of quantum.toml as it was before; in the plain form, a key and a value a line.
read_wishes() {
	timeout_seconds=300 background=false table=''
	wishes=$(git cat-file blob "${old:-HEAD^1}:quantum.toml" 2>/dev/null) || return 0
	old_ifs=$IFS IFS=$newline
	set -f
	for line in $wishes; do
		case $line in
		*\[* | *timeout* | *background*) plain_line "$line" ;;
		*) continue ;;
		esac
		case $line in
		\[*) table=$line ;;
		merge.*=*) [ -z "$table" ] && wish "${line#merge.}" ;;
		*=*) [ "$table" = '[merge]' ] && wish "$line" ;;
		esac
	done
	set +f
	IFS=$old_ifs
}

# The line without blanks, quotes and what a comment says; in $line.
plain_line() {
	line=${1%%#*}
	case $line in
	*[[:blank:]\"\']*) line=$(printf '%s' "$line" | tr -d "[:blank:]\r\"'") ;;
	esac
}

wish() {
	case $1 in
	background=true) background=true ;;
	timeout=*) seconds_of "${1#timeout=}" ;;
	esac
}

# 90s, 5m, 1h30m, or a number of seconds, into timeout_seconds; a part of a unit counts as a whole one.
seconds_of() {
	rest=$1 sum=0
	while [ -n "$rest" ]; do
		number=${rest%%[!0-9]*}
		case $number in '' | ???????*) return ;; esac
		rest=${rest#"$number"}
		while [ "${number#0}" != "$number" ] && [ "$number" != 0 ]; do number=${number#0}; done
		case $rest in .[0-9]*)
			rest=${rest#.}
			rest=${rest#"${rest%%[!0-9]*}"}
			number=$((number + 1))
			;;
		esac
		case $rest in
		ms*) number=$((number / 1000 + 1)) rest=${rest#ms} ;;
		s*) rest=${rest#s} ;;
		m*) number=$((number * 60)) rest=${rest#m} ;;
		h*) number=$((number * 3600)) rest=${rest#h} ;;
		d*) number=$((number * 86400)) rest=${rest#d} ;;
		'') ;;
		*) return ;;
		esac
		sum=$((sum + number))
	done
	[ "$sum" -eq 0 ] || timeout_seconds=$sum
}

# What is needed to ask the gateway: url, token_file, authority. 1, with why in $why, when something is missing.
reach() {
	case $repository in '' | *[!0-9a-z]*)
		why="this repository is not known to Quantum; quantum hooks install makes it so"
		return 1
		;;
	esac
	if ! command -v curl >/dev/null 2>&1; then
		why="curl is not installed"
		return 1
	fi
	token_file=$workspace/.quantum/hooks/token
	if [ ! -r "$token_file" ]; then
		why="$token_file cannot be read; quantum hooks install makes it"
		return 1
	fi
	host='' port='' authority=''
	if [ -r "$workspace/.quantum/runtime.json" ]; then
		while IFS= read -r line; do
			case $line in
			*'"host": "'*) [ -n "$host" ] || host=${line#*'"host": "'} host=${host%%\"*} ;;
			*'"port": '*) [ -n "$port" ] || port=${line#*'"port": '} port=${port%%[!0-9]*} ;;
			esac
		done <"$workspace/.quantum/runtime.json"
	fi
	case $port in '' | *[!0-9]*)
		why="Quantum does not run in $workspace; quantum up --detach starts it"
		return 1
		;;
	esac
	case $host in
	127.* | localhost) url=http://127.0.0.1:$port ;;
	::1) url="http://[::1]:$port" ;;
	'' | 0.0.0.0 | ::) url=https://localhost:$port ;;
	*:*) url="https://[$host]:$port" ;;
	*) url=https://$host:$port ;;
	esac
	case $url in https:*) authority=$workspace/.quantum/tls/authority.pem ;; esac
}

# request METHOD PATH SECONDS [BODY]: what curl reads. All of it comes by standard input, so that the token is in no
# process list, and in none of this shell's variables, which `sh -x` would show.
request() {
	printf 'silent\nno-buffer\ngloboff\nnoproxy = "*"\nconnect-timeout = 3\nmax-time = %s\n' "$3"
	printf 'request = "%s"\nurl = "%s%s"\nheader = "Accept: text/plain"\n' "$1" "$url" "$2"
	sed -n '1s/^\([0-9A-Za-z_]*\)$/header = "X-Auth-Token: \1"/p' "$token_file"
	[ -z "$authority" ] || printf 'cacert = "%s"\n' "$(escaped "$authority")"
	if [ "$1" = POST ]; then
		printf 'header = "Content-Type: application/json"\ndata = "%s"\n' "$(escaped "$4")"
		printf 'write-out = "\\n%%{http_code}"\n'
	else
		printf 'fail\n'
	fi
}

# The same escapes do for JSON and for curl.
escaped() {
	printf '%s' "$1" | LC_ALL=C sed 's/[\\"]/\\&/g'
}

# post PATH SECONDS BODY: the answer in $answer, its status in $status; 1 when there was none.
post() {
	answer=$(request POST "$1" "$2" "$3" | curl -q --config - 2>/dev/null)
	status=${answer##*"$newline"}
	answer=${answer%"$newline"*}
	case $status in 000 | '' | *[!0-9]*) return 1 ;; esac
}

# Asks for a check, within SECONDS. 0 and $id, or 1 and $why.
ask_for_a_check() {
	id=''
	case $top in *[[:cntrl:]]*)
		why="the name of $top has characters that cannot be sent"
		return 1
		;;
	esac
	body="{\"repository\": \"$repository\", \"folder\": \"$(escaped "$top")\", \"event\": \"$event\""
	body="$body, \"old\": \"$old\", \"new\": \"$new\", \"background\": $2}"
	if ! post /hooks/merge "$1" "$body"; then
		why="Quantum's gateway at $url does not answer; quantum status shows what runs"
		return 1
	fi
	case $status in
	2??)
		id=${answer%%"$newline"*}
		case $id in '' | *[!0-9a-z]*)
			id='' why="the gateway gave an answer that is not understood"
			return 1
			;;
		esac
		;;
	401 | 403)
		why="the hooks' token is not good any more; quantum hooks install makes another"
		return 1
		;;
	*)
		why=${answer%%"$newline"*}
		why=${why:-the gateway answered with status $status}
		why=${why%.}
		return 1
		;;
	esac
}

not_checked() {
	if write_down; then
		say "not checked: $1. It is written down, and will be looked at when Quantum runs."
	else
		say "not checked: $1. It could not be written down in $common_dir/quantum/unchecked either."
	fi
}

# For the pass that looks for what was not checked: one line, time, event, old, new; `-` for what is not known.
write_down() {
	{
		mkdir -p "$common_dir/quantum" &&
			printf '%s %s %s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$event" "${old:--}" "${new:--}" \
				>>"$common_dir/quantum/unchecked"
	} 2>/dev/null
}

check_in_background() {
	if ! reach; then
		not_checked "$why"
		return
	fi
	# Nothing of ours is left open, so that whoever reads what git says does not wait for it.
	(
		trap '' HUP INT
		cd / || exit
		ask_for_a_check 10 true || write_down
	) </dev/null >/dev/null 2>&1 &
	[ "$event" = post-rewrite ] || say "is checked in the background: quantum merge list"
}

check_and_wait() {
	if ! reach; then
		not_checked "$why"
		return
	fi
	left='' shower='' curl_process=''
	# shellcheck disable=SC2086 # two numbers, or none yet
	trap 'left=yes; kill $shower $curl_process 2>/dev/null' INT TERM HUP
	started=$(date +%s)
	until=$((started + timeout_seconds + 10))
	if ! ask_for_a_check 5 false; then
		trap '' INT TERM HUP
		[ -z "$left" ] || why="you left before the gateway had answered"
		not_checked "$why"
		tell_of_autostash
		return
	fi
	seen=no
	sentence=${answer#*"$newline"}
	if ! [ -t 2 ]; then say "${sentence%%"$newline"*}"; fi
	while [ "$seen" = no ] && [ -z "$left" ]; do
		now=$(date +%s)
		[ "$now" -lt "$until" ] || break
		follow $((until - now)) || break
		# A gateway that is started anew is asked again.
		[ "$seen" = yes ] || [ -n "$left" ] || sleep 1
	done
	trap '' INT TERM HUP
	if [ -n "$left" ]; then
		leave
	elif [ "$seen" = no ]; then
		end_live_line
		say "not checked yet: quantum merge show $id"
	fi
}

# follow SECONDS: shows what the check says, until its verdict ($seen=yes), an end of the stream, or a signal.
follow() {
	folder=$(mktemp -d "${TMPDIR:-/tmp}/quantum-hook.XXXXXX" 2>/dev/null) || return 1
	if ! mkfifo "$folder/lines" 2>/dev/null; then
		rm -rf "$folder"
		return 1
	fi
	# Both in the background, where `wait` lets a signal through at once; $! is curl itself.
	request GET "/merges/$id/follow" "$1" | curl -q --config - >"$folder/lines" 2>/dev/null &
	curl_process=$!
	show <"$folder/lines" &
	shower=$!
	[ -z "$left" ] && wait "$shower" && seen=yes
	kill "$shower" "$curl_process" 2>/dev/null
	wait "$shower" "$curl_process" 2>/dev/null
	rm -rf "$folder"
	return 0
}

# Shows a check's lines as they come; 0 when the verdict was among them.
show() {
	rm -rf "$folder" # both ends of the pipe are open by now
	last=''
	while IFS= read -r line; do
		case $line in *[[:cntrl:]]*) line=$(printf '%s' "$line" | LC_ALL=C tr -d '[:cntrl:]') ;; esac
		case $line in
		'' | "$last") ;;
		'= '*)
			end_live_line
			say "${line#*: }"
			case $line in
			'= good '* | '= nothing_to_check '*) ;;
			'= bad rolled_back:'*) printf '  undo: quantum merge undo %s\n' "$id" >&2 ;;
			*) printf '  quantum merge show %s\n' "$id" >&2 ;;
			esac
			return 0
			;;
		*)
			last=$line
			if [ -t 2 ]; then printf '\r\033[Kquantum: %.68s' "$line" >&2; else say "$line"; fi
			;;
		esac
	done
	return 1
}

end_live_line() {
	if [ -t 2 ]; then printf '\r\033[K' >&2; fi
}

# Somebody has pressed Ctrl-C: from now on the check only reports.
leave() {
	end_live_line
	if post "/merges/$id/leave" 3 '{}' && [ "${status%??}" = 2 ]; then
		say "you left: the check goes on in the background, and only reports. quantum merge show $id"
	else
		say "you left, and the gateway could not be told: a bad merge may still be rolled back. quantum merge show $id"
	fi
	tell_of_autostash
}

# Ctrl-C ends git, too, and then it does not put back what `--autostash` has put aside.
tell_of_autostash() {
	[ -n "$left" ] && [ -r "$git_dir/MERGE_AUTOSTASH" ] || return 0
	IFS= read -r stash <"$git_dir/MERGE_AUTOSTASH"
	say "your edits that git had put aside are safe: git stash apply $stash"
}
