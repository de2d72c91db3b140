#!/usr/bin/env bash
# Install the named Debian packages that are missing; says what it does, and does nothing when all are there.
set -euo pipefail

missing=()
for package in "$@"; do
	dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if ! command -v apt-get >/dev/null; then
	echo "setup: no apt-get here; install by hand: ${missing[*]}" >&2
	exit 0
fi
echo "setup: apt packages ${missing[*]}"
run=$([ "$(id -u)" -eq 0 ] || echo sudo)
export DEBIAN_FRONTEND=noninteractive
$run apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1 || {
	$run apt-get update -qq
	$run apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}
