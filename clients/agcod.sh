#!/usr/bin/env bash
# An AGCOD client: agcod.sh json|xml. curl signs. See README.md.
set -euo pipefail

url=${AGCOD_URL:-http://127.0.0.1:8081}
region=${AGCOD_REGION:-us-east-1}
partner=${AGCOD_PARTNER_ID:-Awssb}
form=${1:-json}
answer=$(mktemp)
trap 'rm -f -- "$answer"' EXIT

# Sends one call: operation, JSON, XML. Its answer lies in $answer.
call() {
    local operation=$1 body=$2 status word
    [[ $form == json ]] || body="<${operation}Request>$3</${operation}Request>"
    # The pair comes by a pipe: among the arguments it would show in the list of processes. 6 seconds are Amazon's advice; after a
    # time-out the outcome is unknown: send the same bytes again.
    status=$(printf 'user = "%s:%s"\n' "${AGCOD_ACCESS_KEY_ID:-AKIDSANDBOX}" \
        "${AGCOD_SECRET_ACCESS_KEY:-sandbox-secret-known-to-everyone}" |
        curl --silent --show-error --config - --aws-sigv4 "aws:amz:$region:AGCODService" ${AGCOD_CA:+--cacert "$AGCOD_CA"} \
            -H "Content-Type: application/$form" -H "Accept: application/$form" --data-binary "$body" --max-time 6 \
            --output "$answer" --write-out '%{http_code}' "$url/$operation") || exit 1
    if [[ $status != 200 ]]; then
        printf '%s %s %s\n' "$operation" "$status" "$(<"$answer")" >&2
        exit 1
    fi
    word=$(grep -oE '"status":"[A-Z]+"|<status>[A-Z]+' "$answer" | grep -oE '[A-Z]+' | tail -n 1)
    printf '%s %s\n' "$operation" "$word"
}

code() { grep -oE '"gcClaimCode":"[^"]+|<gcClaimCode>[^<]+' "$answer"; }

# Once for each card, and the same for every retry. It begins with the partner's id.
id=$partner$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
card="<creationRequestId>$id</creationRequestId><partnerId>$partner</partnerId>"
create=("{\"creationRequestId\":\"$id\",\"partnerId\":\"$partner\",\"value\":{\"currencyCode\":\"USD\",\"amount\":1.00}}"
    "$card<value><currencyCode>USD</currencyCode><amount>1.00</amount></value>")
call CreateGiftCard "${create[@]}"
first=$(code)
call CreateGiftCard "${create[@]}"
[[ $first == "$(code)" ]] || { echo 'one id, two cards' >&2; exit 1; }
call CancelGiftCard "{\"creationRequestId\":\"$id\",\"partnerId\":\"$partner\"}" "$card"
call GetAvailableFunds "{\"partnerId\":\"$partner\"}" "<partnerId>$partner</partnerId>"
from=$(date -u +%FT00:00:00) to=$(date -u +%FT23:59:59)
call GetGiftCardActivityPage \
    "{\"requestId\":\"${partner}report\",\"partnerId\":\"$partner\",\"utcStartDate\":\"$from\",\"utcEndDate\":\"$to\",\"pageIndex\":0,\"pageSize\":10,\"showNoOps\":\"true\"}" \
    "<requestId>${partner}report</requestId><partnerId>$partner</partnerId><utcStartDate>$from</utcStartDate><utcEndDate>$to</utcEndDate><pageIndex>0</pageIndex><pageSize>10</pageSize><showNoOps>true</showNoOps>"
