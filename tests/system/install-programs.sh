#!/usr/bin/env bash
# Installs the Debian programs that system tests drive. One list: tests/system/programs.txt.
set -euo pipefail
cd "$(dirname "$0")"
missing=()
while read -r program packages; do
  [[ -z "$program" || "$program" == \#* ]] && continue
  command -v "$program" >/dev/null || [[ -x "/usr/sbin/$program" ]] || missing+=($packages)
done < programs.txt
[[ ${#missing[@]} -eq 0 ]] && exit 0
if [[ $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null; then
  echo "System tests need Debian packages: ${missing[*]}. Install them, or run as root on Debian." >&2
  exit 1
fi
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
