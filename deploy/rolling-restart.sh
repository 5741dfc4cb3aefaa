#!/bin/sh
# Restarts web nodes one after the other, so that no request fails:
#
#   deploy/rolling-restart.sh web1 web2
#
# A node is marked "down" in the file of nodes, nginx is reloaded, requests get time to end, the node
# is restarted and must be ready, and nginx sends requests to it again. If a node does not get ready,
# the script ends and the node stays "down"; the others serve the hub.
#
# Variables, with the defaults for compose.yaml; NODE is the name of the node:
#   NODES_FILE   the file of nodes that nginx.conf includes
#   RELOAD       command that reloads nginx
#   RESTART      command that restarts a node and waits until it is started
#   READY        command that succeeds once the node is ready
#   DRAIN_S      seconds for requests that are open (30): the longest upload part or download
#   READY_S      seconds that a node has to become ready (120)
set -eu
here=$(dirname "$0")
compose="docker compose -f $here/compose.yaml"
NODES_FILE=${NODES_FILE:-$here/nodes/nodes.conf}
RELOAD=${RELOAD:-$compose exec -T nginx nginx -s reload}
RESTART=${RESTART:-$compose up --detach --no-deps --force-recreate \$NODE}
READY=${READY:-$compose exec -T \$NODE python -c "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz/ready', timeout=5)"}
DRAIN_S=${DRAIN_S:-30}
READY_S=${READY_S:-120}

[ $# -gt 0 ] || { echo "Name the nodes to restart, for example: $0 web1 web2" >&2; exit 2; }

# Written in place: a container sees the file that was mounted, not one that replaces it.
rewrite() { text=$(sed "$1" "$NODES_FILE") && printf '%s\n' "$text" >"$NODES_FILE"; }

for NODE in "$@"; do
    export NODE
    line="^\( *server  *$NODE[:; ]"
    grep -q "$line\)" "$NODES_FILE" || { echo "There is no node $NODE in $NODES_FILE." >&2; exit 2; }
    grep "^ *server " "$NODES_FILE" | grep -v " down;" | grep -qv "$line\)" ||
        { echo "No other node is up: $NODE is not restarted." >&2; exit 1; }
    echo "$NODE: draining for $DRAIN_S s"
    rewrite "/ down;/!s/$line[^;]*\);/\1 down;/"
    eval "$RELOAD"
    sleep "$DRAIN_S"
    echo "$NODE: restarting"
    eval "$RESTART"
    left=$READY_S
    until eval "$READY" >/dev/null 2>&1; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || { echo "$NODE does not become ready; it stays down." >&2; exit 1; }
        sleep 1
    done
    rewrite "s/$line[^;]*\) down;/\1;/"
    eval "$RELOAD"
    echo "$NODE: ready"
done
