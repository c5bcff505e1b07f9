# shellcheck shell=bash
# Sourced by install-engines.sh and install-tools.sh: where things are installed, and an apt of our own, apart from the host's.
#
# The caller defines die() and sets `work` (an empty folder it owns) before use_suite; it may set `mirror`, `security` (URIs) and
# `expired` (not empty: take an archive whose Release file has expired, which gives up apt's replay protection).

closed() { # the nearest directory on this path that other users may not enter
  local d=$1
  while [ ! -e "$d" ]; do d=$(dirname "$d"); done
  for ((;;)); do
    [ $((0$(stat -c %a "$d") & 1)) = 1 ] || { echo "$d"; return; }
    [ "$d" != / ] || return 0
    d=$(dirname "$d")
  done
}

cache_root() { # the same rule as src/platform/installed.ts
  local root
  if [ -z "${XDG_CACHE_HOME:-}${HOME:-}" ]; then echo /var/cache/tidemark; return; fi
  root=$(realpath -m -- "${XDG_CACHE_HOME:-$HOME/.cache}/tidemark")
  if [ "$(id -u)" = 0 ] && [ -n "$(closed "$root")" ]; then root=/var/cache/tidemark; fi
  echo "$root"
}

check_prefix() { # refuses a place that cannot work, before anything is written there
  local c
  [[ $1 =~ ^[A-Za-z0-9/._+-]+$ ]] || die "unusual characters in the prefix: $1"
  [ "$(dpkg --print-architecture)" = amd64 ] || die "amd64 only"
  [ "$(id -u)" = 0 ] || return 0
  c=$(closed "$1")
  [ -z "$c" ] || die "the servers refuse to run as root, and other users cannot enter $c: give another --prefix"
}

take_lock() { # one run at a time in a prefix; children inherit it: when a run is killed but a child lives on, the next run waits for the child
  mkdir -p "$1"
  exec 9> "$1/.lock"
  flock -n 9 || { echo "${0##*/}: waiting for another run in $1" >&2; flock 9; }
}

keyring=/usr/share/keyrings/debian-archive-keyring.gpg
apt_known=''

find_archive() { # the mirrors and network settings of the host; `update --print-uris` only prints and needs neither root nor lists
  local sources
  [ -z "$apt_known" ] || return 0
  sources=$(apt-get update --print-uris | sed -n "s|^'\(.*\)/dists/\([^/]*\)/InRelease'.*|\1 \2|p")
  if [ -z "${mirror:-}" ]; then                    # Debian's main archive is the source that also serves <release>-updates
    mirror=$(awk '$2 ~ /-updates$/ { print $1; exit }' <<< "$sources")
    [ -n "$mirror" ] || mirror=$(awk '$2 ~ /^(bookworm|trixie|forky|sid|stable|oldstable|testing|unstable)$/ { print $1; exit }' <<< "$sources")
    [ -n "$mirror" ] || die "no Debian archive in this host's apt sources: give --mirror"
  fi
  [ -n "${security:-}" ] || security=$(awk '$2 ~ /-security$/ { print $1; exit }' <<< "$sources")
  network=$(apt-config dump | grep -E '^Acquire::(https?::|ftp::|Check-Valid-Until|Check-Date|ForceIPv)' || true)
  [ -r "$keyring" ] || die "install the package debian-archive-keyring"
  apt_known=yes
}

use_suite() { # apt commands after this see one Debian suite and an EMPTY package status
  local s=$1 d=$work/apt/$1
  find_archive
  export APT_CONFIG=$d/apt.conf
  [ ! -e "$d/updated" ] || return 0
  mkdir -p "$d/lists/partial" "$d/cache/archives/partial"
  echo "deb [signed-by=$keyring] $mirror $s main" > "$d/sources.list"
  if [ "$s" != sid ] && [ -n "$security" ]; then echo "deb [signed-by=$keyring] $security $s-security main" >> "$d/sources.list"; fi
  cat > "$APT_CONFIG" <<CONF
$network
Dir::State "$d"; Dir::State::Lists "$d/lists"; Dir::State::status "/dev/null"; Dir::Cache "$d/cache";
Dir::Etc::sourcelist "$d/sources.list"; Dir::Etc::sourceparts "/dev/null"; Dir::Etc::main "/dev/null"; Dir::Etc::parts "/dev/null";
Dir::Etc::preferences "/dev/null"; Dir::Etc::preferencesparts "/dev/null";
APT::Sandbox::User "root"; APT::Install-Recommends "false"; APT::Architecture "amd64"; APT::Architectures { "amd64"; };
Acquire::Languages "none"; Acquire::Retries "5"; Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
CONF
  if [ -n "${expired:-}" ]; then echo 'Acquire::Check-Valid-Until "false"; Acquire::Check-Date "false";' >> "$APT_CONFIG"; fi
  apt-get update -qq --error-on=any >&2
  touch "$d/updated"
}
