#!/usr/bin/env bash
# install-tools.sh [--prefix DIR] [--where] [--quiet] [--mirror URI] [--allow-expired] [tool...]
#
#   tools:   temporal versitygw temporal-test-server          default: all
#   prefix:  ${XDG_CACHE_HOME:-$HOME/.cache}/tidemark/tools; for root, when that lies in a home closed to other users,
#            /var/cache/tidemark/tools. --where prints it and ends.
#
# temporal (server, CLI and Web UI in one) and versitygw are built from the Go module proxy: with the host's Go where it has one
# (1.21 or later), else with Debian's Go, unpacked into the prefix for as long as it builds. temporal-test-server (time skipping,
# for tests) comes from Maven Central by pinned hashes; it runs on the host's Java (11 or later), else on Debian's, unpacked beside it.
# A program on the PATH in the wanted version is linked. Needs no root; nothing on the host changes.
#
# A tool that is there and has run is left alone. Safe to interrupt (a build goes on where it was) and to run twice at once.
set -euo pipefail
shopt -s inherit_errexit
umask 022

die() { echo "install-tools: $*" >&2; exit 2; }
say() { echo "install-tools: $*" >&2; }
here=$(dirname "$(realpath -- "${BASH_SOURCE[0]}")")
# shellcheck source=lib/private-apt.sh
. "$here/lib/private-apt.sh"

prefix='' where='' quiet='' mirror='' security='' expired='' tools=()
while [ $# -gt 0 ]; do
  case $1 in
    --prefix) prefix=${2:?}; shift ;;
    --where) where=yes ;;
    --quiet) quiet=yes ;;            # says nothing about what is there
    --mirror) mirror=${2:?}; shift ;;
    --allow-expired) expired=yes ;;
    -h|--help) sed -n '2,14s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) die "unknown option $1" ;;
    *) tools+=("$1") ;;
  esac
  shift
done
[ ${#tools[@]} -gt 0 ] || tools=(temporal versitygw temporal-test-server)
if [ -n "$prefix" ]; then prefix=$(realpath -m -- "$prefix"); else prefix=$(cache_root)/tools; fi
if [ -n "$where" ]; then echo "$prefix"; exit 0; fi

plan() { # the same folders as src/platform/installed.ts
  module='' fits=''
  case $1 in
    # Newer releases of this module cannot be installed: their go.mod replaces a module that is not published.
    temporal)  dir=temporal-1.5.1 module=github.com/temporalio/cli/cmd/temporal@v1.5.1 fits='(Server 1.29.' ;;
    versitygw) dir=versitygw-1.8.0 module=github.com/versity/versitygw/cmd/versitygw@v1.8.0 fits='v1.8.' ;;
    temporal-test-server) dir=temporal-test-server-1.38.0 ;;
    *) return 1 ;;
  esac
  program=$prefix/$dir/$1
}
for t in "${tools[@]}"; do plan "$t" || die "unknown tool $t"; done

# ---- proof: a program counts once it has run; the proof is kept with the size and time of the file that ran ----
signature() { stat -Lc '%s %Y' "$1" 2>/dev/null; }
java_of() { sed -n 's/^exec \([^ ]*\) .*/\1/p' "$1"; }

runs() { # tool, program
  local log pid port='' i
  if [ "$1" != temporal-test-server ]; then "$2" --version > /dev/null 2>&1 < /dev/null; return; fi
  log=$(mktemp)
  port=$(free_port)
  "$2" "$port" > "$log" 2>&1 < /dev/null &
  pid=$!
  for ((i = 0; i < 150; i++)); do
    kill -0 "$pid" 2>/dev/null || break
    if (exec 3<> "/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      kill "$pid"; wait "$pid" 2>/dev/null || true; rm -f "$log"
      return 0
    fi
    sleep 0.2
  done
  kill -9 "$pid" 2>/dev/null || true
  cat "$log" >&2; rm -f "$log"
  return 1
}

free_port() { # nothing answers there now; a program that cannot bind it is reported like any other failure
  local port
  for ((;;)); do
    port=$((20000 + RANDOM % 12000))
    (exec 3<> "/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
}

complete() {
  plan "$1"
  [ -x "$program" ] || return 1
  if [ "$1" = temporal-test-server ]; then [ -x "$(java_of "$program")" ] || return 1; fi
  [ "$(cat "$prefix/$dir/PROVEN" 2>/dev/null)" != "$(signature "$program")" ] || return 0
  runs "$1" "$program" || return 1
  prove 2>/dev/null || true                       # a caller who may only read the prefix proves it each time
}
prove() { signature "$program" > "$prefix/$dir/PROVEN"; }

line() {
  plan "$1"
  if [ "$2" = present ] && [ -n "$quiet" ]; then return; fi
  printf '%-21s %-9s %-28s %3s s\n' "$1" "$2" "$dir" "$3"
}

missing=()
for t in "${tools[@]}"; do complete "$t" || missing+=("$t"); done
if [ ${#missing[@]} -eq 0 ]; then
  for t in "${tools[@]}"; do line "$t" present 0; done
  exit 0
fi

check_prefix "$prefix"
take_lock "$prefix"
work=$prefix/.work
mkdir -p "$work"
rm -rf "$work/apt" "$work/new"                    # of an interrupted run; Go's caches in $work/go-* are kept, they are safe to reuse

debs() { # suite, folder, package...: unpacked into the folder, hashes checked against the signed index
  local suite=$1 to=$2 get=$work/new/debs d; shift 2
  use_suite "$suite"
  rm -rf "$get"; mkdir -p "$get" "$to"
  ( cd "$get"; apt-get download -qq "$@" >&2 )
  for d in "$get"/*.deb; do
    dpkg-deb --fsys-tarfile "$d" | tar -x -C "$to" --no-same-owner --no-same-permissions --exclude=./usr/share/doc --exclude=./usr/share/man
  done
  rm -rf "$get"
}

# ---- Go ----
use_private_go() {
  local version root=$work/go-root
  if [ ! -e "$root/READY" ]; then
    say "fetching Debian's Go compiler (kept only while it builds)"
    rm -rf "$root"
    use_suite sid                                 # 1.25 or later is needed, 1.26 is proven; sid drops old ones in time
    version=$(apt-cache pkgnames golang-1. | sed -n 's/^golang-\(1\.[0-9]*\)-go$/\1/p' | sort -V)
    version=$(grep -x '1\.26' <<< "$version" || tail -n 1 <<< "$version")
    debs sid "$root" "golang-$version-go" "golang-$version-src"
    echo "$version" > "$root/READY"
  fi
  export GOROOT; GOROOT=$root/usr/lib/go-$(cat "$root/READY")
  export GOTOOLCHAIN=local
  go=$GOROOT/bin/go
  "$go" version >&2
}

host_go() { # 1.21 or later fetches the toolchain that a module asks for
  local v
  go=$(type -P go || true)
  [ -n "$go" ] || return 1
  v=$("$go" env GOVERSION 2>/dev/null) || return 1
  [[ $v =~ ^go1\.([0-9]+) ]] && [ "${BASH_REMATCH[1]}" -ge 21 ]
}

go_install() { # module; every thing it writes lies in $work
  mkdir -p "$work/go-bin" "$work/go-tmp"
  env GOBIN="$work/go-bin" GOCACHE="$work/go-cache" GOMODCACHE="$work/go-mod" GOPATH="$work/go-path" GOTMPDIR="$work/go-tmp" \
    CGO_ENABLED=0 GOFLAGS='-modcacherw -buildvcs=false' "$go" install -v -trimpath -ldflags='-s -w' "$1" 2>&1 < /dev/null |
    awk -v name="${1##*/}" '/^go: downloading/ { d++; next } / / { print; fflush(); next }
      { if (!n) { printf "  %s: %d modules fetched, compiling\n", name, d } if (++n % 250 == 0) { printf "  %s: %d packages compiled\n", name, n } fflush() }' >&2
}

install_go_tool() {
  local name=$1 onpath
  onpath=$(type -P "$name" || true)
  if [ -n "$onpath" ] && [[ "$("$onpath" --version 2>/dev/null)" = *"$fits"* ]] && [ -z "$(closed "$(realpath "$onpath")")" ]; then
    mkdir -p "$prefix/$dir"
    ln -sfn "$(realpath "$onpath")" "$program"
    return 0
  fi
  say "building $dir; some minutes the first time"
  if host_go; then
    export GOTOOLCHAIN=auto
    go_install "$module" || { say "the host's Go could not build it, trying Debian's"; use_private_go; go_install "$module"; }
  else
    use_private_go; go_install "$module"
  fi
  runs "$name" "$work/go-bin/$name"
  mkdir -p "$prefix/$dir"
  mv -f "$work/go-bin/$name" "$program"
}

# ---- Java and the time-skipping test server ----
host_java() { # 11 or later
  java=$(type -P java || true)
  [ -n "$java" ] || return 1
  [[ "$("$java" -version 2>&1)" =~ version\ \"([0-9]+) ]] && [ "${BASH_REMATCH[1]}" -ge 11 ] || return 1
  java=$(realpath "$java")
}

use_private_java() {
  local root=$prefix/jre-17 new=$work/new/jre link
  java=$root/usr/lib/jvm/java-17-openjdk-amd64/bin/java
  if "$java" -version > /dev/null 2>&1; then return; fi
  say "fetching Debian's Java 17"
  debs bookworm "$new" openjdk-17-jre-headless
  # Its configuration is linked by absolute path into the host's /etc, which has none.
  find "$new" -type l -lname '/*' | while read -r link; do
    if [ -e "$new$(readlink "$link")" ]; then ln -sfnr "$new$(readlink "$link")" "$link"; fi
  done
  # No certificate store is built (lib/security/cacerts stays a dead link): the test server speaks plain gRPC on loopback only.
  rm -rf "$root"; mv "$new" "$root"
  "$java" -version > /dev/null 2>&1
}

install_test_server() {
  local new=$work/new/jars base=${TIDEMARK_MAVEN:-https://repo1.maven.org/maven2} hash path list=()
  say "fetching $dir"
  mkdir -p "$new"
  while read -r hash path; do
    [[ $hash = '#' ]] || list+=("$base/$path" "$new/${path##*/}" "SHA256:$hash")
  done < "$here/lib/temporal-test-server.jars"
  # apt's own downloader: it is there, follows the host's proxy and certificates, and checks the hashes
  /usr/lib/apt/apt-helper -qq -o APT::Sandbox::User=root -o Acquire::Retries=5 download-file "${list[@]}" >&2
  while read -r hash path; do
    [[ $hash = '#' ]] || echo "$hash  $new/${path##*/}"
  done < "$here/lib/temporal-test-server.jars" | sha256sum --quiet -c - >&2
  host_java || use_private_java
  rm -rf "${prefix:?}/$dir"; mkdir -p "$prefix/$dir"
  mv "$new" "$prefix/$dir/jars"
  cat > "$work/new/wrapper" <<WRAPPER
#!/bin/sh
exec $java -XX:TieredStopAtLevel=1 -Xmx512m -cp '$prefix/$dir/jars/*' io.temporal.testserver.TestServer "\$@"
WRAPPER
  chmod 755 "$work/new/wrapper"
  mv "$work/new/wrapper" "$program"
}

failed=0
for t in "${tools[@]}"; do
  if complete "$t"; then line "$t" present 0; continue; fi
  start=$SECONDS
  set +e                                          # not in `if`: that would switch -e off inside
  ( set -e
    mkdir -p "$work/new"
    if [ -n "$module" ]; then install_go_tool "$t"; else install_test_server; fi
    runs "$t" "$program"
    prove )
  rc=$?; set -e
  if [ $rc = 0 ]; then line "$t" installed $((SECONDS - start))
  else printf '%-21s FAILED\n' "$t"; failed=1; fi
done
# 3 GiB of build cache; kept after a failure, so that the next try goes on from there
if [ $failed = 0 ]; then
  say "removing the build cache"                    # minutes where the disk is busy
  rm -rf "$work"
fi
exit $failed
