#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Installs every tool that building, running and testing Fairlead needs, on Debian 12 and 13, with apt.
#
# - Idempotent: what is there is left alone; when nothing is missing nothing is asked of apt at all.
# - Packages come from the machine's own apt sources. Only QEMU may need Debian's backports (Debian 12
#   ships 7.2, Fairlead needs 8): that source is copied from the machine's own Debian source, never from
#   a host name written here, and only if the machine has no backports source yet.
# - Any other system: says what is missing and how Debian calls it, installs nothing.
# - The last line on standard error is the reason of a failure.
# - No <(...) or >(...) here: they need /proc, which a bare chroot lacks.
#
# tests/tools/test_setup.py sources this file and calls its functions; FAIRLEAD_OS_RELEASE names another
# os-release file there.

set -u -o pipefail
export LC_ALL=C

QEMU_MIN=8
OS_RELEASE=${FAIRLEAD_OS_RELEASE:-/etc/os-release}
BACKPORTS_FILE=fairlead-backports

usage()
{
	cat <<'END'
usage: ./setup.sh [--check] [--help]

Installs the tools Fairlead needs (Debian 12 or 13, as root or through sudo).

  --check   only say what is missing; exit status 1 if something is
  --help    this text

On a minimal Debian the tools take about 2.8 GB (980 MB of it is the RISC-V C library in all its
variants), and another 0.5 GB while they are being installed.
END
}

say() { printf 'setup: %s\n' "$*"; }

die()
{
	printf 'setup: error: %s\n' "$*" >&2
	exit 1
}

# ---- what is needed ------------------------------------------------------------------------------

# tools: lines of "package probe". A probe is a command, an absolute file name (it may have wildcards), or
# py:module for a module of /usr/bin/python3; it is what other systems are asked for.
tools()
{
	cat <<'END'
make                          make
gcc                           gcc
libc6-dev                     /usr/include/stdlib.h
gcc-aarch64-linux-gnu         aarch64-linux-gnu-gcc
picolibc-aarch64-linux-gnu    /usr/lib/picolibc/aarch64-linux-gnu/lib/libc.a
gcc-riscv64-unknown-elf       riscv64-unknown-elf-gcc
picolibc-riscv64-unknown-elf  /usr/lib/picolibc/riscv64-unknown-elf/lib/libc.a
device-tree-compiler          dtc
libfdt-dev                    /usr/include/libfdt.h
libcmocka-dev                 /usr/include/cmocka.h
python3                       /usr/bin/python3
python3-pytest                py:pytest
python3-pexpect               py:pexpect
python3-serial                py:serial
gnuplot-nox                   gnuplot
u-boot-qemu                   /usr/lib/u-boot/qemu_arm64/u-boot.bin
gdisk                         /usr/sbin/sgdisk
dosfstools                    /usr/sbin/fsck.fat
mtools                        mtype
bmap-tools                    bmaptool
gdb-multiarch                 gdb-multiarch
git                           git
clang                         clang
lld                           ld.lld
qemu-system-arm               qemu-system-aarch64
qemu-system-riscv             qemu-system-riscv64
END
	# libFuzzer belongs to the release's clang. Linking for RISC-V with LLVM=1 needs lld 15 or later,
	# which Debian 12 has beside its default.
	case $1 in
	12)
		echo "libclang-rt-14-dev  /usr/lib/llvm-14/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a"
		echo "clang-19            clang-19"
		echo "lld-19              ld.lld-19"
		;;
	13)
		echo "libclang-rt-19-dev  /usr/lib/llvm-19/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a"
		;;
	*)
		echo "libclang-rt-dev     /usr/lib*/llvm*/lib*/clang/*/lib/*/libclang_rt.fuzzer*.a"
		;;
	esac
}

is_qemu() { [[ $1 == qemu-system-* ]]; }

# major_of VERSION: 1:10.0.2+ds-2 -> 10
major_of()
{
	local v=${1#*:}
	printf '%s' "${v%%[!0-9]*}"
}

# missing_packages RELEASE: packages of the list that dpkg does not have installed, or has too old.
missing_packages()
{
	local package state version have=" "
	while read -r package state version; do
		[[ $state == installed ]] || continue
		is_qemu "$package" && (($(major_of "$version") < QEMU_MIN)) && continue
		have+="$package "
	done <<<"$(tools "$1" | awk '{ print $1 }' |
		xargs dpkg-query -W -f '${Package} ${db:Status-Status} ${Version}\n' 2>/dev/null)"
	while read -r package _; do
		[[ $have == *" $package "* ]] || echo "$package"
	done <<<"$(tools "$1")"
}

# probe_tool PROBE: is it here, whatever package it came from?
probe_tool()
{
	case $1 in
	py:*)
		/usr/bin/python3 -c 'import importlib.util, sys
sys.exit(importlib.util.find_spec(sys.argv[1]) is None)' "${1#py:}" 2>/dev/null
		;;
	/*)
		compgen -G "$1" >/dev/null
		;;
	qemu-system-*)
		local line version
		line=$("$1" --version 2>/dev/null </dev/null | head -n 1) || return 1
		version=${line##*version }
		(($(major_of ":$version") >= QEMU_MIN))
		;;
	*)
		command -v -- "$1" >/dev/null
		;;
	esac
}

# ---- apt -----------------------------------------------------------------------------------------

APT=(apt-get -q --no-install-recommends -o DPkg::Lock::Timeout=300)

# debian_source CODENAME ORIGIN: "file:number release" of the enabled source that serves Debian's main, as
# apt itself reads its files. Asking by origin keeps other people's sources for the same release out.
debian_source()
{
	apt-get indextargets 'Created-By: Packages' "Codename: $1" "Origin: $2" 'Component: main' \
		--format '$(SOURCESENTRY) $(RELEASE)' 2>/dev/null | head -n 1
}

# backports_line FILE LINE CODENAME: a one-line source with its options and URI, for backports.
backports_line()
{
	sed -n -E "$2"'s/^[[:space:]]*deb[[:space:]]+(\[[^]]*\][[:space:]]+)?([^[:space:]]+)[[:space:]].*$/deb \1\2 '"$3"'-backports main/p' "$1"
}

# backports_stanza FILE RELEASE CODENAME: the stanza for RELEASE with all its fields, a key written into it
# included, for backports.
backports_stanza()
{
	awk -v release="$2" -v suite="$3-backports" '
	function flush(   f, ok) {
		ok = tolower(value["enabled"]) !~ /no|false|off|disable|without/
		ok = ok && (" " value["types"] " ") ~ /[ \t\n]deb[ \t\n]/
		f = " " value["suites"] " "
		gsub(/[ \t\n]+/, " ", f)
		if (ok && !done && index(f, " " release " ")) {
			print "Types: deb"
			print "Suites: " suite
			print "Components: main"
			printf "%s", kept
			done = 1
		}
		delete value
		kept = name = ""
	}
	/^[ \t]*$/ { flush(); next }
	/^#/ { next }
	/^[ \t]/ { value[name] = value[name] "\n" $0; if (keep) kept = kept $0 "\n"; next }
	{
		name = tolower(substr($0, 1, index($0, ":") - 1))
		value[name] = substr($0, index($0, ":") + 1)
		keep = name !~ /^(types|suites|components|enabled)$/
		if (keep) kept = kept $0 "\n"
	}
	END { flush() }' "$1"
}

# write_backports CODENAME DIR: adds the source to DIR, prints the new file's name; fails when no Debian
# source is there to derive it from.
write_backports()
{
	local entry release file text out
	read -r entry release <<<"$(debian_source "$1" Debian)"
	[[ -n $entry ]] || return 1
	file=${entry%:*}
	case $file in
	*.sources)
		out=$2/$BACKPORTS_FILE.sources
		text=$(backports_stanza "$file" "$release" "$1")
		;;
	*)
		out=$2/$BACKPORTS_FILE.list
		text=$(backports_line "$file" "${entry##*:}" "$1")
		;;
	esac
	[[ -n $text ]] || return 1
	printf '# Added by Fairlead'\''s setup.sh, for QEMU; derived from %s.\n%s\n' "$file" "$text" >"$out" || return 1
	echo "$out"
}

# prefer_backports CODENAME: apt preferences, for this run only, that take QEMU with all its parts from the
# backports and everything else from where it came before. (-t would take libraries from there as well.)
prefer_backports()
{
	cat /etc/apt/preferences 2>/dev/null
	printf '\nPackage: src:qemu src:opensbi\nPin: release n=%s-backports\nPin-Priority: 500\n' "$1"
}

updated=no
# update_lists: one broken source of somebody else's is no reason to stop; whether what is needed can be
# had shows in the next step.
update_lists()
{
	say "reading apt's package lists"
	updated=yes
	apt-get -q -o DPkg::Lock::Timeout=300 -o APT::Update::Error-Mode=any update </dev/null >"$log" 2>&1 && return
	show_reasons
	say "apt-get update complained; going on with the lists that could be read"
}

# need_backports CODENAME: sees to it that apt knows the backports; adds the source if need be.
need_backports()
{
	local file
	[[ -n $(debian_source "$1-backports" 'Debian Backports') ]] && return
	[[ $updated == yes ]] || update_lists
	[[ -n $(debian_source "$1-backports" 'Debian Backports') ]] && return
	file=$(write_backports "$1" /etc/apt/sources.list.d) ||
		die "QEMU $QEMU_MIN or later is in $1-backports, and apt's sources have no Debian source for $1 to derive it from; add one and run again"
	say "added the source of $1-backports: $file"
	update_lists
	if [[ -z $(debian_source "$1-backports" 'Debian Backports') ]]; then
		rm -f "$file"
		die "the machine's Debian source does not serve $1-backports (for QEMU $QEMU_MIN or later); removed $file again"
	fi
}

show_reasons() { grep -E '^(E:|Err:|dpkg: error| [^ ].* : (Depends|Breaks|Conflicts):)' "$log" | head -n 8 >&2; }

# run_apt PROGRESS COMMAND...: runs it silently, with its output in a file; PROGRESS 1 shows how far it is.
# On failure the first reasons are shown and the file is kept.
run_apt()
{
	local progress=$1 status
	shift
	if ((progress)); then
		"$@" -o APT::Status-Fd=3 3>&1 </dev/null >"$log" 2>&1 | show_progress
		status=${PIPESTATUS[0]}
	else
		"$@" </dev/null >"$log" 2>&1
		status=$?
	fi
	((status == 0)) && return
	show_reasons
	trap - EXIT
	die "${*:1:1} failed with status $status; its output is in $log"
}

# show_progress: apt's status lines to "downloading 40 %", every tenth.
show_progress()
{
	local kind package percent shown="" now
	while IFS=: read -r kind package percent _; do
		case $kind in
		dlstatus) now="downloading" ;;
		pmstatus) now="unpacking and setting up" ;;
		*) continue ;;
		esac
		percent=${percent%%.*}
		now="$now $((percent / 10 * 10)) %"
		[[ $now == "$shown" ]] || say "$now"
		shown=$now
	done
}

# to_mb "1,234 MB" -> 1234 (rounded up; apt counts in powers of ten)
to_mb()
{
	awk -v text="$1" 'BEGIN {
		split(text, part, " ")
		gsub(/,/, "", part[1])
		scale["B"] = 1e-6; scale["kB"] = 1e-3; scale["MB"] = 1; scale["GB"] = 1e3
		mb = part[1] * scale[part[2]]
		printf "%d\n", mb == int(mb) ? mb : mb + 1
	}'
}

# plan PACKAGE...: asks apt what installing takes, without doing it; sets get_mb and disk_mb. apt-get ends
# with an error here by design (--assume-no, which --assume-yes would overrule); what counts is whether it
# got as far as the sizes.
plan()
{
	local text
	text=$("${APT[@]}" --assume-no --no-remove install "$@" 2>&1 </dev/null)
	get_mb=$(sed -n -E 's/^Need to get ([^/]*\/)?([0-9.,]+ [kMG]?B) of archives.*/\2/p' <<<"$text")
	disk_mb=$(sed -n -E 's/^After this operation, ([0-9.,]+ [kMG]?B) (of additional )?disk space will be (used|freed).*/\1/p' <<<"$text")
	[[ -n $disk_mb ]] || return 1
	get_mb=$(to_mb "${get_mb:-0 B}")
	disk_mb=$(to_mb "$disk_mb")
}

# ---- the two ways --------------------------------------------------------------------------------

other_system()
{
	local package probe missing=0
	while read -r package probe; do
		probe_tool "$probe" && continue
		((missing++)) || printf '%s\n' "setup: this is $1; missing here, and how Debian calls the package:"
		is_qemu "$probe" && probe+=" (version $QEMU_MIN or later)"
		printf '  %-52s %s\n' "${probe#py:}" "$package"
	done <<<"$(tools other)"
	if ((missing)); then
		die "setup.sh installs on Debian 12 and 13 only; $missing of the tools above are missing"
	fi
	say "this is $1, not Debian 12 or 13; nothing is missing as far as can be told"
}

install_packages()
{
	local codename=$1 free_mb
	shift
	local -a wanted=("$@")
	if [[ $codename == bookworm && " ${wanted[*]}" == *" qemu-system-"* ]]; then
		need_backports "$codename"
		prefer_backports "$codename" >"$work/preferences"
		APT+=(-o "Dir::Etc::Preferences=$work/preferences")
	fi
	if ! plan "${wanted[@]}"; then
		[[ $updated == yes ]] || update_lists
		plan "${wanted[@]}" || run_apt 0 "${APT[@]}" -s --no-remove install "${wanted[@]}"
	fi
	free_mb=$(($(df -B1000000 --output=avail /usr | tail -n 1)))
	say "disk space: $disk_mb MB installed, $get_mb MB more while downloading; $free_mb MB free on /usr"
	((free_mb > disk_mb + get_mb)) || die "not enough disk space: $((disk_mb + get_mb)) MB needed, $free_mb MB free"
	DEBIAN_FRONTEND=noninteractive run_apt 1 "${APT[@]}" --assume-yes --no-remove -o APT::Keep-Downloaded-Packages=false \
		-o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
		install "${wanted[@]}"
}

main()
{
	local check=no id="" version="" codename="" pretty="an unknown system" start=$SECONDS
	local -a missing

	case $#:${1-} in
	0:) ;;
	1:--check) check=yes ;;
	1:--help | 1:-h)
		usage
		exit 0
		;;
	*)
		printf "setup: error: unknown arguments '%s'; --check and --help are the options\n" "$*" >&2
		exit 2
		;;
	esac

	# shellcheck disable=SC1090
	[[ -r $OS_RELEASE ]] && IFS=$'\t' read -r id version codename pretty <<<"$(
		. "$OS_RELEASE" && printf '%s\t%s\t%s\t%s\n' "${ID:--}" "${VERSION_ID:--}" "${VERSION_CODENAME:--}" "${PRETTY_NAME:-an unknown system}")"
	if [[ $id != debian || ($version != 12 && $version != 13) ]]; then
		other_system "$pretty"
		exit 0
	fi

	read -r -a missing <<<"$(missing_packages "$version" | xargs)"
	if ((${#missing[@]} == 0)); then
		say "nothing is missing"
		exit 0
	fi
	say "missing: ${missing[*]}"
	if [[ $check == yes ]]; then
		die "${#missing[@]} packages are missing; ./setup.sh installs them"
	fi
	if (($(id -u) != 0)); then
		command -v sudo >/dev/null || die "installing needs root; run it as root, or install sudo"
		exec sudo -- bash "${BASH_SOURCE[0]}"
	fi
	work=$(mktemp -d /tmp/fairlead-setup.XXXXXX) || die "cannot write to /tmp"
	chmod 755 "$work" # apt's own user reads the preferences
	log=$work/log
	trap 'rm -rf "$work"' EXIT
	install_packages "$codename" "${missing[@]}"
	read -r -a missing <<<"$(missing_packages "$version" | xargs)"
	((${#missing[@]} == 0)) || die "still missing after the installation: ${missing[*]}"
	say "done in $((SECONDS - start)) s: $disk_mb MB of disk space taken"
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
	main "$@"
fi
