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

# Once for each order, and the same for every retry. It begins with the partner's id.
new_id() { printf '%s%s' "$partner" "$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')"; }

owner="\"partnerId\":\"$partner\"" owner_xml="<partnerId>$partner</partnerId>"
value='"value":{"currencyCode":"USD","amount":1.00}'
value_xml='<value><currencyCode>USD</currencyCode><amount>1.00</amount></value>'

id=$(new_id)
code="\"creationRequestId\":\"$id\",$owner" code_xml="<creationRequestId>$id</creationRequestId>$owner_xml"
call CreateGiftCard "{$code,$value}" "$code_xml$value_xml"
first=$(code)
call CreateGiftCard "{$code,$value}" "$code_xml$value_xml"
[[ $first == "$(code)" ]] || { echo 'one id, two cards' >&2; exit 1; }
call CancelGiftCard "{$code}" "$code_xml"

number=${AGCOD_CARD_NUMBER:-1400000005567585358} id=$(new_id)
card="\"activationRequestId\":\"$id\",$owner,\"cardNumber\":\"$number\""
card_xml="<activationRequestId>$id</activationRequestId>$owner_xml<cardNumber>$number</cardNumber>"
call ActivateGiftCard "{$card,$value}" "$card_xml$value_xml"
# It shows the card as it is, whoever activated it.
call ActivationStatusCheck "{\"statusCheckRequestId\":\"$id\",$owner,\"cardNumber\":\"$number\"}" \
    "<statusCheckRequestId>$id</statusCheckRequestId>$owner_xml<cardNumber>$number</cardNumber>"
grep -q Activated "$answer" || { echo 'an activated card is not active' >&2; exit 1; }
call DeactivateGiftCard "{$card}" "$card_xml"

# Amazon publishes little of this product: a barcode is type 1, and the value counts minor units.
barcode=${AGCOD_BARCODE:-851000000000000000000000000000} id=$(new_id)
account="$owner,\"account\":{\"id\":\"$barcode\",\"type\":1},\"amount\":{\"currencyCode\":\"USD\",\"value\":100}"
account_xml="$owner_xml<account><id>$barcode</id><type>1</type></account>"
account_xml+='<amount><currencyCode>USD</currencyCode><value>100</value></amount>'
load="\"loadBalanceRequestId\":\"$id\",$account" load_xml="<loadBalanceRequestId>$id</loadBalanceRequestId>$account_xml"
call ValidateAccountForAmazonBalanceLoad "{$account}" "$account_xml"
call LoadAmazonBalance "{$load}" "$load_xml"
call VoidAmazonBalanceLoad "{$load}" "$load_xml"

call GetAvailableFunds "{$owner}" "$owner_xml"
from=$(date -u +%FT00:00:00) to=$(date -u +%FT23:59:59)
report="\"requestId\":\"${partner}report\",$owner,\"utcStartDate\":\"$from\",\"utcEndDate\":\"$to\",\"pageIndex\":0,\"pageSize\":10"
call GetGiftCardActivityPage "{$report,\"showNoOps\":\"true\"}" \
    "<requestId>${partner}report</requestId>$owner_xml<utcStartDate>$from</utcStartDate><utcEndDate>$to</utcEndDate><pageIndex>0</pageIndex><pageSize>10</pageSize><showNoOps>true</showNoOps>"
