# shellcheck shell=bash
# tests/cluster/bed.sh: what the scripts beside it share (they read it). Where the test bed is, and which processes are its own.
#
# The test bed is one directory, CLUSTER_DIR or .cache/cluster of this tree. What it made outside of that directory is its processes
# and its control groups; everything else (mounts, links, addresses) is in namespaces and leaves with the processes.

here=$(readlink -f "$(dirname "${BASH_SOURCE[0]}")")
top=$(readlink -f "$here/../..")
tools=$(readlink -m "$top/.cache/tools")
bed=$(readlink -m "${CLUSTER_DIR:-$top/.cache/cluster}")
# Control groups are the machine's: a bed in another directory has its own.
# shellcheck disable=SC2034
group=iamgate-$(printf '%s' "$bed" | sha256sum | cut -c1-8)
# Debian's programs, where they are not installed; kubelet and containerd look for runc, iptables and the like on PATH.
PATH=$PATH:$tools/cluster/usr/bin:$tools/cluster/usr/sbin:/usr/sbin:/sbin
export PATH
# For those of them that need libraries; only for those.
# shellcheck disable=SC2034
libraries=$(printf '%s:' "$tools"/cluster/usr/lib/*-linux-gnu* "$tools"/cluster/lib/*-linux-gnu*)

fault() { # fault WHAT CURE
  printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
  exit 1
}

identity() { # identity PID: what tells this process from a later one with its number; fails where there is no such process
  local stat fields
  stat=$(cat "/proc/$1/stat" 2> /dev/null) || return 1
  read -r -a fields <<< "${stat##*) }"
  # A zombie runs no more. Field 22 of the line, 20 behind the name, is when it started.
  [[ ${fields[0]} != [ZX] ]] || return 1
  echo "$1 ${fields[19]} $(cat /proc/sys/kernel/random/boot_id)"
}

running() { # running FILE: whether the process that FILE names is there, and is the one that was meant. Sets `pid`
  local told
  told=$(cat "$1" 2> /dev/null) || return 1
  pid=${told%% *}
  [[ $pid == [0-9]* && $(identity "$pid") == "$told" ]]
}

gone() {
  ! running "$1"
}

await() { # await SECONDS WHAT LOG COMMAND...: until COMMAND succeeds; past the limit, LOG's last lines and an error
  local limit=$1 what=$2 log=$3 deadline=$((SECONDS + $1))
  shift 3
  until "$@" > /dev/null 2>&1; do
    ((SECONDS < deadline)) || {
      tail -n 25 "$log" >&2 2> /dev/null || true
      fault "$what: not within $limit s" "its log is $log"
    }
    sleep 0.05
  done
}
