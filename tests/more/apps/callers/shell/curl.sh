#!/bin/sh
# curl: curl.sh FORM URL... asks for each, then posts to the last; prints STATUS BODY of each.
set -eu
form=$1 && shift
ask() {
  case $form in
    CONNECT) set -- --proxytunnel "$@" ;;
    path) set -- --header "Portal-Token: $PORTAL_TOKEN" "$@" ;;
  esac
  got=$(curl --silent --show-error --location --write-out ':%{http_code}' "$@")
  printf '%s %s\n' "${got##*:}" "${got%:*}"
}
for url in "$@"; do ask "$url"; done
ask --data Hi "$url"
