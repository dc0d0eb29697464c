# Run by `cargo xtask test clients` as `bash prelude.sh SCRIPT`, in an empty folder that is the script's home.
#
# Environment: CLIENT (the client's name), NS (a namespace of the script's own), CLIENTS (this folder), KUBECONFIG,
# KUBECTL, and the programs of the client's family.
# A script fails where a command fails. What it expects of an answer it says with the words below; each takes a
# command line. The command's output, both streams, is in $OUT afterwards.

set -Eeuo pipefail
export LC_ALL=C TERM=dumb NO_COLOR=1
OUT=$HOME/out
trap 'echo "$(basename "${BASH_SOURCE[0]}" .sh):$LINENO: $BASH_COMMAND" >>"$HOME/failed"' ERR

# The client under test, in the script's namespace.
k() { "$KUBECTL" --namespace "$NS" "$@"; }

# helm, in the script's namespace, and how its versions spell two options.
h() { "$HELM" --namespace "$NS" "$@"; }
case $CLIENT in
helm-3*) ATOMIC=--atomic VALIDATE=--validate ;;
*) ATOMIC=--rollback-on-failure VALIDATE=--dry-run=server ;;
esac

fail() {
    [ -s "$OUT" ] && sed 's/^/    /' "$OUT"
    echo "$*" | tee -a "$HOME/failed"
    trap - ERR
    exit 1
}

# skip REASON: this cell does not apply.
skip() {
    echo "$*" >"$HOME/skipped"
    trap - ERR
    exit 75
}

# run COMMAND...: it succeeds.
run() {
    echo "+ $*"
    "$@" >"$OUT" 2>&1 || fail "line ${BASH_LINENO[0]}: exit $?: $*"
    sed 's/^/    /' "$OUT"
}

# expect TEXT COMMAND...: it succeeds and says TEXT, which may hold * for anything.
expect() {
    local text=$1; shift
    echo "+ $*"
    "$@" >"$OUT" 2>&1 || fail "line ${BASH_LINENO[0]}: exit $?: $*"
    said "$text" || fail "line ${BASH_LINENO[0]}: \"$text\" is not in the output of: $*"
}

# lacks TEXT COMMAND...: it succeeds and does not say TEXT.
lacks() {
    local text=$1; shift
    echo "+ $*"
    "$@" >"$OUT" 2>&1 || fail "line ${BASH_LINENO[0]}: exit $?: $*"
    ! said "$text" || fail "line ${BASH_LINENO[0]}: \"$text\" is in the output of: $*"
}

# refuse TEXT COMMAND...: it fails and says TEXT.
refuse() {
    local text=$1; shift
    echo "+ $*"
    ! "$@" >"$OUT" 2>&1 || fail "line ${BASH_LINENO[0]}: this did not fail: $*"
    said "$text" || fail "line ${BASH_LINENO[0]}: \"$text\" is not in the output of: $*"
}

# same EXPECTED COMMAND...: it succeeds and its standard output is exactly that.
same() {
    local expected=$1; shift
    echo "+ $*"
    "$@" >"$OUT" 2>"$OUT.err" || { cat "$OUT.err" >>"$OUT"; fail "line ${BASH_LINENO[0]}: exit $?: $*"; }
    [ "$(cat "$OUT")" = "$expected" ] || fail "line ${BASH_LINENO[0]}: not \"$expected\": $*"
}

# within SECONDS COMMAND...: it succeeds, sooner or later.
within() {
    local until=$((SECONDS + $1)); shift
    echo "+ within: $*"
    until "$@" >"$OUT" 2>&1; do
        [ $SECONDS -lt $until ] || fail "line ${BASH_LINENO[0]}: not in time: $*"
        sleep 0.3
    done
}

# reads VALUE SECONDS COMMAND...: its output becomes that, sooner or later.
reads() {
    local value=$1 until=$((SECONDS + $2)); shift 2
    echo "+ until \"$value\": $*"
    until "$@" >"$OUT" 2>&1 && [ "$(cat "$OUT")" = "$value" ]; do
        [ $SECONDS -lt $until ] || fail "line ${BASH_LINENO[0]}: never \"$value\": $*"
        sleep 0.3
    done
}

# get JSONPATH OBJECT: one field of an object.
get() { k get "$2" -o "jsonpath=$1"; }

# free_port: one of 127.0.0.1 that nobody listens on, below those that the system gives to connections.
free_port() {
    local port
    while port=$((RANDOM % 10000 + 20000)); (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
    echo "$port"
}

# with_token TOKEN: writes the kubeconfig `tokened`, whose user has that token and nothing else.
with_token() {
    cp "$KUBECONFIG" tokened
    "$KUBECTL" --kubeconfig tokened config set-credentials tokened --token="$1" >/dev/null
    "$KUBECTL" --kubeconfig tokened config set-context --current --user=tokened >/dev/null
}

# Whether $OUT holds that text; * stands for anything, also for line ends.
said() {
    local pattern rest=$1 output
    output=$(cat "$OUT")
    pattern=
    while [[ $rest == *'*'* ]]; do
        pattern+="$(quoted "${rest%%'*'*}")*"
        rest=${rest#*'*'}
    done
    pattern+=$(quoted "$rest")
    # shellcheck disable=SC2053
    [[ $output == *$pattern* ]]
}

quoted() { printf '%s' "$1" | sed 's/[][\\?*(){}|!@+]/\\&/g'; }

# since VERSION REASON: skips older kubectl.
since() {
    local version=${CLIENT##*-}
    [ "$(printf '%s\n' "$1" "$version" | sort --version-sort | head -1)" = "$1" ] || skip "$2"
}

leave() {
    local code=$?
    trap - EXIT ERR
    # Children of the script: proxies, watches; also those that a function of above stands between.
    local job
    for job in $(jobs -p); do
        pkill -P "$job" || true
        kill "$job" 2>/dev/null || true
    done
    "$KUBECTL" delete namespace "$NS" --wait=false --ignore-not-found >/dev/null 2>&1 || true
    exit $code
}
trap leave EXIT

# A script may say that it waits for something that the server does not do yet.
if grep -m1 '^# waits: ' "$1" >waits; then
    echo "waits: $(sed 's/^# waits: //' waits)" >skipped
    exit 75
fi
"$KUBECTL" create namespace "$NS"
# shellcheck source=/dev/null
source "$1"
