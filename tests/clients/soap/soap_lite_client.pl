# SOAP::Lite: builds messages without a WSDL, in a namespace of its own, as monitoring tools do.
use strict;
use warnings;
use JSON::PP;
use SOAP::Lite;

binmode STDOUT, ':raw';
my @warnings;
local $SIG{__WARN__} = sub { push @warnings, $_[0] };

sub SOAP::Transport::HTTP::Client::get_basic_credentials {
    return ($ENV{CLIENT_USER}, $ENV{CLIENT_PASSWORD});
}

sub call {
    my ($table, $operation, $fields, $words) = @_;
    my $soap = SOAP::Lite->proxy("$ENV{CLIENT_URL}/$table.do?" . ($words // '') . 'SOAP');
    my $method = SOAP::Data->name($operation)->attr({xmlns => 'http://www.service-now.com/'});
    my @given = map { SOAP::Data->name($_)->type(string => $fields->{$_}) } sort keys %$fields;
    return $soap->call($method => @given);
}

# One hit is a hash, many are an array.
sub several { my ($value) = @_; return ref $value eq 'ARRAY' ? @$value : defined $value ? ($value) : () }

sub text { my ($value) = @_; return ref $value || !defined $value ? '' : $value }

my %found;
for my $case (@{ decode_json($ENV{SOAP_CASES}) }) {
    my ($table, $field, $reference, $empty) = @$case{qw(table field reference empty)};
    my $made = call($table, 'insert', {$field => $case->{value}, $reference => $case->{shown}})
        ->valueof('//insertResponse/sys_id');
    my $got = call($table, 'get', {sys_id => $made})->valueof('//getResponse');
    my $page = call($table, 'getRecords', {__encoded_query => "sys_id=$made", __limit => 5});
    my $keys = call($table, 'getKeys', {sys_id => $made})->valueof('//getKeysResponse');
    call($table, 'update', {sys_id => $made, $field => $case->{second}});
    my $updated = call($table, 'get', {sys_id => $made})->valueof('//getResponse');
    my $groups = call($table, 'aggregate', {COUNT => 'sys_id', sys_id => $made});
    my $fault = call($table, 'update', {sys_id => '0' x 32, $field => 'x'});
    my $shown = call($table, 'get', {sys_id => $made}, 'displayvalue=true&')->valueof('//getResponse');
    my $both = call($table, 'get', {sys_id => $made}, 'displayvalue=all&')->valueof('//getResponse');
    my $deleted = call($table, 'deleteRecord', {sys_id => $made})->valueof('//count');
    my $gone = call($table, 'get', {sys_id => $made})->valueof('//getResponse');
    $found{$table} = {
        got => [map { text($got->{$_}) } $field, $reference, $empty],
        shown => $shown->{$reference},
        both => $both->{"dv_$reference"},
        records => [map { $_->{sys_id} eq $made ? JSON::PP::true : JSON::PP::false }
            several($page->valueof('//getRecordsResult'))],
        keys => [$keys->{sys_id} eq $made ? JSON::PP::true : JSON::PP::false, $keys->{count} + 0],
        updated => $updated->{$field},
        counted => $groups->valueof('//aggregateResult/COUNT') + 0,
        fault => $fault->fault
            ? {code => $fault->faultcode, text => $fault->faultstring} : undef,
        deleted => $deleted + 0,
        gone => text($gone) eq '' && !(ref $gone && %$gone) ? JSON::PP::true : JSON::PP::false,
    };
}
print encode_json({version => "$SOAP::Lite::VERSION", warnings => \@warnings, found => \%found});
