#!/bin/sh
# Writes random passwords and keys into deploy/secrets/ (or the folder given), for compose.yaml.
# Files that exist stay as they are. docs/operations/runbook.md explains how to change them.
set -eu
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
chmod 700 "$folder" # the files are mounted one by one, and read by several users in containers
cd "$folder"

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
write() { [ -e "$1" ] || { cat >"$1.new" && chmod 444 "$1.new" && mv "$1.new" "$1"; }; }

random | write secret_key
random | write database
printf 'postgres://lorary:%s@database:5432/lorary' "$(cat database)" | write database_url
printf 'requirepass %s\nsave ""\nappendonly no\nmaxmemory 256mb\nmaxmemory-policy volatile-lru\n' \
    "$(random)" | write redis_conf
password=$(sed -n 's/^requirepass //p' redis_conf)
printf 'redis://:%s@redis:6379/0' "$password" | write broker_url
printf 'redis://:%s@redis:6379/1' "$password" | write cache_url
printf '[default]\naws_access_key_id = lorary\naws_secret_access_key = %s\n' "$(random)" | write s3_credentials
secret=$(sed -n 's/^aws_secret_access_key = //p' s3_credentials)
printf '{"identities": [{"name": "hub", "credentials": [{"accessKey": "lorary", "secretKey": "%s"}],
 "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}\n' "$secret" | write s3_config
