#!/bin/sh
# wget: wget.sh FORM URL... asks for each, then posts to the last; prints STATUS BODY of each.
set -eu
form=$1 && shift
ask() {
  if [ "$form" = path ]; then set -- --header "Portal-Token: $PORTAL_TOKEN" "$@"; fi
  # It fails for every other status than one of success.
  got=$(wget --quiet --tries 1 --output-document - "$@")
  printf '200 %s\n' "$got"
}
for url in "$@"; do ask "$url"; done
ask --post-data Hi "$url"
