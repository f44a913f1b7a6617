#!/bin/sh
# A CGI script that answers with its variables (lighttpd and mini_httpd run it).
case "$PATH_INFO" in
  /private/*) page='"private"' ;;
  *) page='"other"' ;;
esac
printf 'Content-Type: text/plain\r\n\r\npage=%s\n' "$page"
[ "${CONTENT_LENGTH:-0}" = 0 ] || { printf 'body='; head -c "$CONTENT_LENGTH"; echo; }
[ "$PATH_INFO" != /public/fields ] || env | grep '^HTTP_'
env | grep -Ev '^(HTTP_|REMOTE_PORT|_=|PWD|SHLVL|LC_|LD_|PATH=|[^=]*$)' | sort
