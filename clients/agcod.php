#!/usr/bin/env php
<?php
// An AGCOD client: php agcod.php json|xml. See README.md.

declare(strict_types=1);

const SERVICE = 'AGCODService';

function setting(string $name, string $otherwise): string
{
    $value = getenv("AGCOD_$name");
    return $value === false || $value === '' ? $otherwise : $value;
}

$url = setting('URL', 'http://127.0.0.1:8081');
$partner = setting('PARTNER_ID', 'Awssb');

/** The headers to send, signed with Signature Version 4. */
function signed(string $url, array $headers, string $body): array
{
    $region = setting('REGION', 'us-east-1');
    $now = gmdate('Ymd\THis\Z');
    $port = parse_url($url, PHP_URL_PORT);
    $headers['host'] = parse_url($url, PHP_URL_HOST) . ($port ? ":$port" : '');
    $headers['x-amz-date'] = $now;
    ksort($headers);
    $names = implode(';', array_keys($headers));
    $lines = implode('', array_map(fn ($name) => "$name:{$headers[$name]}\n", array_keys($headers)));
    $path = parse_url($url, PHP_URL_PATH);
    $canonical = "POST\n$path\n\n$lines\n$names\n" . hash('sha256', $body);
    $scope = substr($now, 0, 8) . "/$region/" . SERVICE . '/aws4_request';
    $toSign = "AWS4-HMAC-SHA256\n$now\n$scope\n" . hash('sha256', $canonical);
    $key = 'AWS4' . setting('SECRET_ACCESS_KEY', 'sandbox-secret-known-to-everyone');
    foreach (explode('/', $scope) as $part) {
        $key = hash_hmac('sha256', $part, $key, true);
    }
    $credential = setting('ACCESS_KEY_ID', 'AKIDSANDBOX') . "/$scope";
    $signature = hash_hmac('sha256', $toSign, $key);
    $headers['Authorization'] = "AWS4-HMAC-SHA256 Credential=$credential, SignedHeaders=$names, Signature=$signature";
    return array_map(fn ($name) => "$name: {$headers[$name]}", array_keys($headers));
}

function toXml(string $name, mixed $value): string
{
    $inside = is_array($value)
        ? implode('', array_map('toXml', array_keys($value), array_values($value)))
        : htmlspecialchars((string) $value, ENT_XML1);
    return "<$name>$inside</$name>";
}

/** A member of an answer, below its root or below agcodResponse; null where there is none. */
function member(string $text, string $name, string $form): ?string
{
    if ($form === 'json') {
        $answer = json_decode($text, true, flags: JSON_THROW_ON_ERROR);
        return $answer[$name] ?? $answer['agcodResponse'][$name] ?? null;
    }
    $found = (new SimpleXMLElement($text))->xpath("//$name");
    return $found ? (string) $found[0] : null;
}

/** Sends one call, and gives the text of its answer. */
function call(string $operation, array $members, string $form): string
{
    global $url;
    $body = $form === 'json' ? json_encode($members, JSON_THROW_ON_ERROR) : toXml("{$operation}Request", $members);
    $headers = signed("$url/$operation", [
        'accept' => "application/$form",
        'content-type' => "application/$form",
        'x-amz-target' => "com.amazonaws.agcod.AGCODService.$operation",
    ], $body);
    $handle = curl_init("$url/$operation");
    curl_setopt_array($handle, [
        CURLOPT_POST => true,
        CURLOPT_POSTFIELDS => $body,
        CURLOPT_HTTPHEADER => $headers,
        CURLOPT_RETURNTRANSFER => true,
        // Amazon advises 6 seconds. After a time-out the outcome is unknown: send the same bytes again.
        CURLOPT_TIMEOUT => 6,
    ] + (getenv('AGCOD_CA') ? [CURLOPT_CAINFO => getenv('AGCOD_CA')] : []));
    $text = curl_exec($handle);
    if ($text === false) {
        throw new RuntimeException("$operation: " . curl_error($handle));
    }
    $status = curl_getinfo($handle, CURLINFO_RESPONSE_CODE);
    if ($status !== 200) {
        throw new RuntimeException("$operation $status " . trim($text));
    }
    echo "$operation ", member($text, 'status', $form), "\n";
    return $text;
}

/** Once for each order, and the same for every retry. It begins with the partner's id. */
function newId(): string
{
    return setting('PARTNER_ID', 'Awssb') . bin2hex(random_bytes(16));
}

try {
    $form = $argv[1] ?? 'json';
    $value = ['value' => ['currencyCode' => 'USD', 'amount' => 1]];

    $code = ['creationRequestId' => newId(), 'partnerId' => $partner];
    $first = call('CreateGiftCard', $code + $value, $form);
    $again = call('CreateGiftCard', $code + $value, $form);
    if (member($first, 'gcClaimCode', $form) !== member($again, 'gcClaimCode', $form)) {
        throw new RuntimeException('one id, two cards');
    }
    call('CancelGiftCard', $code, $form);

    $card = ['partnerId' => $partner, 'cardNumber' => setting('CARD_NUMBER', '1400000005567585358')];
    $activation = ['activationRequestId' => newId()] + $card;
    call('ActivateGiftCard', $activation + $value, $form);
    // It shows the card as it is, whoever activated it.
    if (!str_contains(call('ActivationStatusCheck', ['statusCheckRequestId' => newId()] + $card, $form), 'Activated')) {
        throw new RuntimeException('an activated card is not active');
    }
    call('DeactivateGiftCard', $activation, $form);

    // Amazon publishes little of this product: a barcode is type 1, and the value counts minor units.
    $account = ['account' => ['id' => setting('BARCODE', '851000000000000000000000000000'), 'type' => 1]]
        + ['amount' => ['currencyCode' => 'USD', 'value' => 100]];
    $load = ['loadBalanceRequestId' => newId(), 'partnerId' => $partner] + $account;
    call('ValidateAccountForAmazonBalanceLoad', ['partnerId' => $partner] + $account, $form);
    call('LoadAmazonBalance', $load, $form);
    call('VoidAmazonBalanceLoad', $load, $form);

    call('GetAvailableFunds', ['partnerId' => $partner], $form);
    $today = gmdate('Y-m-d');
    call('GetGiftCardActivityPage', [
        'requestId' => "{$partner}report", 'partnerId' => $partner, 'utcStartDate' => "{$today}T00:00:00",
        'utcEndDate' => "{$today}T23:59:59", 'pageIndex' => 0, 'pageSize' => 10, 'showNoOps' => 'true',
    ], $form);
} catch (Throwable $failure) {
    fwrite(STDERR, $failure->getMessage() . "\n");
    exit(1);
}
