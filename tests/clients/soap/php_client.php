<?php
// PHP's own SoapClient: reads the WSDL without a cache, or one that was saved on an earlier day;
// asks for compressed answers.
declare(strict_types=1);

$warnings = [];
set_error_handler(function (int $level, string $told) use (&$warnings): bool {
    $warnings[] = $told;
    return true;
});

function service(string $table, string $words = ''): SoapClient
{
    $login = ['login' => getenv('CLIENT_USER'), 'password' => getenv('CLIENT_PASSWORD')];
    $options = $login + [
        'cache_wsdl' => WSDL_CACHE_NONE,
        'exceptions' => true,
        'compression' => SOAP_COMPRESSION_ACCEPT | SOAP_COMPRESSION_GZIP,
        'features' => SOAP_SINGLE_ELEMENT_ARRAYS,
    ];
    $address = getenv('CLIENT_URL') . "/$table.do?$words";
    $folder = getenv('SOAP_WSDLS');
    if ($folder) {
        return new SoapClient("$folder/$table.$words.wsdl", $options + ['location' => "{$address}SOAP"]);
    }
    return new SoapClient("{$address}WSDL", $options);
}

function run(array $case): array
{
    [$table, $field, $reference, $empty] =
        [$case['table'], $case['field'], $case['reference'], $case['empty']];
    $soap = service($table);
    $made = $soap->insert([$field => $case['value'], $reference => $case['shown']])->sys_id;
    $got = $soap->get(['sys_id' => $made]);
    $page = $soap->getRecords(['__encoded_query' => "sys_id=$made", '__limit' => '5']);
    $keys = $soap->getKeys(['sys_id' => $made]);
    $soap->update(['sys_id' => $made, $field => $case['second']]);
    $updated = $soap->get(['sys_id' => $made]);
    $groups = $soap->aggregate(['COUNT' => 'sys_id', 'sys_id' => $made]);
    $fault = null;
    try {
        $soap->update(['sys_id' => str_repeat('0', 32), $field => 'x']);
    } catch (SoapFault $raised) {
        $fault = ['code' => $raised->faultcode, 'text' => $raised->faultstring];
    }
    return [
        'got' => [$got->$field, $got->$reference, $got->$empty ?? ''],
        'shown' => service($table, 'displayvalue=true&')->get(['sys_id' => $made])->$reference,
        'both' => service($table, 'displayvalue=all&')->get(['sys_id' => $made])->{"dv_$reference"},
        'records' => array_map(fn ($row) => $row->sys_id === $made, $page->getRecordsResult),
        'keys' => [$keys->sys_id === $made, (int) $keys->count],
        'updated' => $updated->$field,
        'counted' => (int) $groups->aggregateResult[0]->COUNT,
        'fault' => $fault,
        'deleted' => (int) $soap->deleteRecord(['sys_id' => $made])->count,
        'gone' => !isset($soap->get(['sys_id' => $made])->sys_id),
    ];
}

$found = [];
foreach (json_decode(getenv('SOAP_CASES'), true) as $case) {
    $found[$case['table']] = run($case);
}
echo json_encode(['version' => PHP_VERSION, 'warnings' => $warnings, 'found' => $found]);
