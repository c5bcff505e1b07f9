#!/usr/bin/env bash
# install-engines.sh [--prefix DIR] [--where] [--quiet] [--mirror URI] [--security-mirror URI] [--allow-expired] [product...]
#
#   products: pg15 pg17 pg18 mysql mariadb mariadb1011 pgbackrest restic     default: the first six
#   prefix:   $TIDEMARK_ENGINES, else ${XDG_CACHE_HOME:-$HOME/.cache}/tidemark/engines; for root, when that lies in a
#             home closed to other users (the servers refuse to run as root), /var/cache/tidemark/engines.
#             --where prints it and ends.
#
# Puts real database servers with their client programs side by side, each in a private root PREFIX/<product>,
# unpacked from Debian's own signed packages. Needs no root, no Docker, no chroot; nothing on the host changes.
# A server that the host has in the wanted version is used: PREFIX/<product>/usr is then a link to /usr.
# Needs: Debian 12 or later on amd64, apt, dpkg, gpgv, debian-archive-keyring, util-linux, tzdata.
#
# Prints one line per product on stdout, everything else on stderr. A product that is there is left alone, so a
# second run costs nothing; to take newer packages, remove PREFIX/<product>. Safe to interrupt and to run twice
# at once: a product counts once it is complete and its program has run, and one run at a time works in a prefix.
# Do not move a prefix: paths are baked into the programs (a root found at another path is built again).
set -euo pipefail
shopt -s inherit_errexit
umask 022

die() { echo "install-engines: $*" >&2; exit 2; }
# shellcheck source=lib/private-apt.sh
. "$(dirname "$(realpath -- "${BASH_SOURCE[0]}")")/lib/private-apt.sh"

prefix='' where='' quiet='' mirror='' security='' expired='' products=()
while [ $# -gt 0 ]; do
  case $1 in
    --prefix) prefix=${2:?}; shift ;;
    --where) where=yes ;;
    --quiet) quiet=yes ;;                # says nothing about what is there
    --mirror) mirror=${2:?}; shift ;;
    --security-mirror) security=${2:?}; shift ;;
    --allow-expired) expired=yes ;;      # for a mirror frozen in time: gives up apt's replay protection
    -h|--help) sed -n '2,18s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) die "unknown option $1" ;;
    *) products+=("$1") ;;
  esac
  shift
done
[ ${#products[@]} -gt 0 ] || products=(pg15 pg17 pg18 mysql mariadb mariadb1011)

if [ -n "$prefix" ]; then prefix=$(realpath -m -- "$prefix")
elif [ -n "${TIDEMARK_ENGINES:-}" ]; then prefix=$(realpath -m -- "$TIDEMARK_ENGINES")
else prefix=$(cache_root)/engines
fi
if [ -n "$where" ]; then echo "$prefix"; exit 0; fi

# product -> suite, the package whose version is shown, a program to try, the packages to unpack
plan() {
  case $1 in
    pg15)        suite=bookworm  main=postgresql-15       probe='usr/lib/postgresql/15/bin/postgres --version'
                 packages=(postgresql-15 postgresql-15-wal2json) ;;
    pg17)        suite=trixie    main=postgresql-17       probe='usr/lib/postgresql/17/bin/postgres --version'
                 packages=(postgresql-17 postgresql-17-wal2json) ;;
    pg18)        suite=sid       main=postgresql-18       probe='usr/lib/postgresql/18/bin/postgres --version'
                 packages=(postgresql-18 postgresql-18-wal2json) ;;
    mysql)       suite=sid       main=mysql-server-core   probe='usr/sbin/mysqld --version'
                 packages=(mysql-server-core mysql-client-core mysql-client mysql-server) ;;
    mariadb)     suite=trixie    main=mariadb-server-core probe='usr/sbin/mariadbd --version'
                 packages=(mariadb-server-core mariadb-client-core mariadb-client mariadb-backup mariadb-server) ;;
    mariadb1011) suite=bookworm  main=mariadb-server-core probe='usr/sbin/mariadbd --version'
                 packages=(mariadb-server-core mariadb-client-core mariadb-client mariadb-backup mariadb-server) ;;
    pgbackrest)  suite=sid       main=pgbackrest          probe='usr/bin/pgbackrest version'
                 packages=(pgbackrest) ;;
    restic)      suite=sid       main=restic              probe='usr/bin/restic version'
                 packages=(restic) ;;
    *) return 1 ;;
  esac
}
for p in "${products[@]}"; do plan "$p" || die "unknown product $p"; done

on_host() { # true when the host has this product in the wanted version with every program we run, reachable as /usr
  local bin=/usr/bin server programs program version
  case $1 in
    pg*)     bin=/usr/lib/postgresql/${1#pg}/bin server=$bin/postgres version="(PostgreSQL) ${1#pg}."
             programs='initdb psql pg_dump pg_restore pg_basebackup pg_receivewal pg_verifybackup' ;;
    mysql)   server=/usr/sbin/mysqld version='Ver 9.7.' programs='mysql mysqldump mysqlbinlog mysqladmin' ;;
    mariadb) server=/usr/sbin/mariadbd version='Ver 11.8.' programs='mariadb mariadb-dump mariadb-binlog mariadb-install-db' ;;
    mariadb1011) server=/usr/sbin/mariadbd version='Ver 10.11.' programs='mariadb mariadb-dump mariadb-binlog mariadb-install-db' ;;
    *) return 1 ;;
  esac
  for program in $programs; do [ -x "$bin/$program" ] || return 1; done
  # An AppArmor profile confines the server to the host's own data directory, where ours are not.
  [ ! -e "/etc/apparmor.d/usr.sbin.${server##*/}" ] || return 1
  [[ "$("$server" --version 2>/dev/null)" = *"$version"* ]]
}

complete() {
  [ "$(cat "$prefix/$1/ROOT" 2>/dev/null)" = "$prefix/$1" ] || return 1
  [ ! -L "$prefix/$1/usr" ] || on_host "$1"        # the host's: it may have been upgraded or removed since
}

link_host() {
  local root=$prefix/$1 version
  plan "$1"
  version=$(dpkg-query -W -f '${Version}' "$main" 2>/dev/null || echo host)
  rm -rf "$root"; mkdir -p "$root"
  ln -s /usr "$root/usr"
  echo "${main}_${version//:/%3a}_amd64.deb" > "$root/VERSIONS"
  echo "$root" > "$root/ROOT"
}

line() { # product, state, seconds
  local version
  if [ "$2" = present ] && [ -n "$quiet" ]; then return; fi
  plan "$1"
  version=$(sed -n "s/^${main}_\(.*\)_[a-z0-9]*\.deb$/\1/p" "$prefix/$1/VERSIONS" | head -n 1)
  printf '%-12s %-9s %-26s %3s s %5s MiB\n' "$1" "$2" "${version//%3a/:}" "$3" "$(du -sm "$prefix/$1" 2>/dev/null | cut -f 1)"
}

missing=()
for p in "${products[@]}"; do complete "$p" || missing+=("$p"); done
if [ ${#missing[@]} -eq 0 ]; then                  # also for a caller who may only read the prefix
  for p in "${products[@]}"; do line "$p" present 0; done
  exit 0
fi

check_prefix "$prefix"
take_lock "$prefix"
work=$prefix/.work
rm -rf "$work"; mkdir -p "$work"                   # what an interrupted run left. No trap cleans up: it could race a child

get_patchelf() { # the host's, or Debian 12's own, which runs on every later host
  if patchelf --version > /dev/null 2>&1; then echo patchelf; return; fi
  if ! "$prefix/.tools/patchelf" --version > /dev/null 2>&1; then
    use_suite bookworm
    mkdir -p "$work/patchelf" "$prefix/.tools"
    ( cd "$work/patchelf"; apt-get download -qq patchelf >&2; dpkg-deb -x patchelf_*.deb . )
    mv "$work/patchelf/usr/bin/patchelf" "$prefix/.tools/patchelf"
  fi
  echo "$prefix/.tools/patchelf"
}

# members of a dependency closure that no server or client program needs at run time
skip='perl.*|libperl.*|.*-perl|debconf|systemd|libsystemd-shared|passwd|adduser|base-passwd|base-files|login.*'
skip+='|locales|libc-l10n|libc-gconv-.*|tzdata|libpam-modules.*|libpam-runtime|procps|ucf|openssl|ssl-cert|netbase'
skip+='|postgresql-(client-)?common|postgresql-common-dev|sysvinit-utils|mysql-common|mariadb-common|debianutils'
skip+='|readline-common|sensible-utils|gcc-.*-base|libc-bin|libllvm.*|libz3-.*|iproute2|psmisc|init-system-helpers'
skip+='|hostname|rsync|socat|gawk|mawk|original-awk|lsof|dpkg.*|tar|sed|coreutils|bash|udev|mount|util-linux'
skip+='|bsdutils|galera-.*|libcap2-bin|usr-is-merged|binutils.*|make|patch|xz-utils|cron.*|logsave'

install_product() {
  local name=$1 root=$prefix/$1 new=$work/$1/root debs=$work/$1/debs d f n
  local lib=$root/usr/lib/x86_64-linux-gnu loader=ld-linux-x86-64.so.2 wanted=()
  local -A file=()
  plan "$name"
  patchelf=$(get_patchelf); "$patchelf" --version > /dev/null
  use_suite "$suite"
  mkdir -p "$debs/none/partial" "$new"/usr/{bin,sbin,lib,lib64}
  for d in bin sbin lib lib64; do ln -s "usr/$d" "$new/$d"; done
  # empty status + empty archive directory: apt names every package of the closure
  apt-get -o Dir::Cache::archives="$debs/none" install -y -qq --print-uris "${packages[@]}" > "$debs/uris"
  while read -r _ f _; do
    n=${f%%_*}; file[$n]=$f
    [[ $n =~ ^($skip)$ ]] || wanted+=("$n")
  done < "$debs/uris"
  [ ${#wanted[@]} -gt 1 ]
  ( cd "$debs"; apt-get download -qq "${wanted[@]}" >&2 )        # hashes are checked against the signed index
  for n in "${wanted[@]}"; do
    dpkg-deb --fsys-tarfile "$debs/${file[$n]}" | tar -x -C "$new" --keep-directory-symlink --no-same-owner --no-same-permissions \
      --exclude=./usr/share/doc --exclude=./usr/share/man --exclude=./usr/share/locale --exclude=./usr/share/lintian --exclude=./usr/share/bug \
      --exclude='./usr/lib/postgresql/*/lib/bitcode' --exclude=./usr/share/mysql/mysql-test --exclude=./etc --exclude=./var
    echo "${file[$n]}"
  done > "$new/VERSIONS"
  # Every program takes the private loader and (DT_RPATH: for its libraries' libraries and plugins too) the private
  # libraries. The loader must be the real file: usr/lib64 may hold an absolute link to the host's.
  [ -f "$new/usr/lib/x86_64-linux-gnu/$loader" ] && [ ! -L "$new/usr/lib/x86_64-linux-gnu/$loader" ]
  find "$new"/usr/bin "$new"/usr/sbin "$new"/usr/lib/postgresql/*/bin -type f -perm -u+x > "$debs/programs" 2>/dev/null || true
  while read -r f; do
    "$patchelf" --print-interpreter "$f" > /dev/null 2>&1 || continue     # a script
    "$patchelf" --set-interpreter "$lib/$loader" --force-rpath --set-rpath "$lib" "$f"
  done < "$debs/programs"
  chmod -R u+rwX,go+rX,go-w,u-s,g-s "$new"
  rm -rf "$root"; mv "$new" "$root"
  read -r f d <<< "$probe"; "$root/$f" "$d" >&2
  echo "$root" > "$root/ROOT"                                    # complete from here on
  rm -rf "${work:?}/$name"
}

failed=0
for p in "${products[@]}"; do
  if complete "$p"; then line "$p" present 0; continue; fi
  if on_host "$p"; then link_host "$p"; line "$p" 'on host' 0; continue; fi
  echo "install-engines: fetching $p" >&2
  start=$SECONDS
  set +e; ( set -e; install_product "$p" ); rc=$?; set -e        # not in `if`: that would switch -e off inside
  if [ $rc = 0 ]; then line "$p" installed $((SECONDS - start))
  else printf '%-12s FAILED\n' "$p"; failed=1; fi
done
rm -rf "$work"
exit $failed
